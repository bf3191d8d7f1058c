"""The sink that keeps calls in a database."""

import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from llmcore.errors import LedgerError
from llmcore.ledger.content import Content, ContentPolicy, Redaction
from llmcore.ledger.database import Database
from llmcore.ledger.entries import CLOSE, NOTE, OPEN, encode
from llmcore.ledger.processes import CLOSE_SECONDS
from llmcore.ledger.spool import Ack, OnFull, Spool, folders_for
from llmcore.ledger.writer import TrackerStats, Writer
from llmcore.types import CallRecord, Texts

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["TrackerStats", "UsageTracker"]

_MOST_ENDED = 10_000


class UsageTracker:
    """Records every call in the tables ``llm_calls``, ``llm_attempts`` and ``llm_payloads``.

    A call is written to a spool file before it is sent and again when it is over; a background thread brings the spool
    into the database. What was written down is neither lost by the end of the process nor by a database that is down.
    Making a tracker is cheap: files and database are opened at the first call. SQLite files are made and migrated when
    opened; other databases by :func:`llmcore.ledger.upgrade`. Thread-safe. After a fork the child starts with nothing
    pending, a spool and connections of its own. Closed at exit if not before; forgetting a tracker lets its thread
    write what is left and end.

    :param url_or_engine: a database URL, the path of a SQLite file, or an engine of the host (whose settings stay as
        they are); None: ``LLMCORE_DATABASE_URL``, else ``llmcore.db`` in the working directory
    :param spool_dir: holds the spools; None: beside a SQLite file, else among the user's state
    :param ack: what a call survives once it was written down: "memory", nothing for the last 50 ms; "os", the end of
        the process; "disk", the end of the power (each call then waits for the disk)
    :param on_full: when it cannot be written down (a full disk): "drop", count it and say so; "block", wait; "fail",
        let no call be sent that is not written down
    :param content: how much of what is said is kept: "full", "hash" or "none", for all calls or by call type, where "*"
        is every other: ``{"chat": "hash", "*": "none"}``
    :param redact: gets the :class:`~llmcore.types.Texts` of a call and its call type before anything is written, and
        returns what may be
    :raises ValueError: a choice that does not exist
    """

    _default: "ClassVar[UsageTracker | None]" = None
    _default_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        url_or_engine: "str | Engine | None" = None,
        *,
        spool_dir: str | os.PathLike[str] | None = None,
        ack: Ack = "os",
        on_full: OnFull = "drop",
        content: ContentPolicy | Mapping[str, ContentPolicy] = "full",
        redact: Redaction | None = None,
    ) -> None:
        for name, value, known in (
            ("ack", ack, ("memory", "os", "disk")),
            ("on_full", on_full, ("drop", "block", "fail")),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        self._content = Content(content, redact)
        database = Database(url_or_engine)
        folders = folders_for(spool_dir, database.location, database.path)
        self._writer = Writer(database, folders, lambda: Spool(folders, ack, on_full))
        #: calls that others make (LLMLogger): what was said at their beginning, and the monotonic time of it; and the
        #: newest of those that have ended
        self.begun: dict[str, tuple[CallRecord, int]] = {}
        self.ended: deque[str] = deque(maxlen=_MOST_ENDED)
        # At exit all there are are closed.
        weakref.finalize(self, self._writer.retire, CLOSE_SECONDS).atexit = False

    @classmethod
    def default(cls, url: str | None = None, **options: Any) -> "UsageTracker":
        """The process's own tracker, which the default runtime uses; made at the first use, closed at exit.

        :param url: where it is, if this is the first use; None: as in UsageTracker()
        :param options: as of UsageTracker(), if this is the first use
        """
        with UsageTracker._default_lock:
            if UsageTracker._default is None:
                UsageTracker._default = UsageTracker(url, **options)
            return UsageTracker._default

    @classmethod
    def current(cls) -> "UsageTracker | None":
        """The process's own tracker, if it has been used."""
        return UsageTracker._default

    @property
    def database(self) -> Database:
        """Where the ledger is, to be asked."""
        return self._writer.database

    @property
    def location(self) -> str:
        """Where the ledger is, fit to be shown: the path of a SQLite file, else the URL without user, password and
        options.
        """
        return self._writer.database.location

    def begin(self, call: CallRecord, texts: Texts | None = None) -> None:
        """Writes down that a call is about to be sent: one that never ends will be known as lost, at what was reserved
        for it.

        :raises LedgerError: it cannot be written down, and ``on_full`` is "fail"
        """
        payload = None if texts is None else self._content.of(texts, call.call_type)
        self._writer.take(OPEN, encode(call, payload))

    def record(self, call: CallRecord, texts: Texts | None = None) -> None:
        """Writes down a finished call, in a few microseconds. Never raises and never waits for the database."""
        payload = None if texts is None else self._content.of(texts, call.call_type)
        try:
            self._writer.take(CLOSE, encode(call, payload))
        except LedgerError as error:  # the call was made and paid for: its answer goes to who asked
            self._writer.spool.drop(error.message)

    def note(self, call: CallRecord) -> None:
        """Adds to a call that is in the ledger already: what it was for and for whom, of its context, and its type,
        where the call did not say so itself. Never raises.
        """
        try:
            self._writer.take(NOTE, encode(call, None))
        except LedgerError as error:
            self._writer.spool.drop(error.message)

    def check(self) -> None:
        """Opens the database now, making or migrating it if it is a SQLite file.

        :raises LedgerError: it cannot hold the ledger; the message says why and what to do
        """
        self._writer.check()

    def stats(self) -> TrackerStats:
        """How much is pending, written and lost."""
        return self._writer.stats()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until everything taken on before is in the database; False when `timeout` seconds were not enough."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Writes what is pending and ends. What cannot be written, at once if the database fails, after `timeout`
        seconds if it is only locked, stays in the spool for the next process. Calling it again does nothing.
        """
        self._writer.close(timeout)

    def __repr__(self) -> str:
        return f"UsageTracker({self.location!r})"


def _after_fork_in_child() -> None:
    UsageTracker._default_lock = threading.Lock()  # the parent's may have been held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
