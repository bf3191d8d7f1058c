"""Which tables a database has, and how to change that.

The migrations are Alembic's, kept apart from a host's own by the name of their version table, so the ledger may live
inside a host's database. A database that is up to date is recognised by one look at that table, without importing
Alembic.
"""

from pathlib import Path
from typing import Literal

from sqlalchemy import Connection

__all__ = ["HEAD", "VERSION_TABLE", "begin_writing", "current", "move"]

#: the newest revision; what :func:`current` says of a database that is up to date
HEAD = "0002"
VERSION_TABLE = "llmcore_alembic_version"

_FOLDER = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 7_809_650_416_101_453_413  # any number that nobody else is likely to choose


def current(connection: Connection) -> str | None:
    """The revision that a database is at; None: it has no ledger."""
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return None
    revision: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    return revision


def begin_writing(connection: Connection) -> None:
    """Begins a transaction; on SQLite with the lock that a writer needs, for which it waits as long as busy_timeout
    says.
    """
    connection.begin()
    # A host's engine may have begun by itself (an event of its own): there is only one transaction then, and it is not
    # ours to change.
    if connection.dialect.name == "sqlite" and not getattr(
        connection.connection.dbapi_connection, "in_transaction", False
    ):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def move(connection: Connection, direction: Literal["up", "down"], revision: str = "head") -> None:
    """Moves the tables up or down to a revision ("head", "base", "0001") in one transaction, which it commits.

    Two processes may do this at once: the second one waits for the first and then finds nothing left to do.

    :raises alembic.util.CommandError: there is no such revision, or the database is at one that this version of llmcore
        does not know
    """
    begin_writing(connection)
    try:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        if direction == "down" or revision != "head" or current(connection) != HEAD:
            _run(connection, direction, revision)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _run(connection: Connection, direction: Literal["up", "down"], revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    run = command.upgrade if direction == "up" else command.downgrade
    run(config, revision)
