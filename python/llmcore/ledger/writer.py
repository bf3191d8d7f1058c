"""The thread that writes finished calls to a database.

Callers append to a deque and ring a bell only when the thread waits for one, so recording costs them about a
microsecond whatever the database does. The thread gathers: it writes when it has many records, or when the first has
waited a moment, because few large transactions cost far less than many small ones and leave the interpreter to its
callers. A batch is one transaction, so a call and its attempts appear together; it is written again as a whole if it
failed, which changes nothing that was written before.

A database that fails delays nobody. What cannot be written yet waits in memory up to a limit; beyond it the newest
records are dropped and counted: one gap, from when the memory was full until the database was back.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from llmcore.ledger.database import Database, is_locked, reason_of
from llmcore.ledger.processes import close_at_exit_of_worker, register
from llmcore.types import CallRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from llmcore.ledger.inserts import Inserts

__all__ = ["TrackerStats", "Writer"]

_log = logging.getLogger("llmcore.ledger")

_GATHER_RECORDS = 2048
_GATHER_SECONDS = 0.05
_BATCH_MAX = 4096
_RETRY_FIRST_SECONDS = 0.1
_RETRY_MAX_SECONDS = 10.0
_RETRY_CLOSING_SECONDS = 0.1
_CLOSE_GRACE_SECONDS = 2.0
_FORK_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class TrackerStats:
    """How a tracker stands. Every record taken on is in exactly one of pending, written, dropped and rejected.

    :ivar pending: records not written yet
    :ivar written: records in the database
    :ivar dropped: records lost because too many were pending, or because the tracker was closed
    :ivar rejected: records lost because the database refused their rows
    :ivar errors: attempts at writing that failed
    :ivar lag_seconds: how long the oldest pending record has waited, at most
    :ivar last_error: what is wrong with the database now, in one sentence; None: nothing
    """

    pending: int
    written: int
    dropped: int
    rejected: int
    errors: int
    lag_seconds: float
    last_error: str | None


def _are(calls: int) -> str:
    return "1 call is" if calls == 1 else f"{calls:,} calls are"


class Writer:
    """The queue, the thread and the database of one tracker. Thread-safe.

    The tracker appends to :attr:`queue` and calls :meth:`attend` when the queue is then longer than :attr:`alarm`,
    which says what is waited for: 0, anything, even to drop it; more, that many.
    """

    def __init__(self, database: Database, max_pending: int) -> None:
        self.queue: deque[CallRecord] = deque()
        self.database = database
        self._max_pending = max_pending
        self._enough = min(_GATHER_RECORDS, max_pending)
        self._closed = False
        self._begin()
        register(self)

    def _begin(self) -> None:
        self.queue.clear()
        self.alarm = 0
        self._batch: list[CallRecord] = []
        # How long the queue may be: with the batch, what may be pending.
        self._limit = self._max_pending
        self._thread: threading.Thread | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._state = threading.Condition()
        # Of close(), which works for one thread at a time.
        self._ending = threading.Lock()
        # Held while in the database, whose library must not be forked in the middle of its work.
        self._io = threading.Lock()
        self._connection: Connection | None = None
        self._inserts: Inserts | None = None
        self._flushing = 0
        self._closing_until: float | None = None
        self._behind_since: float | None = None
        self._written = self._dropped = self._rejected = self._errors = 0
        self._last_error: str | None = None
        self._dropped_before = 0

    # --- the callers' side --------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Does what the record that was just appended calls for: wakes the thread, or drops the record."""
        if self._closed or len(self.queue) > self._limit:
            self._drop_newest()
            return
        self._disarm()  # one ring is enough
        if self._started():
            self._bell.put(None)
        else:
            self.alarm = 0

    def _disarm(self) -> None:
        self.alarm = self._limit
        if self._closed:  # by another thread just now: there is nobody left who would arm it again
            self.alarm = 0

    def _started(self) -> bool:
        if self._thread is not None:
            return True
        with self._state:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="llmcore-ledger", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending; close() writes what is left
                    return False
                self._thread = thread
                close_at_exit_of_worker()
        return True

    def _drop_newest(self) -> None:
        try:
            self.queue.pop()
        except IndexError:
            return
        with self._state:
            self._dropped += 1
            first = self._dropped == self._dropped_before + 1
        if first:
            why = "it is closed" if self._closed else f"{self._max_pending:,} records are waiting for it already"
            _log.error("calls are no longer recorded in the ledger %s because %s", self.database.location, why)

    def stats(self) -> TrackerStats:
        with self._state:
            since = self._behind_since
            return TrackerStats(
                pending=len(self.queue) + len(self._batch),
                written=self._written,
                dropped=self._dropped,
                rejected=self._rejected,
                errors=self._errors,
                lag_seconds=0.0 if since is None else time.monotonic() - since,
                last_error=self._last_error,
            )

    def check(self) -> None:
        with self._io:
            self.database.connect().close()

    def flush(self, timeout: float | None) -> bool:
        if threading.current_thread() is self._thread:
            return False
        with self._state:
            target = self._done() + len(self._batch) + len(self.queue)

            def done() -> bool:
                return self._done() >= target or not (self._batch or self.queue)

            if done():
                return True
            if not self._started():
                return False
            self._flushing += 1
            try:
                self._bell.put(None)
                return self._state.wait_for(done, timeout)
            finally:
                self._flushing -= 1

    def _done(self) -> int:
        return self._written + self._rejected

    def retire(self, timeout: float) -> None:
        """Lets the thread end once it has written everything, or `timeout` seconds from now. Waits for nothing."""
        if self._closing_until is None:
            self._closing_until = time.monotonic() + timeout
        self._bell.put(None)

    def close(self, timeout: float) -> None:
        if not self._ending.acquire(timeout=timeout + _CLOSE_GRACE_SECONDS):
            return
        try:
            self._close(timeout)
        finally:
            self._ending.release()

    def _close(self, timeout: float) -> None:
        self.retire(timeout)
        thread = self._thread
        if thread is threading.current_thread():
            return
        if thread is not None:
            thread.join(timeout + _CLOSE_GRACE_SECONDS)
            if thread.is_alive():
                left = self.stats().pending
                _log.error("the ledger %s still writes %d records and is left to it", self.database.location, left)
                return
        self._closed = True
        self.alarm = 0
        if self.queue:  # recorded while the thread ended, or it could not be started
            self._run()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._gather():
                self._settle()
        finally:
            with self._io:
                self._disconnect()

    def _wait(self, seconds: float | None) -> None:
        try:
            self._bell.get(timeout=seconds)
        except Empty:
            return

    def _gather(self) -> bool:
        """Waits until there is something worth writing; False: the tracker is closed and nothing is left."""
        self.alarm = 0
        while not self.queue:
            if self._closing_until is not None:
                return False
            self._wait(None)
            self.alarm = 0
        self._behind_since = time.monotonic()
        deadline = self._behind_since + _GATHER_SECONDS
        while not self._flushing and self._closing_until is None:
            self.alarm = self._enough - 1
            left = deadline - time.monotonic()
            if len(self.queue) >= self._enough or left <= 0:
                break
            self._wait(left)
        return True

    def _settle(self) -> None:
        """Writes one batch, or, if the tracker is closing and the database fails, drops everything."""
        taken = time.monotonic()
        batch = self._take()
        rejected = self._write_at_last(batch)
        if rejected is None:
            self._give_up()
            return
        with self._state:
            self._written += len(batch) - rejected
            self._rejected += rejected
            self._batch = []
            self._limit = self._max_pending
            self._behind_since = taken if self.queue else None
            self._state.notify_all()
        self._recovered()

    def _take(self) -> list[CallRecord]:
        with self._state:
            batch = self._batch
            for _ in range(min(len(self.queue), _BATCH_MAX)):
                try:
                    batch.append(self.queue.popleft())
                except IndexError:  # a caller dropped the newest
                    break
            self._limit = max(self._max_pending - len(batch), 0)
            self.alarm = self._limit
        return batch

    def _write_at_last(self, batch: list[CallRecord]) -> int | None:
        """Writes a batch, however long it takes; None: the tracker is closing and will not wait any longer."""
        delay = _RETRY_FIRST_SECONDS
        while True:
            try:
                return self._write(batch)
            except Exception as error:  # whatever it is, the thread goes on
                self._failed(error)
                until = self._closing_until
                if until is not None and (time.monotonic() >= until or not is_locked(error)):
                    return None
                self._wait(delay if until is None else _RETRY_CLOSING_SECONDS)
                delay = _RETRY_FIRST_SECONDS if is_locked(error) else min(delay * 2, _RETRY_MAX_SECONDS)

    def _failed(self, error: Exception) -> None:
        sentence = self.database.explain(error).message
        with self._state:
            self._errors += 1
            first = self._last_error is None
            self._last_error = sentence
        if first:
            waiting = f"calls go on; up to {self._max_pending:,} records wait in memory until it works"
            _log.warning("%s (%s)", sentence, waiting)

    def _recovered(self) -> None:
        with self._state:
            failed = self._last_error is not None
            lost = self._dropped - self._dropped_before
            self._last_error = None
            self._dropped_before = self._dropped
        if lost:
            _log.error("the ledger %s is written again; %d records are lost", self.database.location, lost)
        elif failed:
            _log.warning("the ledger %s is written again; nothing was lost", self.database.location)

    def _give_up(self) -> None:
        with self._state:
            lost = len(self._batch)
            self._batch = []
            while self.queue:
                self.queue.popleft()
                lost += 1
            self._dropped += lost
            self._behind_since = None
            self._state.notify_all()
        _log.error("%s not recorded because %s", _are(lost), self._last_error)

    # --- in the database, with the io lock held -----------------------------------------------------------------------

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                _log.debug("closing a broken connection failed", exc_info=True)

    def _write(self, batch: list[CallRecord]) -> int:
        """Writes a batch and returns how many of its records the database refused for good."""
        with self._io:
            if self._connection is not None and self.database.replaced(self._connection):
                self._disconnect()
            reused = self._connection is not None
            try:
                return self._insert(batch)
            except Exception as error:
                if is_locked(error):
                    raise
                self._disconnect()
                # A server may have cut an idle connection; only a new one tells whether it is down.
                if not (reused and getattr(error, "connection_invalidated", False)):
                    raise
            return self._insert(batch)

    def _insert(self, batch: list[CallRecord]) -> int:
        connection = self._connection
        if connection is None or self._inserts is None:
            from llmcore.ledger.inserts import Inserts

            connection = self._connection = self.database.connect()
            self._inserts = Inserts(connection)
        rejected, error = self._inserts.write(connection, batch)
        if error is not None:
            _log.error("%s not recorded, refused by the database: %s", _are(rejected), reason_of(error))
        return rejected

    # --- fork ---------------------------------------------------------------------------------------------------------

    def hold(self) -> bool:
        return self._io.acquire(timeout=_FORK_WAIT_SECONDS)

    def let_go(self) -> None:
        self._io.release()

    def start_anew(self) -> Any:
        inherited = (self._connection, self.database.after_fork())
        if self._closing_until is not None:
            self._closed = True
        self._begin()
        return inherited
