"""The files of results: opened by one run at a time, taken up where an earlier run ended, extended by whole lines only.

A result is one ``write`` of a complete line, so ``kill -9`` can leave at most a last line without its end; a write
that fails is undone. What an earlier run could not finish is dropped by writing the file anew beside itself and
renaming it, so that each custom id appears once.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from llmcore.cli.batch.seen import SeenIds

__all__ = ["FINAL_CODES", "OutputError", "OutputFile", "OutputFull", "TakenUp", "peek"]

#: Failures that the same request would meet again; it is not made again.
FINAL_CODES = frozenset({"bad_request", "content_filter", "context_length", "not_found"})

_BEGINNING = re.compile(rb'\{\s*("\w*("\s*(:|$)|$)|$)')


class OutputError(Exception):
    """A file of results cannot be used. The message is a sentence for the user."""


class OutputFull(OutputError):
    """A result could not be written; the file ends with the last one that could."""


@dataclass(slots=True)
class TakenUp:
    """What was found in a file of results."""

    ok: int = 0
    failed: int = 0
    #: error lines dropped because their requests are made again
    dropped: int = 0
    #: bytes of incomplete lines, moved to `aside`
    torn: int = 0
    aside: Path | None = None


class _Error(msgspec.Struct):
    code: str | None = None


class _Result(msgspec.Struct):
    id: str
    custom_id: str | None
    error: _Error | None


class OutputFile:
    """One file of results, locked against other runs until it is closed.

    A file that is not regular (a pipe, /dev/null) is written to and never read.

    :raise OutputError: the file cannot be opened, or another run has it
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A link is followed, since the file may be replaced; that of a pipe, such as /dev/stdout, leads nowhere.
        self._target = path if path.exists() and not path.is_file() else Path(os.path.realpath(path))
        while True:
            self._descriptor = _open(self._target, path)
            status = os.fstat(self._descriptor)
            self.regular = stat.S_ISREG(status.st_mode)
            if not self.regular:
                break
            if not _lock(self._descriptor):
                os.close(self._descriptor)
                raise OutputError(f"{path} is being written by another run; wait for it to end, or name another file")
            # The run that had it may have put a new file in its place between our opening and our locking.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(status, self._target.stat()):
                    break
            os.close(self._descriptor)
        self._size = os.fstat(self._descriptor).st_size

    def is_same(self, status: os.stat_result) -> bool:
        """Whether this is the file that `status` describes."""
        return os.path.samestat(os.fstat(self._descriptor), status)

    def append(self, line: bytes) -> None:
        """Adds one result, its newline included; all of it or nothing.

        :raise OutputFull: it could not be written
        """
        try:
            _write(self._descriptor, line)
        except OSError as error:
            if self.regular:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._size)
            raise OutputFull(f"{self.path} cannot be written ({_reason(error)})") from None
        self._size += len(line)

    def sync(self) -> None:
        """Waits until what was written is on the disk."""
        if self.regular:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Lets other runs have it."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def take_up(self, seen: SeenIds) -> TakenUp:
        """Notes the finished ids in `seen` and drops the rest from the file.

        Final failures (FINAL_CODES) are finished. Other failures and lines that were malformed are dropped: the former
        are made again, the latter are found again if they still are in the input. Incomplete lines are moved to a file
        beside this one.

        :raise OutputError: this is no file of results; it has been left as it was
        """
        found = TakenUp()
        if not self.regular or not self._size:
            return found
        try:
            with self._target.open("rb") as old:
                new = self._take_up(old, seen, found)
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be taken up ({_reason(error)}); make room or mend it, then run again"
            ) from None
        if new is not None:
            os.close(self._descriptor)
            self._descriptor = new
            self._size = os.fstat(new).st_size
        return found

    def _take_up(self, old: BinaryIO, seen: SeenIds, found: TakenUp) -> int | None:
        """Reads the whole file; returns the descriptor of the one that took its place, if it changed in the middle."""
        draft: _Draft | None = None
        torn: list[bytes] = []
        offset = 0
        try:
            for number, line in enumerate(old, start=1):
                keep = _judge(self.path, number, line, seen, found)
                whole = line.endswith(b"\n")
                if keep is None:
                    torn.append(line)
                if draft is not None:
                    if keep:
                        draft.write(line if whole else line + b"\n")
                elif whole and not keep:
                    draft = _Draft(self._target, old, offset)
                elif not whole:
                    self._set_aside(torn, found)
                    if keep:
                        self.append(b"\n")
                    else:
                        os.ftruncate(self._descriptor, offset)
                        self._size = offset
                    return None
                offset += len(line)
            self._set_aside(torn, found)
            return draft.replace() if draft is not None else None
        except BaseException:
            if draft is not None:
                draft.discard()
            raise

    def _set_aside(self, torn: list[bytes], found: TakenUp) -> None:
        if not torn:
            return
        found.torn = sum(map(len, torn))
        found.aside = self.path.with_name(self.path.name + ".torn")
        with found.aside.open("ab") as aside:
            aside.writelines(line if line.endswith(b"\n") else line + b"\n" for line in torn)


