"""Which custom ids are finished, and which the input has used: on disk, so that a million of them cost no memory."""

import sqlite3
from typing import Self

__all__ = ["FINISHED_FAILED", "FINISHED_OK", "NEW", "SeenIds"]

#: What :meth:`SeenIds.use` says of an id that the input has not used before.
NEW = 0
FINISHED_OK = -1
FINISHED_FAILED = -2


class SeenIds:
    """A set of ids in a temporary database that vanishes with the process. Not thread-safe; microseconds per id."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "PRAGMA cache_size = -8000",
            # found: the line of the input that used the id; before it did, how an earlier run finished it
            "CREATE TABLE seen (id TEXT PRIMARY KEY, found INTEGER) WITHOUT ROWID",
            "BEGIN",
        ):
            self._database.execute(statement)

    def _add(self, custom_id: str, found: int) -> bool:
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (custom_id, found)).rowcount == 1

    def finish(self, custom_id: str, ok: bool) -> bool:
        """Notes a result that an earlier run wrote; False if there is one for this id already."""
        return self._add(custom_id, FINISHED_OK if ok else FINISHED_FAILED)

    def use(self, custom_id: str, line: int) -> int:
        """Notes that line `line` of the input uses an id.

        :return: NEW, FINISHED_OK or FINISHED_FAILED at its first use; else the number of the line that used it first
        """
        if self._add(custom_id, line):
            return NEW
        (found,) = self._database.execute("SELECT found FROM seen WHERE id = ?", (custom_id,)).fetchone()
        if found < 0:
            self._database.execute("UPDATE seen SET found = ? WHERE id = ?", (line, custom_id))
        return int(found)

    def close(self) -> None:
        """Drops everything."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
