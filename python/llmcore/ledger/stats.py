"""Questions to the ledger about many calls. SQLAlchemy is imported with this module, so import it where a question is
asked.

All of them are answered from the sums that the writer keeps, by the hour and by the day; calls themselves are read
only for the part of an hour at an end of the time asked for. ``where`` is a database URL, the path of a SQLite file, an
engine, a tracker, or a session or connection of the host's own; None is the ledger of the process.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from llmcore.errors import LLMValidationError
from llmcore.ledger.report import NO_CALL_TYPE, Report, ReportBuilder, Section, Sums
from llmcore.ledger.sums import GROUPS, grouped, presentable, utc
from llmcore.ledger.where import ask

__all__ = ["GROUPS", "get_cost_stats", "get_performance_stats", "report", "statistics"]

#: days that one may ask for
_MOST_DAYS = 366_000


def report(where: Any = None, since: datetime | None = None, until: datetime | None = None) -> Report:
    """Adds up the calls made in [since, until), by the moment they were submitted.

    :param since: naive means UTC; None: from the first call
    :param until: naive means UTC; None: to the last call
    :raises LedgerError: there is no ledger, or it cannot be read
    """
    since, until = utc(since), utc(until)

    def add_up(connection: Connection, ours: bool) -> dict[tuple[str, ...], Sums]:
        _begin(connection, ours)
        return grouped(connection, ("call_type", "provider", "model"), since, until, pending=True)

    builder = ReportBuilder()
    for (call_type, provider, model), sums in ask(where, add_up).items():
        builder.part(call_type or None, provider, model).merge(sums)
    return builder.build(since, until)


def statistics(
    where: Any = None,
    by: Sequence[str] = (),
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    days: int | None = None,
    **filters: str | None,
) -> dict[tuple[str, ...], Section]:
    """Adds up the finished calls of a time for each combination of what they are grouped by, the most calls first.

    :param by: any of GROUPS: call_type, provider, model, tenant, status, source, error_code, user, company, day, hour
    :param days: today and so many days before it, in UTC, in place of since
    :param filters: what of GROUPS must be what, and ``user_id`` and ``company_id``
    :raises LLMValidationError: there is no such group, filter or time
    :raises LedgerError: there is no ledger, or it cannot be read
    """
    found = _ask(where, by, since, until, days, filters)
    sections = {group: sums.section() for group, sums in found.items()}
    return dict(sorted(sections.items(), key=lambda item: (-item[1].calls, item[0])))


def get_cost_stats(
    where: Any = None,
    *,
    days: int | None = 30,
    since: datetime | None = None,
    until: datetime | None = None,
    **filters: str | None,
) -> dict[str, Any]:
    """What calls cost: total_cost in US dollars, total_calls, and the same by_call_type, by_provider, by_model and
    by_day.

    :param filters: as of :func:`statistics`, ``user_id="u1"`` above all
    :raises LLMValidationError: there is no such filter or time
    :raises LedgerError: there is no ledger, or it cannot be read
    """
    by = ("call_type", "provider", "model", "day")
    found = _ask(where, by, since, until, None if since is not None else days, filters)
    total = _merged(found.values())
    return {
        **{f"total_{name}": value for name, value in _costs(total).items()},
        "total_cost_nano_usd": total.cost_nano_usd,
        **{f"by_{name}": _by(found, (i,), _costs) for i, name in enumerate(by) if name != "model"},
        "by_model": _by(found, (1, 2), _costs),
    }


def get_performance_stats(
    where: Any = None,
    *,
    days: int | None = 7,
    since: datetime | None = None,
    until: datetime | None = None,
    **filters: str | None,
) -> dict[str, Any]:
    """How fast and how reliable calls were: avg_latency_ms, p50_latency_ms, p95_latency_ms, p99_latency_ms,
    max_latency_ms, error_rate, cache_rate, tokens_per_second, total_calls, errors, and the same by_call_type,
    by_provider and by_model.

    Latency is that of answers from providers, within 1 %; tokens_per_second is what they generated in it. The error
    rate is that of calls that failed or were refused among all that were not cancelled; the cache rate that of calls
    answered from the cache or by joining another.

    :param filters: as of :func:`statistics`, ``provider="openai", model="gpt-4o"`` above all
    :raises LLMValidationError: there is no such filter or time
    :raises LedgerError: there is no ledger, or it cannot be read
    """
    by = ("call_type", "provider", "model", "source")
    found = _ask(where, by, since, until, None if since is not None else days, filters)
    return {
        **_performance(found),
        "errors": dict(_merged(found.values()).errors.most_common()),
        "by_call_type": _performance_by(found, (0,)),
        "by_provider": _performance_by(found, (1,)),
        "by_model": _performance_by(found, (1, 2)),
    }


def _ask(
    where: Any,
    by: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    days: Any,
    filters: Mapping[str, Any],
) -> dict[tuple[str, ...], Sums]:
    if days is not None:
        if isinstance(days, bool) or not isinstance(days, int) or not 0 <= days <= _MOST_DAYS:
            raise LLMValidationError(f"days is a whole number from 0 to {_MOST_DAYS:,}")
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        since = today - timedelta(days=days)
    since, until = utc(since), utc(until)
    wanted = {}
    for name, value in filters.items():
        if value is not None:
            if not isinstance(value, str):
                raise LLMValidationError(f"{name[:60]!r} is text, not a {type(value).__name__}")
            wanted[name.removesuffix("_id") if name in ("user_id", "company_id") else name] = value

    def add_up(connection: Connection, ours: bool) -> dict[tuple[str, ...], Sums]:
        _begin(connection, ours)
        sqlite = connection.dialect.name == "sqlite"
        told = {name: presentable(value, sqlite=sqlite) for name, value in wanted.items()}
        return grouped(connection, by, since, until, told)

    return ask(where, add_up)


def _begin(connection: Connection, ours: bool) -> None:
    """Lets all that is asked next be about the same moment."""
    if not ours:
        return
    connection.begin()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    elif not getattr(connection.connection.dbapi_connection, "in_transaction", False):
        connection.exec_driver_sql("BEGIN")


def _merged(parts: Any) -> Sums:
    total = Sums()
    for part in parts:
        total.merge(part)
    return total


def _divided(found: Mapping[tuple[str, ...], Sums], places: tuple[int, ...]) -> dict[str, dict[tuple[str, ...], Sums]]:
    divided: dict[str, dict[tuple[str, ...], Sums]] = {}
    for group, sums in found.items():
        name = "/".join(group[place] for place in places) or NO_CALL_TYPE
        divided.setdefault(name, {})[group] = sums
    return divided


def _by(found: Mapping[tuple[str, ...], Sums], places: tuple[int, ...], told: Any) -> dict[str, Any]:
    sums = {name: _merged(parts.values()) for name, parts in _divided(found, places).items()}
    return dict(
        sorted(((name, told(each)) for name, each in sums.items()), key=lambda item: (-item[1]["cost"], item[0]))
    )


def _costs(sums: Sums) -> dict[str, Any]:
    section = sums.section()
    return {
        "cost": float(section.cost.dollars),
        "calls": section.calls,
        "tokens": section.total_tokens,
        "input_tokens": section.input_tokens,
        "output_tokens": section.output_tokens,
        "saved": float(section.saved.dollars),
        "unknown_cost_calls": section.unknown_cost_calls,
    }


def _performance_by(found: Mapping[tuple[str, ...], Sums], places: tuple[int, ...]) -> dict[str, Any]:
    told = {name: _performance(parts) for name, parts in _divided(found, places).items()}
    return dict(sorted(told.items(), key=lambda item: (-item[1]["total_calls"], item[0])))


def _performance(parts: Mapping[tuple[str, ...], Sums]) -> dict[str, Any]:
    section = _merged(parts.values()).section()
    latency = section.latency
    tokens = sum(sums.output_tokens for group, sums in parts.items() if group[-1] == "provider")
    seconds = latency.mean_ms * latency.count / 1000
    judged = section.calls - section.cancelled
    return {
        "total_calls": section.calls,
        "avg_latency_ms": latency.mean_ms,
        "p50_latency_ms": latency.p50_ms,
        "p95_latency_ms": latency.p95_ms,
        "p99_latency_ms": latency.p99_ms,
        "max_latency_ms": latency.max_ms,
        "error_rate": (section.failed + section.refused) / judged if judged else 0.0,
        "cache_rate": (section.cached + section.joined) / section.calls if section.calls else 0.0,
        "tokens_per_second": tokens / seconds if seconds else 0.0,
    }