def peek(path: Path, seen: SeenIds) -> TakenUp:
    """Notes the finished ids of a file of results in `seen` and leaves the file as it is.

    :raise OutputError: this is no file of results, or cannot be read
    """
    found = TakenUp()
    try:
        if path.is_file():
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    _judge(path, number, line, seen, found)
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({_reason(error)})") from None
    return found


def _judge(path: Path, number: int, line: bytes, seen: SeenIds, found: TakenUp) -> bool | None:
    """True: keep it; False: drop it; None: it is torn."""
    try:
        result = _decode(line)
    except msgspec.ValidationError:
        raise _foreign(path, number) from None
    except ValueError:
        if number == 1 and (line.endswith(b"\n") or not _BEGINNING.match(line)):
            raise _foreign(path, number) from None
        return None
    if result.custom_id is not None and (result.error is None or result.error.code in FINAL_CODES):
        ok = result.error is None
        if seen.finish(result.custom_id, ok):
            found.ok += ok
            found.failed += not ok
            return True
    found.dropped += 1
    return False


def _foreign(path: Path, number: int) -> OutputError:
    return OutputError(
        f"{path} exists, and its line {number} is not a result of a batch; "
        "name another file or move it away (it was left as it is)"
    )


_decode = msgspec.json.Decoder(_Result).decode


class _Draft:
    """The new content of a file, in a file beside it that takes its place at the end."""

    def __init__(self, target: Path, old: BinaryIO, length: int) -> None:
        """Begins with the first `length` bytes of the old file."""
        self._target = target
        self._path = target.with_name(f".{target.name}.new")
        self._lines: list[bytes] = []
        self._held = 0
        self._descriptor = _open(self._path, self._path, os.O_TRUNC)
        try:
            _lock(self._descriptor)
            os.fchmod(self._descriptor, stat.S_IMODE(os.fstat(old.fileno()).st_mode))
            for piece in _first(old, length):
                _write(self._descriptor, piece)
        except BaseException:
            self.discard()
            raise

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        self._held += len(line)
        if self._held > 1 << 20:
            self._flush()

    def _flush(self) -> None:
        _write(self._descriptor, b"".join(self._lines))
        self._lines.clear()
        self._held = 0

    def replace(self) -> int:
        """Takes the target's place; returns the descriptor, locked."""
        self._flush()
        os.fsync(self._descriptor)
        self._path.replace(self._target)
        directory = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return self._descriptor

    def discard(self) -> None:
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._path.unlink()


def _first(file: BinaryIO, length: int) -> Iterator[bytes]:
    """The first `length` bytes, without moving the file's position."""
    offset = 0
    while offset < length:
        piece = os.pread(file.fileno(), min(1 << 20, length - offset), offset)
        if not piece:
            return
        yield piece
        offset += len(piece)


def _open(path: Path, shown: Path, flags: int = 0) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
    except OSError as error:
        raise OutputError(
            f"{shown} cannot be opened for writing ({_reason(error)}); name a file in a folder that is yours"
        ) from None


def _lock(descriptor: int) -> bool:
    """False if another process holds the lock."""
    try:
        import fcntl
    except ImportError:  # a platform without it; there two runs on one file are not noticed
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _write(descriptor: int, data: bytes) -> None:
    """All of it: what a signal or a disk that fills up cuts short goes on or raises."""
    done = os.write(descriptor, data)
    while done < len(data):
        done += os.write(descriptor, memoryview(data)[done:])


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
