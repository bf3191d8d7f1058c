"""The sink that keeps finished calls in a database."""

import os
import threading
import weakref
from typing import TYPE_CHECKING, ClassVar

from llmcore.ledger.database import Database
from llmcore.ledger.processes import CLOSE_SECONDS
from llmcore.ledger.writer import TrackerStats, Writer
from llmcore.types import CallRecord

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["TrackerStats", "UsageTracker"]


class UsageTracker:
    """Records every finished call in the tables ``llm_calls`` and ``llm_attempts``.

    Making one is cheap: the database is opened by a background thread at the first record. SQLite files are made and
    migrated when opened; other databases by :func:`llmcore.ledger.upgrade`. Thread-safe. After a fork the child
    starts with nothing pending and connections of its own. Closed at exit if not before; forgetting a tracker lets its
    thread write what is left and end.

    :param url_or_engine: a database URL, the path of a SQLite file, or an engine of the host (whose settings stay as
        they are); None: ``LLMCORE_DATABASE_URL``, else ``llmcore.db`` in the working directory
    :param max_pending: records that may wait in memory while the database fails; beyond it the newest are dropped and
        counted
    """

    _default: "ClassVar[UsageTracker | None]" = None
    _default_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, url_or_engine: "str | Engine | None" = None, *, max_pending: int = 100_000) -> None:
        if max_pending < 1:
            raise ValueError(f"max_pending must be at least 1, not {max_pending}")
        self._writer = Writer(Database(url_or_engine), max_pending)
        self._queue = self._writer.queue
        # At exit all there are are closed.
        weakref.finalize(self, self._writer.retire, CLOSE_SECONDS).atexit = False

    @classmethod
    def default(cls, url: str | None = None) -> "UsageTracker":
        """The process's own tracker, which the default runtime uses; made at the first use, closed at exit.

        :param url: where it is, if this is the first use; None: as in UsageTracker()
        """
        with UsageTracker._default_lock:
            if UsageTracker._default is None:
                UsageTracker._default = UsageTracker(url)
            return UsageTracker._default

    @property
    def location(self) -> str:
        """Where the ledger is, fit to be shown: the path of a SQLite file, else the URL without user, password and
        options.
        """
        return self._writer.database.location

    def record(self, call: CallRecord) -> None:
        """Takes one finished call on, in about a microsecond. Never raises and never waits for the database."""
        queue = self._queue
        queue.append(call)
        if len(queue) > self._writer.alarm:
            self._writer.attend()

    def check(self) -> None:
        """Opens the database now, making or migrating it if it is a SQLite file.

        :raises LedgerError: it cannot hold the ledger; the message says why and what to do
        """
        self._writer.check()

    def stats(self) -> TrackerStats:
        """How much is pending, written and lost."""
        return self._writer.stats()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until everything taken on before is written; False when `timeout` seconds were not enough."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Writes what is pending and ends. What cannot be written is dropped and counted: at once if the database
        fails, after `timeout` seconds if it is only locked. Calling it again does nothing.
        """
        self._writer.close(timeout)

    def __repr__(self) -> str:
        return f"UsageTracker({self.location!r})"


def _after_fork_in_child() -> None:
    UsageTracker._default_lock = threading.Lock()  # the parent's may have been held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
