"""The INSERT statements of the ledger, and what to do when a row is refused."""

import sqlite3
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, String, Table, exc
from sqlalchemy.dialects import postgresql

from llmcore._core import LedgerBatch, column_arrays, filled_columns
from llmcore.ledger.models import llm_attempts, llm_calls, llm_payloads
from llmcore.ledger.revisions import begin_writing
from llmcore.ledger.rollups import Rollup
from llmcore.ledger.rows import ATTEMPT_COLUMNS, CALL_COLUMNS, PAYLOAD_COLUMNS, repaired

__all__ = ["Inserts"]

# The rows of calls that were begun, of calls that are over, of attempts, and of texts: each a flat list of values.
Rows = tuple[list[Any], list[Any], list[Any], list[Any]]

_POSTGRESQL: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
# Rows per statement on SQLite, at most. Each statement is one release of the interpreter lock, which is long in coming
# back when many threads want it, and costs less per row than a statement for each.
_CHUNKS = (1024, 256, 64, 16, 4)
# Sets of columns whose statements are kept.
_MOST_SHAPES = 64


class _Insert:
    """How rows get into one table of one kind of database. Rows come one after the other in a flat list: no tuple per
    row lives on, so the garbage collector has nothing to visit. Columns in which no row has anything are left out.

    :param parameters: how many parameters a statement may have on SQLite; 0: PostgreSQL
    """

    def __init__(self, table: Table, columns: tuple[str, ...], conflict: str, parameters: int) -> None:
        self._table = table
        self._columns = columns
        self._conflict = conflict
        self._parameters = parameters
        self._statements = lru_cache(maxsize=_MOST_SHAPES)(self._for_sqlite if parameters else self._for_postgresql)

    def _head(self, kept: tuple[int, ...]) -> str:
        return f"INSERT INTO {self._table.name} ({', '.join(self._columns[place] for place in kept)})"

    def _for_sqlite(self, kept: tuple[int, ...]) -> tuple[str, dict[int, str]]:
        """The statement for one row, and those for many: by how many values they take, the largest first."""
        width = len(kept)
        row = f"({', '.join('?' * width)})"
        sizes = sorted({min(rows, self._parameters // width) for rows in _CHUNKS} - {0}, reverse=True)
        many = {size * width: f"{self._head(kept)} VALUES {', '.join([row] * size)} {self._conflict}" for size in sizes}
        return f"{self._head(kept)} VALUES {row} {self._conflict}", many

    def _for_postgresql(self, kept: tuple[int, ...]) -> tuple[str, dict[int, str]]:
        """The statement for one row, and the one for any number, which takes each column as one array."""
        width = len(kept)
        types = (_type_of(self._table.c[self._columns[place]]) for place in kept)
        arrays = f"SELECT * FROM unnest({', '.join(f'%s::{type}[]' for type in types)})"
        one = f"{self._head(kept)} VALUES ({', '.join(['%s'] * width)}) {self._conflict}"
        return one, {width: f"{self._head(kept)} {arrays} {self._conflict}"}

    def run(self, connection: Connection, values: list[Any]) -> None:
        """Inserts all rows."""
        if not values:
            return
        kept, values = filled_columns(values, len(self._columns), flags_are_numbers=self._parameters > 0)
        one, many = self._statements(kept)
        width, done = len(kept), 0
        if self._parameters == 0 and len(values) > width:
            connection.exec_driver_sql(many[width], column_arrays(values, width))
            return
        for size, statement in many.items():
            while len(values) - done >= size > width:
                connection.exec_driver_sql(statement, tuple(values[done : done + size]))
                done += size
        if done < len(values):
            rows = [tuple(values[start : start + width]) for start in range(done, len(values), width)]
            connection.exec_driver_sql(one, rows)


def _type_of(column: Column[Any]) -> str:
    """What its values are given as. A text that is too long has to be refused: a cast to VARCHAR(36) would cut it."""
    return "TEXT" if isinstance(column.type, String) else str(column.type.compile(_POSTGRESQL))


_PENDING = "status = 'pending' AND spool = {0}"
_LOSE_PENDING = (
    """
UPDATE llm_calls SET status = 'lost', cost_nano_usd = reserved_nano_usd, spool = NULL, error_code = 'lost',
       error_message = 'the process ended before this call did' WHERE """
    + _PENDING
)


_NOTE = """
UPDATE llm_calls SET trackable_type = coalesce({0}, trackable_type), trackable_id = coalesce({0}, trackable_id),
       user_id = coalesce(user_id, {0}), call_type = coalesce(call_type, {0})
WHERE id = {0}
"""


class Inserts:
    """How calls get into the database behind a connection. Writing the same call again changes nothing, and an entry of
    a spool is written once, whoever writes it how often.
    """

    def __init__(self, connection: Connection) -> None:
        by_month = ""
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.dbapi_connection
            self._mark, self._lock = "?", ""
            parameters = driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        else:
            self._mark, self._lock = "%s", " FOR UPDATE"
            parameters = 0
            by_month = ", created_at"  # a partitioned table's key holds what it is partitioned by
        self._rollup = Rollup(connection)
        how = (parameters,)
        update = ", ".join(f"{column} = excluded.{column}" for column in CALL_COLUMNS[1:])
        self._calls = _Insert(llm_calls, CALL_COLUMNS, f"ON CONFLICT (id{by_month}) DO UPDATE SET {update}", *how)
        known = f"ON CONFLICT (id{by_month}) DO NOTHING"  # its end may have come by another way
        self._begun = _Insert(llm_calls, CALL_COLUMNS, known, *how)
        known = f"ON CONFLICT (call_id, number{by_month}) DO NOTHING"
        self._attempts = _Insert(llm_attempts, ATTEMPT_COLUMNS, known, *how)
        # What was said at a call's beginning stays when its end says nothing of it.
        merged = ", ".join(f"{name} = coalesce(excluded.{name}, llm_payloads.{name})" for name in PAYLOAD_COLUMNS[1:])
        known = f"ON CONFLICT (call_id{by_month}) DO UPDATE SET {merged}"
        self._payloads = _Insert(llm_payloads, PAYLOAD_COLUMNS, known, *how)

    def write(
        self, connection: Connection, spool: str, batch: LedgerBatch, through: int
    ) -> tuple[int, Exception | None]:
        """Writes entries of a spool, whose numbers end with `through`, and moves its position there: in one
        transaction. If that is refused because of some row, again with every call apart: first as it is, then repaired.

        Returns how many calls the database refused for good, and why the first of them was. Raises what is wrong with
        the database; then nothing counts as written.
        """
        try:
            return self._write(connection, spool, batch, through, apart=False)
        except Exception as error:
            if not _is_about_a_row(error, connection):
                raise
        return self._write(connection, spool, batch, through, apart=True)

    def _write(
        self, connection: Connection, spool: str, batch: LedgerBatch, through: int, *, apart: bool
    ) -> tuple[int, Exception | None]:
        rejected, refused = 0, None
        try:
            begin_writing(connection)
            position = self._position(connection, spool)
            batch.choose(position)
            if apart:
                for call in range(batch.calls):
                    error = self._insert_apart(connection, batch.rows_of(spool, call))
                    if error is not None:
                        rejected, refused = rejected + 1, refused or error
            else:
                self._insert(connection, *batch.rows(spool))
            self._add_notes(connection, batch.notes)
            self._rollup.apply(connection)
            self._move(connection, spool, max(position, through))
            connection.commit()
        except BaseException:
            connection.rollback()
            self._rollup.clear()
            raise
        return rejected, refused

    def _insert_apart(self, connection: Connection, rows: Rows) -> Exception | None:
        refused: Exception | None = None
        for repair in (False, True):
            connection.exec_driver_sql("SAVEPOINT one_call")
            try:
                self._insert(connection, *(_repaired(rows) if repair else rows))
            except Exception as error:
                if not _is_about_a_row(error, connection):
                    raise
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one_call")
                refused = error
            else:
                refused = None
            connection.exec_driver_sql("RELEASE SAVEPOINT one_call")
            if refused is None:
                break
        return refused

    def _insert(
        self, connection: Connection, begun: list[Any], calls: list[Any], attempts: list[Any], payloads: list[Any]
    ) -> None:
        replaced = self._rollup.look_up(connection, calls)
        self._begun.run(connection, begun)
        self._calls.run(connection, calls)
        self._attempts.run(connection, attempts)
        self._payloads.run(connection, payloads)
        self._rollup.add(calls, replaced)  # last: nothing is counted that is refused

    def _add_notes(self, connection: Connection, notes: list[tuple[str | None, ...]]) -> None:
        if not notes:
            return
        ids = [str(note[-1]) for note in notes]
        before = self._rollup.finished(connection, ids)
        for note in notes:
            connection.exec_driver_sql(_NOTE.format(self._mark), note)
        self._rollup.move(before, self._rollup.finished(connection, ids))

    # --- positions of spools ------------------------------------------------------------------------------------------

    def _position(self, connection: Connection, spool: str) -> int:
        query = f"SELECT position FROM llm_spools WHERE id = {self._mark}{self._lock}"
        found = connection.exec_driver_sql(query, (spool,)).scalar()
        if found is None and self._lock:
            # Only a row can be locked. Whoever else writes from this spool for the first time waits here.
            connection.exec_driver_sql(
                "INSERT INTO llm_spools (id, position, updated_at) VALUES (%s, 0, CURRENT_TIMESTAMP) "
                "ON CONFLICT DO NOTHING",
                (spool,),
            )
            found = connection.exec_driver_sql(query, (spool,)).scalar()
        return 0 if found is None else int(found)

    def _move(self, connection: Connection, spool: str, position: int) -> None:
        connection.exec_driver_sql(
            f"INSERT INTO llm_spools (id, position, updated_at) VALUES ({self._mark}, {self._mark}, CURRENT_TIMESTAMP) "
            "ON CONFLICT (id) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at",
            (spool, position),
        )

    def lose_pending(self, connection: Connection, spool: str) -> None:
        """What was begun by the process of a spool and never ended is lost, and counts as the most it could cost."""
        try:
            begin_writing(connection)
            self._rollup.count_lost(connection, _PENDING.format(self._mark), (spool,))
            connection.exec_driver_sql(_LOSE_PENDING.format(self._mark), (spool,))
            self._rollup.apply(connection)
            connection.commit()
        except BaseException:
            connection.rollback()
            self._rollup.clear()
            raise

    def forget_spool(self, connection: Connection, spool: str) -> None:
        """Forgets the position of a spool that is gone."""
        try:
            begin_writing(connection)
            connection.exec_driver_sql(f"DELETE FROM llm_spools WHERE id = {self._mark}", (spool,))
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def _repaired(rows: Rows) -> Rows:
    begun, calls, attempts, payloads = rows
    return (
        repaired(CALL_COLUMNS, begun),
        repaired(CALL_COLUMNS, calls),
        repaired(ATTEMPT_COLUMNS, attempts),
        repaired(PAYLOAD_COLUMNS, payloads),
    )


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
    # column, 54000 one that is too long for an index.
    code = getattr(error.orig, "sqlstate", None) if isinstance(error, exc.DBAPIError) else ""
    return code == "54000" or (isinstance(error, exc.ProgrammingError) and code in (None, "42804"))
