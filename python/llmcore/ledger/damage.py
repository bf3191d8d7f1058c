"""A ledger's SQLite file that is damaged: kept aside, so that a new one can take its place.

Only files that llmcore made itself are moved, and it is these that carry its mark in their header, which can be read
whatever else is wrong. A file that a host shares with its ledger, or one that is no database at all, stays where it is.
"""

import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

__all__ = ["mark_as_ours", "set_aside"]

#: "llmc", in the four bytes that SQLite leaves to programs: https://www.sqlite.org/fileformat.html#application_id
_MARK: Final = 0x6C6C6D63
_MAGIC: Final = b"SQLite format 3\0"
_MARK_OFFSET: Final = 68
_WITH_IT: Final = ("-wal", "-shm", "-journal")


def mark_as_ours(driver: Any) -> None:
    """Marks a database that holds nothing yet, on a connection of SQLite's driver."""
    (tables,) = driver.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0:
        driver.execute(f"PRAGMA application_id = {_MARK}")


def set_aside(path: Path, damaged: tuple[int, int] | None) -> Path | None:
    """Renames a damaged file of ours and what belongs to it; None: it is not ours, or gone already.

    :param damaged: device and inode of the file that was found damaged: another one in its place is not touched
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of two processes that find the damage, one moves the file
        with path.open("rb") as file:
            head = file.read(_MARK_OFFSET + 4)
            found = os.fstat(file.fileno())
        ours = head.startswith(_MAGIC) and int.from_bytes(head[_MARK_OFFSET:], "big") == _MARK
        if not ours or damaged != (found.st_dev, found.st_ino):
            return None
        aside = _free_name(path)
        for end in _WITH_IT:  # first: a log without its file is nothing, and would be taken for the next one's
            with suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(f"{aside}{end}")
        path.rename(aside)
    except OSError:
        return None
    else:
        return aside
    finally:
        os.close(folder)


def _free_name(path: Path) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 0
    while True:
        aside = path.with_name(f"{path.name}.damaged-{moment}{f'-{number}' if number else ''}")
        if not aside.exists():
            return aside
        number += 1
