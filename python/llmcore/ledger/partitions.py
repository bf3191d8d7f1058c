"""The monthly tables that PostgreSQL keeps calls in: made ahead, and dropped when they are too old.

Rows of a month without a table of its own go to the default partition, so none is ever refused; such a month gets no
table of its own any more, and its rows are deleted one by one when they are too old.
"""

from datetime import UTC, date, datetime

from sqlalchemy import Connection, exc, text

from llmcore.ledger.models import PARTITIONED

__all__ = ["drop_before", "dropped_rows", "make_ahead"]


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _existing(connection: Connection, table: str) -> set[str]:
    query = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:table AS regclass)")
    return {str(name).rpartition(".")[2] for (name,) in connection.execute(query, {"table": table})}


def make_ahead(connection: Connection, moment: datetime, months: int = 3) -> list[str]:
    """Makes the tables of the month of `moment` and of those after it, `months` in all. Commits.

    :return: the names of those that were made; two processes may do this at once
    """
    first = moment.astimezone(UTC).date().replace(day=1)
    made = []
    for table in PARTITIONED:
        known = _existing(connection, table)
        start = first
        for _ in range(months):
            end = _next_month(start)
            name = f"{table}_{start:%Y_%m}"
            if name not in known and _make(connection, table, name, start, end):
                made.append(name)
            start = end
    connection.commit()
    return made


def _make(connection: Connection, table: str, name: str, start: date, end: date) -> bool:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} "
                f"FOR VALUES FROM ('{start} 00:00+00') TO ('{end} 00:00+00')"
            )
    except (exc.IntegrityError, exc.ProgrammingError):
        # The default partition has rows of that month already, or another process was faster.
        return False
    return True


def drop_before(connection: Connection, moment: datetime) -> list[str]:
    """Drops the table of every month that ended at or before `moment`. Does not commit.

    :return: the names of those that were dropped
    """
    last = moment.astimezone(UTC).strftime("%Y_%m")
    dropped = []
    for table in PARTITIONED:
        for name in sorted(_existing(connection, table)):
            month = name.removeprefix(f"{table}_")
            if month != "default" and month < last:
                connection.exec_driver_sql(f"DROP TABLE {name}")
                dropped.append(name)
    return dropped


def dropped_rows(connection: Connection, moment: datetime) -> int:
    """How many calls :func:`drop_before` would drop."""
    last = moment.astimezone(UTC).strftime("%Y_%m")
    rows = 0
    for name in _existing(connection, "llm_calls"):
        month = name.removeprefix("llm_calls_")
        if month != "default" and month < last:
            rows += int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() or 0)
    return rows
