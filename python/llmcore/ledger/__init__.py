"""The memory of all calls: what :class:`~llmcore.ledger.tracker.UsageTracker` writes and
:func:`~llmcore.ledger.stats.report` sums up.

SQLite files are migrated whenever they are opened. Other databases are migrated only by :func:`upgrade`, because
changing a shared database is the decision of whoever runs it.
"""

from typing import TYPE_CHECKING

from llmcore.ledger.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["current_revision", "downgrade", "upgrade"]


def current_revision(url_or_engine: "str | Engine | None" = None) -> str | None:
    """The revision of the tables in a database; None: it has no ledger.

    :raises LedgerError: the database cannot be used
    """
    return Database(url_or_engine).revision()


def upgrade(url_or_engine: "str | Engine | None" = None, revision: str = "head") -> str | None:
    """Brings a database up to a revision and returns the one it is at now.

    :raises LedgerError: the database cannot be used, or has no such revision above its own
    """
    return Database(url_or_engine).move("up", revision)


def downgrade(url_or_engine: "str | Engine | None", revision: str) -> str | None:
    """Brings a database down to a revision and returns the one it is at now. What the older tables cannot hold is lost;
    "base" removes them.

    :raises LedgerError: the database cannot be used, or has no such revision below its own
    """
    return Database(url_or_engine).move("down", revision)
