"""Questions to the ledger. SQLAlchemy is imported with this module, so import it where a question is asked."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select

from llmcore.ledger.database import Database
from llmcore.ledger.models import llm_calls
from llmcore.ledger.report import Report, ReportBuilder

__all__ = ["report"]

_SUMMED = (
    *("attempts", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "total_tokens"),
    *("cost_nano_usd", "saved_nano_usd"),
)


def report(
    url_or_engine: str | Engine | None = None, since: datetime | None = None, until: datetime | None = None
) -> Report:
    """Adds up the calls made in [since, until), by the moment they were submitted.

    Sums are the database's work; latencies are read row by row, a few seconds for a million calls.

    :param url_or_engine: as for :class:`~llmcore.ledger.tracker.UsageTracker`
    :param since: naive means UTC; None: from the first call
    :param until: naive means UTC; None: to the last call
    :raises LedgerError: there is no ledger, or it cannot be read
    """
    since, until = _utc(since), _utc(until)
    builder = ReportBuilder()
    with closing(Database(url_or_engine).connect_reading()) as connection:
        # Both questions are about the same moment.
        connection.begin()
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        elif not getattr(connection.connection.dbapi_connection, "in_transaction", False):
            connection.exec_driver_sql("BEGIN")
        _add_sums(builder, connection, since, until)
        _add_latencies(builder, connection, since, until)
    return builder.build(since, until)


def _add_sums(builder: ReportBuilder, connection: Connection, since: datetime | None, until: datetime | None) -> None:
    call = llm_calls.c
    part = (call.call_type, call.provider, call.model)
    ending = (call.status, call.source, call.error_code)
    query = select(
        *part,
        *ending,
        func.count().label("calls"),
        func.count(call.cost_nano_usd).label("priced"),
        func.coalesce(func.sum(call.queue_ms), 0.0).label("queue_ms"),
        func.coalesce(func.max(call.queue_ms), 0.0).label("queue_ms_max"),
        *(func.coalesce(func.sum(call[name]), 0).label(name) for name in _SUMMED),
    ).group_by(*part, *ending)
    for row in connection.execute(_between(query, since, until)):
        sums = builder.part(row.call_type, row.provider, row.model)
        sums.end(row.status, row.source, row.calls)
        for name in _SUMMED:
            setattr(sums, name, getattr(sums, name) + int(getattr(row, name)))
        sums.unknown_cost_calls += row.calls - row.priced
        sums.queue_ns += round(row.queue_ms * 1_000_000)
        sums.queue_ns_max = max(sums.queue_ns_max, round(row.queue_ms_max * 1_000_000))
        if row.error_code is not None:
            sums.errors[row.error_code] += row.calls


def _add_latencies(
    builder: ReportBuilder, connection: Connection, since: datetime | None, until: datetime | None
) -> None:
    call = llm_calls.c
    query = select(call.call_type, call.provider, call.model, call.latency_ms).where(
        call.source == "provider", call.latency_ms.is_not(None)
    )
    rows = connection.execution_options(yield_per=10_000).execute(_between(query, since, until))
    for call_type, provider, model, latency_ms in rows:
        builder.part(call_type, provider, model).latency.add(round(latency_ms * 1_000_000))


def _between(query: Select[Any], since: datetime | None, until: datetime | None) -> Select[Any]:
    created_at = llm_calls.c.created_at
    if since is not None:
        query = query.where(created_at >= since)
    if until is not None:
        query = query.where(created_at < until)
    return query


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
