"""The report of a run or of the ledger: as text for people, as JSON for programs."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from llmcore.cli.text import dollars, milliseconds, name, seconds, show
from llmcore.errors import LLMConfigError

if TYPE_CHECKING:
    from llmcore.ledger.report import Report, Section

__all__ = ["moment", "render", "render_json", "run_report"]

#: Lines of a table.
_ROWS = 50

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def run_report(database: str | None, since: str | None, as_json: bool) -> None:
    """Prints the report of the ledger.

    :raises LLMError: there is no ledger, it cannot be read, or `since` is no time
    """
    from llmcore.cli.batch.options import database_url
    from llmcore.config import Settings
    from llmcore.ledger.stats import report

    start = None if since is None else moment(since, datetime.now(UTC))
    url = Settings().ledger.url if database is None else database_url(database)
    if url == "none":
        raise LLMConfigError('the ledger is "none", so there is nothing to report; name a database with --database')
    found = report(url, since=start)
    show(render_json(found) if as_json else render(found))


def moment(text: str, now: datetime) -> datetime:
    """A time as the user tells it: so long ago (90m, 24h, 7d, 2w), or a date with or without a time, in UTC.

    :raises LLMConfigError: it is neither
    """
    try:
        if ago := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise LLMConfigError(
            f"--since {text!r} is no time; say how long ago (90m, 24h, 7d, 2w) or a date, as in 2026-11-20T08:00 (UTC)"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def render_json(report: "Report") -> str:
    """The report as JSON."""
    import json

    return json.dumps(report.to_dict(), indent=2)


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
        lines.append(f"errors    {', '.join(f'{count:,} {code}' for code, count in total.errors.items())}")
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
