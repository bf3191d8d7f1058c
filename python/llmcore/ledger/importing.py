"""Spools that another program left, a game without Python for example, brought into a database."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmcore._core import JournalError, JournalReader, JournalWriter
from llmcore.errors import LedgerError
from llmcore.ledger.database import Database
from llmcore.ledger.entries import next_entries

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Imported", "import_spool"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import.

    :ivar entries: read from the spool, those that an earlier import had brought included
    :ivar calls: finished ones among them that are in the database now
    :ivar refused: calls that the database refused
    :ivar damaged: entries that cannot be read; all others are there
    :ivar running: the program that writes the spool still runs, so that there may be more, and nothing in it is lost
    """

    entries: int
    calls: int
    refused: int
    damaged: int
    running: bool


def import_spool(folder: str | Path, url_or_engine: "str | Engine | None" = None) -> Imported:
    """Brings the entries of a spool into a ledger. What is there already is not brought again, so it may be called as
    often as one likes, also while the spool is being written. A call that was begun and never ended, by a program that
    is gone, is lost, and counts as the most it could cost.

    :param folder: the directory of the spool, as ``Client::Config::ledger`` names it, or a file in it
    :raises LedgerError: there is no spool, or the database cannot be used
    """
    folder = Path(folder)
    if folder.is_file():
        folder = folder.parent
    try:
        reader = JournalReader(folder)
    except (JournalError, OSError) as error:
        raise LedgerError(f"there is no spool at {folder}: {str(error).partition(chr(10))[0]}") from None
    running = _is_locked(folder)
    database = Database(url_or_engine)
    entries = calls = refused = damaged = position = 0
    connection = database.connect()
    try:
        from llmcore.ledger.inserts import Inserts

        inserts = Inserts(connection)
        name = ""
        while True:
            batch, through, unreadable = next_entries(reader, position)
            damaged += unreadable
            if through == position:
                break
            assert reader.journal_id is not None
            name = reader.journal_id.hex()
            rejected, _ = inserts.write(connection, name, batch, through)
            entries += len(batch)
            calls += batch.ends - rejected
            refused += rejected
            position = through
        if name and not running:
            inserts.lose_pending(connection, name)
    except LedgerError:
        raise
    except Exception as error:
        raise database.explain(error) from error
    finally:
        connection.close()
    return Imported(entries, calls, refused, damaged + reader.problem_count, running)


def _is_locked(folder: Path) -> bool:
    """Whether somebody writes here. If nobody does, a torn end is repaired on the way."""
    try:
        JournalWriter(folder).close()
    except JournalError:
        return True
    except OSError:  # it cannot be written: a copy on a medium of its own
        return False
    return False
