"""The report of a run or of the ledger: as text for people, as JSON for programs."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from llmcore.cli.output import as_csv, one_shape
from llmcore.cli.text import dollars, milliseconds, name, seconds, show
from llmcore.errors import LLMConfigError

if TYPE_CHECKING:
    from llmcore.ledger.report import Report, Section

__all__ = ["ledger_url", "moment", "render", "render_csv", "render_json", "run_report"]

#: Lines of a table.
_ROWS = 50

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def run_report(
    database: str | None, since: str | None, until: str | None = None, *, json: bool = False, csv: bool = False
) -> None:
    """Prints the report of the ledger.

    :raises LLMError: there is no ledger, it cannot be read, or a time is none
    """
    one_shape(json=json, csv=csv)
    from llmcore.ledger.stats import report

    now = datetime.now(UTC)
    start = None if since is None else moment(since, now, "--since")
    end = None if until is None else moment(until, now, "--until")
    found = report(ledger_url(database), since=start, until=end)
    show(render_json(found) if json else render_csv(found) if csv else render(found))


def ledger_url(given: str | None) -> str | None:
    """The ledger that a command is about, as the user names it, or as configured.

    :raises LLMConfigError: there is none
    """
    from llmcore.cli.batch.options import database_url
    from llmcore.config import Settings

    url = Settings().ledger.url if given is None else database_url(given)
    if url == "none":
        raise LLMConfigError('the ledger is "none", so there is nothing to report; name a database with --database')
    return url


def moment(text: str, now: datetime, option: str = "--since") -> datetime:
    """A time as the user tells it: so long ago (90m, 24h, 7d, 2w), or a date with or without a time, in UTC.

    :raises LLMConfigError: it is neither
    """
    try:
        if ago := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise LLMConfigError(
            f"{option} {text!r} is no time; say how long ago (90m, 24h, 7d, 2w) or a date, as in 2026-11-20T08:00 (UTC)"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def render_json(report: "Report") -> str:
    """The report as JSON."""
    import json

    return json.dumps(report.to_dict(), indent=2)


def render_csv(report: "Report") -> str:
    """The report as CSV: all calls, then by model, then by call type."""
    rows = []
    for part, sections in (
        ("total", {"": report.total}),
        ("model", report.by_model),
        ("call_type", report.by_call_type),
    ):
        for key, section in sections.items():
            told = section.to_dict()
            latency = {f"latency_{field}": value for field, value in told.pop("latency").items()}
            rows.append({"by": part, "name": key, **told, **latency})
    return as_csv(rows, tuple(rows[0]))


def render(report: "Report") -> str:
    """The report as text."""
    total = report.total
    lines = []
    if report.since is not None:
        lines.append(f"since     {report.since:%Y-%m-%d %H:%M} UTC")
    endings = [
        f"{total.ok:,} ok",
        f"{total.cached:,} cached",
        f"{total.joined:,} coalesced",
        f"{total.fallback:,} fallback",
        f"{total.failed:,} failed",
        f"{total.refused:,} refused",
    ]
    if total.cancelled:
        endings.append(f"{total.cancelled:,} cancelled")
    if total.pending:
        endings.append(f"{total.pending:,} pending")
    lines.append(f"calls     {total.calls:,}: {', '.join(endings)}")
    lines.append(f"attempts  {total.attempts:,}")
    lines.append(
        f"tokens    {total.input_tokens:,} in ({total.cached_tokens:,} from the provider's cache), "
        f"{total.output_tokens:,} out ({total.reasoning_tokens:,} of them reasoning)"
    )
    unknown = (
        f", and an unknown amount for {total.unknown_cost_calls:,} of the calls" if total.unknown_cost_calls else ""
    )
    lines.append(f"cost      {dollars(total.cost_nano_usd)}{unknown}")
    lines.append(f"saved     {dollars(total.saved_nano_usd)} by the cache and by coalescing")
    latency = total.latency
    lines.append(
        f"latency   p50 {milliseconds(latency.p50_ms)}, p95 {milliseconds(latency.p95_ms)}, "
        f"p99 {milliseconds(latency.p99_ms)}, most {milliseconds(latency.max_ms)}"
    )
    lines.append(
        f"waiting   {seconds(total.queue_ms / 1000)} for limits, all calls together; "
        f"{seconds(total.queue_ms_max / 1000)} the longest"
    )
    if total.errors:
        lines.append(f"errors    {', '.join(f'{count:,} {name(code)}' for code, count in total.errors.items())}")
    lines.extend(_table("model", report.by_model))
    lines.extend(_table("call type", report.by_call_type))
    return "\n".join(lines)


def _table(title: str, sections: "Mapping[str, Section]") -> list[str]:
    """One line for each section, in columns; nothing where one section is all there is."""
    if len(sections) < 2:
        return []
    rows = [(title, "calls", "failed", "tokens in", "out", "cost", "p50", "p95")]
    for key, section in islice(sections.items(), _ROWS):
        cost = dollars(section.cost_nano_usd) + (" + ?" if section.unknown_cost_calls else "")
        rows.append(
            (
                name(key),
                f"{section.calls:,}",
                f"{section.failed + section.refused:,}",
                f"{section.input_tokens:,}",
                f"{section.output_tokens:,}",
                cost,
                milliseconds(section.latency.p50_ms) if section.latency.count else "-",
                milliseconds(section.latency.p95_ms) if section.latency.count else "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "",
        *(
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ),
        *([f"... and {len(sections) - _ROWS:,} more (--json has them all)"] if len(sections) > _ROWS else []),
    ]
