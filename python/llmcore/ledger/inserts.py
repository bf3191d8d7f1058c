"""The INSERT statements of the ledger, and what to do when a row is refused."""

from typing import Any

from sqlalchemy import Connection, exc

from llmcore.ledger.revisions import begin_writing
from llmcore.ledger.rows import ATTEMPT_COLUMNS, CALL_COLUMNS, add_attempt_rows, call_row, repaired
from llmcore.types import CallRecord

__all__ = ["Inserts"]

# Rows per statement. Each statement is one release of the interpreter lock and costs less per row than a statement for
# each; more rows would exceed the 32766 parameters that SQLite allows.
_CHUNK = 256


class _Insert:
    """How rows get into one table of one kind of database. Rows come one after the other in a flat list: no tuple per
    row lives on, so the garbage collector has nothing to visit.
    """

    def __init__(self, table: str, columns: tuple[str, ...], conflict: str, paramstyle: str) -> None:
        row = f"({', '.join(['?' if paramstyle == 'qmark' else '%s'] * len(columns))})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
        self._width = len(columns)
        self._one = f"{head} {row} {conflict}"
        self._many = f"{head} {', '.join([row] * _CHUNK)} {conflict}"

    def run_chunks(self, connection: Connection, values: list[Any]) -> list[Any]:
        """Inserts as many times _CHUNK rows as there are and returns the values of the rest."""
        size = self._width * _CHUNK
        whole = len(values) - len(values) % size
        for start in range(0, whole, size):
            connection.exec_driver_sql(self._many, tuple(values[start : start + size]))
        return values[whole:]

    def run(self, connection: Connection, values: list[Any]) -> None:
        """Inserts all rows."""
        rest = self.run_chunks(connection, values)
        if rest:
            rows = [tuple(rest[start : start + self._width]) for start in range(0, len(rest), self._width)]
            connection.exec_driver_sql(self._one, rows)


class Inserts:
    """How calls get into one kind of database. Writing the same call again changes nothing."""

    def __init__(self, paramstyle: str) -> None:
        update = ", ".join(f"{column} = excluded.{column}" for column in CALL_COLUMNS[1:])
        again = f"ON CONFLICT (id) DO UPDATE SET {update}"
        self._calls = _Insert("llm_calls", CALL_COLUMNS, again, paramstyle)
        again = "ON CONFLICT (call_id, number) DO NOTHING"
        self._attempts = _Insert("llm_attempts", ATTEMPT_COLUMNS, again, paramstyle)

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
        attempts: list[Any] = []
        for start in range(0, len(batch), _CHUNK):
            calls: list[Any] = []
            for record in batch[start : start + _CHUNK]:
                calls += call_row(record)
                add_attempt_rows(attempts, record)
            self._calls.run(connection, repaired(CALL_COLUMNS, calls) if repair else calls)
            if not repair:
                attempts = self._attempts.run_chunks(connection, attempts)
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
    # Without a code it comes from the driver, which cannot adapt a type; then there are values of another type than
    # their column, and the same call twice in one statement.
    code = getattr(error.orig, "sqlstate", None) if isinstance(error, exc.DBAPIError) else ""
    return isinstance(error, exc.ProgrammingError) and code in (None, "42804", "21000")
