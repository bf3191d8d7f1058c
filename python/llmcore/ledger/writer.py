"""The thread that brings what is in a spool into the database.

Callers write to the spool themselves and ring a bell only when the thread waits for one, so recording costs them the
same whatever the database does. The thread gathers: it lets entries come together for a moment, because few large
transactions cost far less than many small ones and leave the interpreter to its callers. A batch is one transaction, in
which the spool's position moves too: what is written twice, by whomever, counts once.

A database that fails delays nobody. What cannot be written yet stays in the spool, also when the process ends; the next
one that uses the ledger takes it over.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from llmcore._core import JournalReader, LedgerBatch
from llmcore.ledger.database import Database, is_locked, reason_of
from llmcore.ledger.entries import BATCH_MAX, next_entries
from llmcore.ledger.processes import close_at_exit_of_worker, register
from llmcore.ledger.session import Session
from llmcore.ledger.spool import Spool, orphans

__all__ = ["TrackerStats", "Writer"]

_log = logging.getLogger("llmcore.ledger")

_GATHER_SECONDS = 0.25
# Of a spool in memory, which the end of the process would take along.
_GATHER_MEMORY_SECONDS = 0.05
_MOST_MISSES = 20
_RETRY_FIRST_SECONDS = 0.1
_RETRY_MAX_SECONDS = 10.0
_RETRY_CLOSING_SECONDS = 0.1
_CLOSE_GRACE_SECONDS = 2.0
_FORK_WAIT_SECONDS = 2.0
_LOOK_FOR_ORPHANS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TrackerStats:
    """How a tracker stands. Every finished call it was told of is in exactly one of pending, written, dropped and
    rejected.

    :ivar pending: entries of the spool that are not in the database yet
    :ivar written: finished calls in the database
    :ivar dropped: entries that could not be written to the spool, or came after the end
    :ivar rejected: entries lost because the database refused their rows, or because they are damaged
    :ivar adopted: entries of processes that are gone, written for them
    :ivar errors: attempts at writing that failed
    :ivar lag_seconds: how long the oldest pending entry has waited, at most
    :ivar last_error: what is wrong with the database now, in one sentence; None: nothing
    """

    pending: int
    written: int
    dropped: int
    rejected: int
    adopted: int
    errors: int
    lag_seconds: float
    last_error: str | None

    @property
    def lost(self) -> int:
        """Entries that will never be in the database."""
        return self.dropped + self.rejected


def _are(entries: int) -> str:
    return "1 call is" if entries == 1 else f"{entries:,} calls are"


class Writer:
    """The spool, the thread and the database of one tracker. Thread-safe."""

    def __init__(self, database: Database, folders: Sequence[Path], make_spool: Callable[[], Spool]) -> None:
        self.database = database
        self._folders = folders
        self._make_spool = make_spool
        self._closed = False
        self._begin()
        register(self)

    def _begin(self) -> None:
        self.spool = self._make_spool()
        #: the thread waits for the bell, or there is none yet
        self._waiting = True
        self._thread: threading.Thread | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._state = threading.Condition()
        # Of close(), which works for one thread at a time.
        self._ending = threading.Lock()
        # Held while in the database, whose library must not be forked in the middle of its work.
        self._io = threading.Lock()
        self._session = Session(self.database)
        self._flushing = 0
        self._closing_until: float | None = None
        self._behind_since: float | None = None
        self._position = 0
        self._reader: JournalReader | None = None
        self._written = self._rejected = self._adopted = self._errors = 0
        self._last_error: str | None = None
        self._looked_at: float | None = None
        self._missed = 0
        #: it is closing and the database fails: what is left stays in the spool
        self._gave_up = False

    # --- the callers' side --------------------------------------------------------------------------------------------

    def take(self, kind: int, entry: bytes) -> None:
        """Writes an entry to the spool and sees to it that somebody takes it from there.

        :raises LedgerError: it cannot be written, and the policy is to fail
        """
        if self._closed:
            self.spool.drop(f"the ledger {self.database.location} is closed")
        elif self.spool.append(kind, entry) and self._waiting:
            self._waiting = False  # one ring is enough
            self._ring()

    def _ring(self) -> None:
        if self._started():
            self._bell.put(None)
        else:
            self._waiting = True

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

    def _newest(self) -> int:
        """The number of the newest entry in the spool."""
        return self.spool.open().stats()["last_seq"] if self.spool.exists else 0

    def stats(self) -> TrackerStats:
        newest = self._newest()
        with self._state:
            since = self._behind_since
            return TrackerStats(
                pending=max(newest - self._position, 0),
                written=self._written,
                dropped=self.spool.dropped,
                rejected=self._rejected,
                adopted=self._adopted,
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
        target = self._newest()
        with self._state:
            if self._position >= target:
                return True
            if not self._started():
                return False
            self._flushing += 1
            try:
                self._bell.put(None)
                return self._state.wait_for(lambda: self._position >= target, timeout)
            finally:
                self._flushing -= 1

    def retire(self, timeout: float) -> None:
        """Lets the thread end once it has written everything, or `timeout` seconds from now. Waits for nothing."""
        if self._closing_until is None:
            self._closing_until = time.monotonic() + timeout
        self._bell.put(None)

    def close(self, timeout: float) -> None:
        if not self._ending.acquire(timeout=timeout + _CLOSE_GRACE_SECONDS):
            return
        try:
            if not self._closed:
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
                _log.error("the ledger %s still writes %d entries and is left to it", self.database.location, left)
                return
        self._closed = True
        # Recorded while the thread ended, or it could not be started.
        if self._newest() > self._position and not self._gave_up:
            self._run()
        if self.spool.exists:
            self._end_spool()

    def _end_spool(self) -> None:
        left = self._newest() - self._position
        if left <= 0:
            return
        self.spool.close()
        _log.error(
            "%s not in the ledger yet because %s; they wait in %s, and the next process that uses this ledger writes "
            "them",
            _are(left),
            self._last_error or "there was no time",
            self.spool.folder,
        )

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._gather():
                self._settle()
            self._finish()
        finally:
            with self._io:
                self._session.end()

    def _wait(self, seconds: float | None) -> None:
        try:
            self._bell.get(timeout=seconds)
        except Empty:
            return

    def _gather(self) -> bool:
        """Waits until there is something worth writing; False: the tracker is closed and nothing is left to do."""
        while True:
            self._waiting = True  # before the look, so that what comes after it rings
            if self._gave_up:
                return False
            if self._newest() > self._position:
                break
            if self._closing_until is not None:
                return False
            self._adopt()
            self._wait(_LOOK_FOR_ORPHANS_SECONDS)
        self._waiting = False
        self._behind_since = time.monotonic()
        deadline = self._behind_since + (_GATHER_SECONDS if self.spool.survives else _GATHER_MEMORY_SECONDS)
        while not self._flushing and self._closing_until is None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._wait(left)
        return not self._out_of_time()

    def _out_of_time(self) -> bool:
        until = self._closing_until
        return until is not None and time.monotonic() >= until

    def _settle(self) -> None:
        """Writes what the spool holds now, batch by batch. What has come meanwhile and makes no whole batch gathers
        again: many small transactions would cost a multiple.
        """
        self.spool.flush()
        while True:
            batch, through = self._read()
            if through == self._position:
                self._miss()
                return
            self._missed = 0
            if not self._write_at_last(self.spool, batch, through):
                self._gave_up = True
                return
            with self._state:
                self._position = through
                self._behind_since = time.monotonic() if self._newest() > through else None
                self._state.notify_all()
            self.spool.release(through)
            if len(batch) < BATCH_MAX:
                return

    def _miss(self) -> None:
        """There should be entries to read and there are none: after a second of that, they are lost."""
        self._missed += 1
        newest = self._newest()
        if newest > self._position and self._missed > _MOST_MISSES:
            self._missed = 0
            self._reject(newest - self._position, f"they cannot be read from {self.spool.folder}")
            with self._state:
                self._position = newest
                self._state.notify_all()
            self._reader = None

    def _read(self) -> tuple[LedgerBatch, int]:
        """The next entries of our own spool, and the number up to which it is read with them."""
        if self._reader is None:
            self._reader = self.spool.reader(self._position)
        batch, through, damaged = next_entries(self._reader, self._position)
        self._reject(damaged, "damaged in the spool")
        return batch, through

    def _reject(self, entries: int, why: str) -> None:
        if entries:
            with self._state:
                self._rejected += entries
            _log.error("%s not recorded, %s", _are(entries), why)

    def _write_at_last(self, spool: Spool, batch: LedgerBatch, through: int) -> bool:
        """Writes a batch, however long it takes; False: the tracker is closing and will not wait any longer."""
        delay = _RETRY_FIRST_SECONDS
        while True:
            try:
                written = self._write(spool, batch, through)
            except Exception as error:  # whatever it is, the thread goes on
                self._failed(error)
                if self._closing_until is not None and (self._out_of_time() or not is_locked(error)):
                    return False
                self._wait(delay if self._closing_until is None else _RETRY_CLOSING_SECONDS)
                delay = _RETRY_FIRST_SECONDS if is_locked(error) else min(delay * 2, _RETRY_MAX_SECONDS)
            else:
                with self._state:
                    self._written += written
                self._recovered()
                return True

    def _write(self, spool: Spool, batch: LedgerBatch, through: int) -> int:
        """Writes a batch and returns how many finished calls of it are in the database."""
        with self._io:
            rejected, error = self._session.run(
                lambda connection, inserts: inserts.write(connection, spool.id, batch, through)
            )
        if error is not None:
            self._reject(rejected, f"refused by the database: {reason_of(error)}")
        return batch.ends - rejected

    def _failed(self, error: Exception) -> None:
        sentence = self.database.explain(error).message
        with self._state:
            self._errors += 1
            first = self._last_error is None
            self._last_error = sentence
        if first:
            _log.warning("%s (calls go on; they wait in %s until it works)", sentence, self.spool.folder)

    def _recovered(self) -> None:
        with self._state:
            failed = self._last_error is not None
            self._last_error = None
        if failed:
            _log.warning("the ledger %s is written again; nothing was lost", self.database.location)

    def _finish(self) -> None:
        """At the end: calls that were begun and never ended are lost, and a spool that is all written is removed."""
        if not self.spool.exists or self._newest() > self._position or self._last_error is not None:
            return
        try:
            self._retire_spool(self.spool)
        except Exception as error:
            self._failed(error)

    # --- spools of processes that are gone ----------------------------------------------------------------------------

    def _adopt(self) -> None:
        now = time.monotonic()
        if self._looked_at is not None and now - self._looked_at < _LOOK_FOR_ORPHANS_SECONDS:
            return
        self._looked_at = now
        for spool in orphans(self._folders, self.spool.id):
            try:
                self._take_over(spool)
            except Exception as error:
                self._failed(error)
                spool.close()
                return

    def _take_over(self, spool: Spool) -> None:
        reader = spool.reader(0)
        position = adopted = damaged = 0
        while True:
            batch, through, unreadable = next_entries(reader, position)
            damaged += unreadable
            if through == position:
                break
            if not self._write_at_last(spool, batch, through):
                spool.close()
                return
            position = through
            adopted += len(batch)
        with self._state:
            self._adopted += adopted
        harmed = damaged + reader.problem_count
        if harmed:
            with self._io:
                self._session.run(lambda connection, inserts: inserts.lose_pending(connection, spool.id))
            aside = spool.set_aside()
            self._reject(max(harmed, 1), f"their spool is damaged and kept as {aside}; all else in it is recorded")
        else:
            self._retire_spool(spool)

    def _retire_spool(self, spool: Spool) -> None:
        """What was begun in it and never ended is lost; then it goes, before the database forgets its position."""
        with self._io:
            self._session.run(lambda connection, inserts: inserts.lose_pending(connection, spool.id))
            spool.remove()
            self._session.run(lambda connection, inserts: inserts.forget_spool(connection, spool.id))

    # --- fork ---------------------------------------------------------------------------------------------------------

    def hold(self) -> bool:
        return self._io.acquire(timeout=_FORK_WAIT_SECONDS)

    def let_go(self) -> None:
        self._io.release()

    def start_anew(self) -> Any:
        inherited = (self._session, self._reader, self.spool, self.database.after_fork())
        if self._closing_until is not None:
            self._closed = True
        self._begin()
        return inherited
