"""The INSERT statements of the ledger, and what to do when a row is refused."""

import sqlite3
from typing import Any

from sqlalchemy import Connection, exc

from llmcore.ledger.revisions import begin_writing
from llmcore.ledger.rows import ATTEMPT_COLUMNS, CALL_COLUMNS, add_attempt_rows, call_row, repaired
from llmcore.types import CallRecord

__all__ = ["Inserts"]

# Rows per statement on SQLite, at most. Each statement is one release of the interpreter lock, which is long in coming
# back when many threads want it, and costs less per row than a statement for each.
_CHUNKS = (1024, 256)


class _Insert:
    """How rows get into one table of one kind of database. Rows come one after the other in a flat list: no tuple per
    row lives on, so the garbage collector has nothing to visit.

    :param parameters: how many parameters a statement may have; 0: single rows are better
    """

    def __init__(self, table: str, columns: tuple[str, ...], conflict: str, mark: str, parameters: int) -> None:
        row = f"({', '.join([mark] * len(columns))})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
        self._width = len(columns)
        self._one = f"{head} {row} {conflict}"
        sizes = sorted({min(rows, parameters // self._width) for rows in _CHUNKS} - {0}, reverse=True)
        self._many = {size * self._width: f"{head} {', '.join([row] * size)} {conflict}" for size in sizes}

    def run(self, connection: Connection, values: list[Any]) -> None:
        """Inserts all rows."""
        done = 0
        for size, statement in self._many.items():
            while len(values) - done >= size:
                connection.exec_driver_sql(statement, tuple(values[done : done + size]))
                done += size
        if done < len(values):
            rows = [tuple(values[start : start + self._width]) for start in range(done, len(values), self._width)]
            connection.exec_driver_sql(self._one, rows)


class Inserts:
    """How calls get into the database behind a connection. Writing the same call again changes nothing."""

    def __init__(self, connection: Connection) -> None:
        by_month = ""
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.dbapi_connection
            how = ("?", driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))
        else:
            # psycopg sends many single rows in one go, but takes a statement with thousands of parameters apart anew
            # every time.
            how = ("%s", 0)
            by_month = ", created_at"  # a partitioned table's key holds what it is partitioned by
        update = ", ".join(f"{column} = excluded.{column}" for column in CALL_COLUMNS[1:])
        self._calls = _Insert("llm_calls", CALL_COLUMNS, f"ON CONFLICT (id{by_month}) DO UPDATE SET {update}", *how)
        known = f"ON CONFLICT (call_id, number{by_month}) DO NOTHING"
        self._attempts = _Insert("llm_attempts", ATTEMPT_COLUMNS, known, *how)

    def write(self, connection: Connection, batch: list[CallRecord]) -> tuple[int, Exception | None]:
        """Writes calls in one transaction. If that is refused because of some row, one transaction per call: first as
        it is, then repaired.

        Returns how many calls the database refused for good, and why the first of them was. Raises what is wrong with
        the database; then nothing counts as written.
        """
        refused: Exception | None = None
        rejected = 0
        if self._accepts(connection, batch) is None:
            return 0, None
        for record in batch:
            if self._accepts(connection, [record]) is not None:
                error = self._accepts(connection, [record], repair=True)
                if error is not None:
                    refused = refused or error
                    rejected += 1
        return rejected, refused

    def _accepts(self, connection: Connection, batch: list[CallRecord], *, repair: bool = False) -> Exception | None:
        """Tries to write calls. None: they are written; an error: some row is refused, and nothing is written."""
        try:
            begin_writing(connection)
            self._run(connection, batch, repair)
            connection.commit()
        except Exception as error:
            connection.rollback()
            if not _is_about_a_row(error, connection):
                raise
            return error
        except BaseException:
            connection.rollback()
            raise
        return None

    def _run(self, connection: Connection, batch: list[CallRecord], repair: bool) -> None:
        calls: list[Any] = []
        attempts: list[Any] = []
        for record in batch:
            calls += call_row(record)
            add_attempt_rows(attempts, record)
        self._calls.run(connection, repaired(CALL_COLUMNS, calls) if repair else calls)
        self._attempts.run(connection, repaired(ATTEMPT_COLUMNS, attempts) if repair else attempts)


def _is_about_a_row(error: Exception, connection: Connection) -> bool:
    """Whether a batch failed because of what is in it rather than because of the database."""
    if not isinstance(error, exc.SQLAlchemyError):
        return isinstance(
            error, TypeError | ValueError | ArithmeticError | AttributeError | LookupError | RecursionError
        )
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return True
    if connection.dialect.name == "sqlite":
        return isinstance(error, exc.InterfaceError | exc.ProgrammingError)  # a type that cannot be bound
    # Without a code it comes from the driver, which cannot adapt a type; 42804 is a value of another type than its
    # column.
    code = getattr(error.orig, "sqlstate", None) if isinstance(error, exc.DBAPIError) else ""
    return isinstance(error, exc.ProgrammingError) and code in (None, "42804")
