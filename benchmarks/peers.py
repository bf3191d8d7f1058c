"""Every component beside the libraries that people use for the same thing, in one run.

    python benchmarks/peers.py [--quick] [--only limiter,queue] [--json FILE] [--chart FILE.svg]

Each contender is one adapter in benchmarks/adapters, and runs in a process of its own; the peers are installed into an
environment of their own (benchmarks/.venv-peers), and one that cannot be installed is reported as absent. The rounds of
all contenders alternate, and the best counts: whatever else a machine does only makes things slower. Read the ratios,
not the numbers.
"""

import argparse
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

from adapters import Contender, Group, Registry, load
from environment import peers_python

HERE = Path(__file__).parent
PATIENCE = 120.0  # seconds for one process: what takes longer is reported as failed


@dataclass
class Row:
    contender: Contender
    best: float | None = None
    why: str = ""  # there is no figure

    def take(self, figure: float, *, more_is_better: bool) -> None:
        if self.best is None or (figure > self.best) == more_is_better:
            self.best = figure


def measure(python: str, contender: Contender, seconds: float) -> tuple[float | None, str]:
    """One run of one contender, or why there is none."""
    command = [python, "-m", "adapters", contender.group, contender.name, str(seconds)]
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None, f"took more than {PATIENCE:.0f} s"
    try:
        return float(done.stdout.split()[-1]), ""  # some libraries print, and some crash while the interpreter ends
    except (IndexError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        return None, last[0][:100]


def run(registry: Registry, only: set[str], rounds: int, seconds: float) -> dict[str, list[Row]]:
    """All figures, by group."""
    wanted = [c for c in registry.contenders if not only or c.group in only]
    peers, absent = sys.executable, set[str]()
    if requirements := {c.requirement for c in wanted if c.requirement}:
        peers, absent = peers_python(requirements)
    rows: dict[str, list[Row]] = {}
    for contender in wanted:
        row = Row(contender, why="could not be installed" if contender.requirement in absent else "")
        rows.setdefault(contender.group, []).append(row)
    everything = [row for group in rows.values() for row in group]
    for number in range(rounds):
        for done, row in enumerate(everything, 1):
            if row.why:
                continue
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {rounds}: {done} of {len(everything)} ", end="", file=sys.stderr)
            group = registry.groups[row.contender.group]
            if number > 0 and group.unit != "ns":
                continue  # it does not depend on the moment
            figure, row.why = measure(sys.executable if row.contender.own else peers, row.contender, seconds)
            if figure is not None:
                row.take(figure, more_is_better=group.more_is_better)
    if sys.stderr.isatty():
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return rows


def ours_of(rows: list[Row]) -> float | None:
    return next((row.best for row in rows if row.contender.name.startswith("llmcore")), None)


def figure_of(value: float, group: Group) -> str:
    return f"{value:,.3f}" if value < 1 else f"{value:,.0f} {group.unit}".strip()


def ratio_of(value: float, ours: float | None) -> str:
    return "" if not ours else f"{value / ours:,.2f}"


def table(registry: Registry, results: dict[str, list[Row]]) -> str:
    """As text: each figure, and how many times llmcore's it is."""
    lines = []
    for name, rows in results.items():
        group = registry.groups[name]
        ours = ours_of(rows)
        better = " (more is better)" if group.more_is_better else ""
        lines += [f"{group.title + better:<70}{'':>8}{'x llmcore':>14}"]
        for row in rows:
            if row.best is None:
                lines.append(f"  {row.contender.name:<52}{'absent: ' + row.why}")
            else:
                lines.append(
                    f"  {row.contender.name:<52}{figure_of(row.best, group):>24}{ratio_of(row.best, ours):>14}"
                )
        lines.append("")
    return "\n".join(lines)


# --- the chart --------------------------------------------------------------------------------------------------------

WIDTH, LABEL, FIGURE, LINE, GAP = 900, 300, 150, 20, 34
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333; }
.title { font-weight: 600; }
.figure { fill: #666; }
.bar { fill: #b8c4d6; }
.ours { fill: #2563eb; }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd; }
  .figure { fill: #999; }
  .bar { fill: #4b5a70; }
  .ours { fill: #60a5fa; }
}
"""


def chart(registry: Registry, results: dict[str, list[Row]]) -> str:
    """As SVG: a bar for each figure; times on one logarithmic scale for each group, from its least to its greatest."""
    parts, y = [], 10
    for name, rows in results.items():
        group = registry.groups[name]
        measured = [(row, row.best) for row in rows if row.best is not None]
        if not measured:
            continue
        y += GAP - LINE
        better = "more is better" if group.more_is_better else "less is better"
        parts.append(f'<text class="title" x="0" y="{y + 14}">{escape(group.title)} ({better})</text>')
        y += LINE + 2
        least = min(value for _, value in measured)
        most = max(value for _, value in measured)
        for row, value in measured:
            if group.unit == "ns":
                share = 0.06 + 0.94 * (math.log(value / least) / math.log(most / least) if most > least else 1.0)
            else:
                share = value / most
            kind = "ours" if row.contender.name.startswith("llmcore") else "bar"
            length = round(share * (WIDTH - LABEL - FIGURE))
            parts.append(f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(row.contender.name)}</text>')
            parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y + 2}" width="{length}" height="{LINE - 5}" rx="2"/>')
            text = escape(figure_of(value, group))
            parts.append(f'<text class="figure" x="{LABEL + length + 8}" y="{y + 14}">{text}</text>')
            y += LINE
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" width="{WIDTH}" role="img">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def main() -> None:
    registry = load()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", default="", help=f"groups, by comma: {', '.join(registry.groups)}")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--chart", type=Path, help="draw them here, as SVG")
    options = parser.parse_args()
    only = {name for name in options.only.split(",") if name}
    if unknown := only - set(registry.groups):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    rounds, seconds = (1, 0.1) if options.quick else (3, 0.5)
    results = run(registry, only, rounds, seconds)
    print(table(registry, results))
    if options.json:
        flat = {name: {row.contender.name: row.best for row in rows} for name, rows in results.items()}
        options.json.write_text(json.dumps(flat, indent=2) + "\n")
    if options.chart:
        options.chart.write_text(chart(registry, results))


if __name__ == "__main__":
    main()
