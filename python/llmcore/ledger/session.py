"""A writer's way into its database: a connection that is made when it is needed, and anew when it is broken."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from llmcore.ledger.database import Database, is_locked

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from llmcore.ledger.inserts import Inserts

__all__ = ["Session"]

_log = logging.getLogger("llmcore.ledger")

T = TypeVar("T")


class Session:
    """One connection at the most. For one thread at a time, and not to be forked in the middle of its work."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._inserts: Inserts | None = None

    def run(self, work: "Callable[[Connection, Inserts], T]") -> T:
        """Does what is one transaction or several; once more where only the connection was at fault.

        :raises Exception: whatever the database says to it
        """
        if self._connection is not None and self._database.replaced(self._connection):
            self.end()
        reused = self._connection is not None
        try:
            return work(*self._connected())
        except Exception as error:
            if is_locked(error):
                raise
            file = self._database.file_of(self._connection)
            self.end()
            if self._database.rescued(error, file):
                return work(*self._connected())
            # A server may have cut an idle connection; only a new one tells whether it is down.
            if not (reused and getattr(error, "connection_invalidated", False)):
                raise
        return work(*self._connected())

    def end(self) -> None:
        """Closes the connection, if there is one; the next work makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                _log.debug("closing a broken connection failed", exc_info=True)

    def _connected(self) -> "tuple[Connection, Inserts]":
        if self._connection is None or self._inserts is None:
            from llmcore.ledger.inserts import Inserts

            self._connection = self._database.connect()
            self._inserts = Inserts(self._connection)
        return self._connection, self._inserts
