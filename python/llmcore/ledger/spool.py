"""The folder in which a process writes calls down before anything else happens to them, and what others left in theirs.

Beside a ledger lies one folder for its spools, with a journal for each process that uses the ledger: a call is written
there before it is sent, and again when it is over. What is there survives the process. A journal whose process is gone
is taken over, under its lock, by whoever finds it.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from llmcore._core import JournalError, JournalReader, JournalWriter, uuid7
from llmcore.errors import LedgerError

__all__ = ["Ack", "OnFull", "Spool", "folders_for", "orphans"]

_log = logging.getLogger("llmcore.ledger")

Ack = Literal["memory", "os", "disk"]
OnFull = Literal["drop", "block", "fail"]

_SEGMENT_BYTES: Final = 4 * 1024 * 1024
_WAIT_FIRST_SECONDS: Final = 0.05
_WAIT_MAX_SECONDS: Final = 1.0
_MOST_NAMES: Final = 3
_DAMAGED: Final = ".damaged"


def folders_for(spool_dir: "str | os.PathLike[str] | None", location: str, file: Path | None) -> list[Path]:
    """Where the spools of a ledger may lie, the best place first: where it is said, or beside a SQLite file, or among
    the user's state.

    :param spool_dir: holds the spools of any number of ledgers
    :param location: what tells this ledger from others
    """
    of_this = hashlib.sha256(location.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if spool_dir is not None:
        return [Path(spool_dir).absolute() / of_this]
    places = [] if file is None else [file.with_name(file.name + ".spool")]
    return [*places, _state() / "llmcore" / of_this]


def _state() -> Path:
    named = os.environ.get("XDG_STATE_HOME")
    if named:
        return Path(named)
    try:
        return Path.home() / ".local" / "state"
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / f"llmcore-{os.getuid()}"


class Spool:
    """One journal with a name of its own: this process's, or one that was taken over. Thread-safe.

    :param folders: that may hold the spools of a ledger; the first one that can is made when something is written
    :param ack: what an entry survives once it is written: memory, nothing for the last moment; os, the end of the
        process; disk, the end of the power
    :param on_full: what to do with an entry that cannot be written: drop, count it; block, wait until it can; fail,
        raise
    """

    def __init__(
        self, folders: Sequence[Path], ack: Ack = "os", on_full: OnFull = "drop", name: str | None = None
    ) -> None:
        self.id = name or uuid7()
        self._taken_over = name is not None
        self._folders = folders
        self.folder = folders[0] / self.id
        self._ack = ack
        self._on_full = on_full
        self._opening = threading.Lock()
        self._journal: JournalWriter | None = None
        self._closed = False
        self._dropped = 0
        self._dropping = False

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, kind: int, entry: bytes) -> int:
        """Writes an entry and returns its number; 0 if it was dropped, which was said and counted.

        :raises LedgerError: it cannot be written, and the policy is to fail
        """
        journal = self._journal
        try:
            if journal is None:
                journal = self.open()
            number = journal.append(kind, entry)
        except JournalError as error:
            return self._refused(kind, entry, error)
        if self._dropping:
            self._dropping = False
            _log.warning("calls are written to the spool %s again; %d were lost", self.folder, self._dropped)
        return number

    def open(self) -> JournalWriter:
        """Takes the journal's lock, making it if it is not there.

        :raises JournalError: another process has it, or it cannot be made
        """
        with self._opening:
            if self._journal is None:
                self._journal = self._opened()
            return self._journal

    def _opened(self) -> JournalWriter:
        refused: JournalError | None = None
        for folder in self._folders:
            # Beside a database that lies nowhere is nowhere: its folder is not ours to make.
            if len(self._folders) > 1 and folder is self._folders[0] and not folder.parent.is_dir():
                continue
            for _ in range(_MOST_NAMES):
                try:
                    journal = JournalWriter(folder / self.id, ack=self._ack, segment_bytes=_SEGMENT_BYTES)
                except JournalError as error:
                    refused = refused or error
                    if error.code != "locked" or self._taken_over:
                        break
                    self.id = uuid7()  # somebody took it for one that was left, before it was locked
                else:
                    self.folder = folder / self.id
                    return journal
        assert refused is not None  # the last folder is always tried
        raise refused

    def _refused(self, kind: int, entry: bytes, error: JournalError) -> int:
        delay = _WAIT_FIRST_SECONDS
        while True:
            if error.code == "failed" and self._journal is not None:
                with suppress(JournalError):
                    self._journal.recover()
            elif self._on_full != "block":
                break
            try:
                return self.open().append(kind, entry)
            except JournalError as again:
                error = again
            if self._on_full != "block" or self._closed:
                break
            time.sleep(delay)
            delay = min(delay * 2, _WAIT_MAX_SECONDS)
        if self._on_full == "fail":
            raise LedgerError(f"this call cannot be written down before it is sent: {_reason(error)}") from error
        self.drop(_reason(error))
        return 0

    def drop(self, why: str) -> None:
        """Counts an entry that is not written, and says so if it is the first of a row."""
        with self._opening:
            self._dropped += 1
            first = not self._dropping
            self._dropping = True
        if first:
            _log.error("calls are no longer recorded in the ledger: %s", why)

    @property
    def dropped(self) -> int:
        """Entries that were not written."""
        return self._dropped

    def flush(self) -> None:
        """Hands what is in memory to the system, so that it can be read."""
        if self._ack == "memory" and self._journal is not None:
            try:
                self._journal.flush()
            except JournalError as error:
                if error.code == "failed":
                    with suppress(JournalError):
                        self._journal.recover()

    # --- reading ------------------------------------------------------------------------------------------------------

    def reader(self, after: int) -> JournalReader:
        """Reads what stands behind the entry `after`, and what is written later.

        :raises JournalError: it cannot be read
        """
        return JournalReader(self.folder, after + 1, follow=True)

    def release(self, through: int) -> None:
        """Lets go of what nobody will read again: everything up to the entry `through`."""
        if self._journal is not None:
            with suppress(JournalError):
                self._journal.release(through + 1)

    # --- ending -------------------------------------------------------------------------------------------------------

    @property
    def survives(self) -> bool:
        """Whether what is written here outlives the process at once."""
        return self._ack != "memory"

    @property
    def exists(self) -> bool:
        """Whether anything was ever written here."""
        return self._journal is not None

    def close(self) -> None:
        """Lets go of the journal; what is in it stays for whoever takes it over."""
        self._closed = True
        if self._journal is not None:
            try:
                self._journal.close()
            except JournalError as error:
                _log.error("the end of the spool %s may be lost: %s", self.folder, _reason(error))

    def remove(self) -> None:
        """Removes the journal, all of which is in the database. Whoever waits for its lock then finds nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()
        with suppress(OSError):  # others have theirs there
            self.folder.parent.rmdir()

    def set_aside(self) -> Path:
        """Keeps a journal that is damaged, under a name that nobody takes over, and returns where."""
        aside = self.folder.with_name(self.folder.name + _DAMAGED)
        self.folder.rename(aside)
        self.close()
        return aside


def orphans(folders: Sequence[Path], own: str) -> Iterator[Spool]:
    """The spools whose processes are gone, each locked by us now."""
    for folder in folders:
        try:
            names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        except OSError:
            continue
        for name in names:
            if name == own or name.endswith(_DAMAGED):
                continue
            spool = Spool([folder], name=name)
            try:
                spool.open()
            except JournalError:  # its process lives, or somebody else was faster
                continue
            yield spool


def _reason(error: JournalError) -> str:
    return str(error).partition("\n")[0]
