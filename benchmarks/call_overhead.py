"""What a call costs the client: CPU, calls per second, import time, memory; beside the peers, in one run.

    python benchmarks/call_overhead.py [--quick] [--json FILE] [--peers liter-llm,litellm]

A server on loopback answers at once, in a process of its own. Each contender runs in a fresh process; peers that are
not dependencies of llmcore are installed into an environment of their own (benchmarks/.venv-peers). The rounds of all
contenders alternate, and the median counts, so that a machine whose speed drifts is unfair to nobody. Read the ratios,
not the numbers.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from environment import peers_python

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "py"))
from support.server_process import ServerProcess  # noqa: E402 - the tests' server, on the path only now

PEERS = {
    "liter-llm": "liter-llm>=2",
    "any-llm": "any-llm-sdk[openai]>=1.40",
    "langchain-openai": "langchain-openai>=1",
    "litellm": "litellm>=1.50",
    "instructor": "instructor>=1.17",
}
#: A second's work for these is less.
SLOW = ("llmcore.openai", "openai", "any-llm", "langchain-openai", "litellm", "instructor")
STRUCTURED = ("llmcore", "langchain-openai", "instructor")
#: What the server answers everything with: a value of contenders.review(), a body of about 1 KB.
ANSWER = {"mood": "good", "stars": 4, "topics": ["rooms", "food", "harbour"], "summary": "x" * 500}
OWN = ("raw-socket", "pyreqwest", "llmcore", "llmcore.openai", "openai")


def measure(python: str, name: str, mode: str, count: int, base_url: str, threads: bool = False) -> dict[str, float]:
    """One run of one contender in a process of its own."""
    environment = dict(os.environ)
    environment.pop("LLMCORE_BENCH_THREADS", None)
    if threads:
        environment["LLMCORE_BENCH_THREADS"] = "1"
    done = subprocess.run(
        [python, str(HERE / "contenders.py"), name, mode, str(count), base_url],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if not done.stdout:  # some libraries crash while the interpreter ends; what was measured before that counts
        raise SystemExit(f"{name} {mode} ended with {done.returncode}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Key by key."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls and one round")
    parser.add_argument("--json", type=Path, help="write the medians here too")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, of these; empty for none")
    options = parser.parse_args()
    names = [name for name in options.peers.split(",") if name]
    peers, absent = peers_python(PEERS[name] for name in names) if names else (sys.executable, set[str]())
    for name in [name for name in names if PEERS[name] in absent]:
        print(f"{name} could not be installed, and is left out")
        names.remove(name)
    rounds, scale = (1, 10) if options.quick else (3, 1)

    plan: list[tuple[str, str, str, int, bool]] = []
    for name in (*OWN, *names):
        python = peers if name in PEERS else sys.executable
        slow = name in SLOW
        if name in STRUCTURED:
            plan.append((name, python, "structured", (1_000 if slow else 10_000) // scale, False))
        if name == "instructor":
            continue  # it has no call of its own
        plan.append((name, python, "sequential", (2_000 if slow else 10_000) // scale, False))
        if name not in ("raw-socket", "pyreqwest"):
            plan.append((name, python, "concurrent", (2_000 if slow else 20_000) // scale, False))
            plan.append((name, python, "import", 1, False))
    plan.append(("llmcore", sys.executable, "concurrent", 20_000 // scale, True))
    plan.append(("llmcore-hit", sys.executable, "sequential", 50_000 // scale, False))

    results: dict[tuple[str, str, bool], list[dict[str, float]]] = {}
    with ServerProcess("chat", text=json.dumps(ANSWER)) as server:
        for _ in range(rounds):
            for name, python, mode, count, threads in plan:
                found = measure(python, name, mode, count, server.base_url, threads)
                results.setdefault((name, mode, threads), []).append(found)
    medians = {key: median(runs) for key, runs in results.items()}
    report(medians, names)
    if options.json:
        flat = {
            "/".join((name, "threads" if threads else mode)): found for (name, mode, threads), found in medians.items()
        }
        options.json.write_text(json.dumps(flat, indent=2) + "\n")


def report(found: dict[tuple[str, str, bool], dict[str, float]], peers: list[str]) -> None:
    """The table, and how we stand."""
    ours = found["llmcore", "sequential", False]["cpu_us"]
    rate = found["llmcore", "concurrent", False]["per_second"]
    whole = found["llmcore", "structured", False]["cpu_us"]
    least = {"sequential": ours, "structured": whole}
    titles = (("one after the other", "sequential"), ("64 at once", "concurrent"), ("a value of a type", "structured"))
    for title, wanted in titles:
        print(f"{title:<22}{'CPU us/call':>12}{'calls/s':>10}{'x llmcore':>11}{'RSS MB':>8}")
        for (name, mode, threads), one in found.items():
            if mode == wanted:
                label = name + (" (threads)" if threads else "")
                cpu, per_second = one["cpu_us"], one["per_second"]
                ratio = cpu / least[wanted] if wanted in least else per_second / rate
                print(f"{label:<22}{cpu:>12.1f}{per_second:>10.0f}{ratio:>11.2f}{one['rss_mb']:>8.0f}")
        print()
    print(f"{'import':<22}{'ms':>12}{'RSS MB':>10}")
    for (name, mode, _), one in found.items():
        if mode == "import":
            print(f"{name:<22}{one['import_ms']:>12.1f}{one['import_rss_mb']:>10.1f}")
    best = max(found["llmcore", "concurrent", threads]["per_second"] for threads in (False, True))
    print(f"\n64 at once, llmcore / openai SDK: {best / found['openai', 'concurrent', False]['per_second']:.1f}")
    for name in peers:
        for kind, cpu, mode in (("call", ours, "sequential"), ("structured call", whole, "structured")):
            if (name, mode, False) in found:
                print(f"CPU per {kind}, llmcore / {name}: {cpu / found[name, mode, False]['cpu_us']:.2f}")
    print(f"cache hit, all included: {found['llmcore-hit', 'sequential', False]['cpu_us']:.1f} us")


if __name__ == "__main__":
    main()
