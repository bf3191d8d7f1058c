"""Forgetting old calls: whole months at once where they are tables of their own, the rest in small batches."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from llmcore._core import ledger_time
from llmcore.errors import LLMValidationError
from llmcore.ledger.models import PARTITIONED
from llmcore.ledger.partitions import drop_before, dropped_rows
from llmcore.ledger.revisions import begin_writing
from llmcore.ledger.rollups import rebuild

__all__ = ["MOST_DAYS", "cleanup"]

MOST_DAYS: Final = 36_500
#: Calls removed in one transaction: others get to write in between.
_BATCH: Final = 2_000
_PATIENCE_MS: Final = 30_000


def cleanup(connection: Connection, days_old: Any, *, commit: bool, now: datetime | None = None) -> int:
    """Removes the calls made more than so many days ago, whatever belongs to them and their part of the sums; returns
    how many there were.

    :param commit: after each batch; otherwise the caller does, and it is one transaction
    :param now: when that is; None: by the clock
    :raises LLMValidationError: that is no number of days
    """
    if isinstance(days_old, bool) or not isinstance(days_old, int) or not 0 <= days_old <= MOST_DAYS:
        raise LLMValidationError(f"days_old is a whole number from 0 to {MOST_DAYS:,}")
    limit = (now or datetime.now(UTC)).astimezone(UTC) - timedelta(days=days_old)
    return _Cleanup(connection, limit, commit).run()


class _Cleanup:
    def __init__(self, connection: Connection, limit: datetime, commit: bool) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        self._mark = "?" if self._sqlite else "%s"
        self._limit = limit
        self._text = ledger_time(int(limit.timestamp()) * 1_000_000_000 + limit.microsecond * 1000)
        self._commit = commit

    def run(self) -> int:
        removed = 0
        if self._sqlite and self._commit:
            driver: Any = self._connection.connection.dbapi_connection
            driver.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")  # nobody waits for this; writers take turns with it
        if not self._sqlite:
            self._begin()
            removed += dropped_rows(self._connection, self._limit)
            drop_before(self._connection, self._limit)
            self._end()
        while True:
            self._begin()
            batch = self._delete()
            # With the last of them: what is interrupted counts until the next time, which goes on from there.
            if batch < _BATCH:
                self._forget_sums()
            self._end()
            removed += batch
            if batch < _BATCH:
                return removed

    def _begin(self) -> None:
        if self._commit:
            self._connection.rollback()
            begin_writing(self._connection)

    def _end(self) -> None:
        if self._commit:
            self._connection.commit()

    def _delete(self) -> int:
        """One batch of calls with all that belongs to them, the oldest first."""
        old = self._run(
            f"SELECT id, created_at FROM llm_calls WHERE created_at < {self._mark} ORDER BY created_at LIMIT {_BATCH}",
            self._text,
        ).fetchall()
        if not old:
            return 0
        ids = [row[0] for row in old]
        for table in PARTITIONED:
            name = "id" if table == "llm_calls" else "call_id"
            if self._sqlite:
                marks = ", ".join("?" * len(ids))
                self._run(f"DELETE FROM {table} WHERE {name} IN ({marks})", *ids)
            else:
                times = (old[0][1], old[-1][1])
                self._run(f"DELETE FROM {table} WHERE {name} = ANY(%s) AND created_at BETWEEN %s AND %s", ids, *times)
        return len(ids)

    def _forget_sums(self) -> None:
        day = self._text[:10]
        self._run(f"DELETE FROM llm_sums WHERE start < {self._mark}", f"{day} 00:00:00.000000")
        rebuild(self._connection, day, day)

    def _run(self, statement: str, *values: Any) -> Any:
        return self._connection.exec_driver_sql(statement, values)
