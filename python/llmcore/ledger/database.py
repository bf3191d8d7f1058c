"""One database that holds, or will hold, a ledger: where it is, how it is opened, and what to say when that fails."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmcore.errors import LedgerError
from llmcore.ledger.damage import mark_as_ours, set_aside

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

__all__ = ["DEFAULT_URL", "Database", "is_locked", "reason_of"]

_log = logging.getLogger("llmcore.ledger")

#: a file in the working directory
DEFAULT_URL = "sqlite:///llmcore.db"

_VARIABLE = "LLMCORE_DATABASE_URL"
_ELSEWHERE = f"set {_VARIABLE} to another database"
_REMEDY = f"or {_ELSEWHERE}"
_OPEN_TIMEOUT_MS = 10_000
_WRITE_TIMEOUT_MS = 1_000

_FILE = "llmcore_file"

# SQLite's primary result codes.
_PERM, _BUSY, _LOCKED, _READONLY, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 3, 5, 6, 8, 11, 13, 14, 26


def _sqlite_code(error: BaseException) -> int | None:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def is_locked(error: BaseException) -> bool:
    """Whether another process holds the lock of a SQLite file, so that waiting helps."""
    return _sqlite_code(error) in (_BUSY, _LOCKED) or (error.__cause__ is not None and is_locked(error.__cause__))


def reason_of(error: BaseException) -> str:
    """What a driver says, without what follows in its next lines: the values of a row may."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def _plain_file(name: str) -> Path | None:
    return None if name in ("", ":memory:") or name.startswith("file:") else Path(name).absolute()


def _expect_known(url: "URL") -> None:
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise LedgerError(f"the ledger is kept in SQLite or PostgreSQL, not in {backend!r}: {_ELSEWHERE}")


def _driver(connection: "Connection") -> Any:
    return connection.connection.dbapi_connection


def _uses_wal(driver: Any, *, change: bool) -> bool:
    """Whether the file has a write-ahead log, after giving it one if it is ours to change."""
    # Changing the mode needs the file for itself, and SQLite does not wait for that: two processes may be opening it.
    # A file that others never let go of is written without.
    deadline = time.monotonic() + _WRITE_TIMEOUT_MS / 1000
    while True:
        mode: str = driver.execute("PRAGMA journal_mode").fetchone()[0]
        if mode == "wal" or not change or time.monotonic() > deadline:
            return mode == "wal"
        try:
            driver.execute("PRAGMA journal_mode = WAL")
        except Exception as error:
            if not is_locked(error):
                raise
            time.sleep(0.01)


class Database:
    """Where a ledger is. Making one is cheap and touches nothing; SQLAlchemy is imported when it is first opened.

    A relative path means the directory that was current when the object was made. Thread-safe as far as an
    :class:`sqlalchemy.Engine` is; every connection it hands out belongs to the caller and to no pool.

    :param url_or_engine: a database URL, the path of a SQLite file, or an engine of the host, which stays the host's;
        None: ``LLMCORE_DATABASE_URL``, else the file ``llmcore.db``
    """

    def __init__(self, url_or_engine: "str | Engine | None" = None) -> None:
        self._host: Engine | None = None
        self._own: Engine | None = None
        self._url = ""
        # Of a SQLite file, the plain case; a "file:..." URI is left to SQLite.
        self._path: Path | None = None
        if url_or_engine is None:
            url_or_engine = os.environ.get(_VARIABLE) or DEFAULT_URL
        self._none = url_or_engine == "none"
        if isinstance(url_or_engine, str):
            scheme, separator, rest = url_or_engine.partition("://")
            if not separator:
                self._path = Path(url_or_engine).absolute()
            elif scheme.partition("+")[0] == "sqlite":
                name, _, query = rest.removeprefix("/").partition("?")
                self._path = _plain_file(name)
                self._url = f"sqlite:///{'' if self._path else name}?{query}"
            else:
                self._url = url_or_engine
            # Neither user nor password nor options, which may hold one.
            elsewhere = f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
        else:
            self._host = url_or_engine
            url = url_or_engine.url
            if url.get_backend_name() == "sqlite":
                self._path = _plain_file(url.database or "")
            elsewhere = f"{url.drivername}://{url.host or ''}/{url.database or ''}"
        self.location = "none" if self._none else str(self._path or elsewhere)

    @property
    def path(self) -> Path | None:
        """The file, if it is a SQLite database in one."""
        return self._path

    def _engine(self) -> "Engine":
        if self._host is not None:
            return self._host
        if self._own is None:
            from sqlalchemy import NullPool, create_engine, make_url

            url = make_url(self._url or "sqlite://")
            if self._path is not None:
                url = url.set(database=str(self._path))
            # A program that is asynchronous elsewhere may share its URL with us, and there are two old names of the
            # same thing.
            elif url.drivername in ("postgres", "postgresql", "postgresql+asyncpg"):
                url = url.set(drivername="postgresql+psycopg")
            _expect_known(url)
            self._own = create_engine(url, poolclass=NullPool)
        return self._own

    @contextmanager
    def _connecting(self) -> "Iterator[Connection]":
        """A connection of our own. If the block raises, it is closed and the error explained."""
        connection = None
        try:
            connection = self._open()
            yield connection
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, LedgerError) or not isinstance(error, Exception):
                raise
            raise self.explain(error) from error

    def _open(self) -> "Connection":
        if self._none:
            raise LedgerError(f"no ledger is configured ({_VARIABLE} is none): name a database, {_REMEDY}")
        engine = self._engine()
        _expect_known(engine.url)
        if self._path is None and engine.dialect.name == "sqlite":
            url = engine.url
            if url.database in (None, "", ":memory:") or "memory" in (url.query.get("mode"), url.database):
                raise LedgerError(
                    "an in-memory SQLite database is seen by one connection only and cannot hold a ledger: name a file"
                )
        connection = engine.connect()
        # Neither our settings nor a fork may reach connections that a host's pool hands to others.
        connection.detach()
        return connection

    def connect(self) -> "Connection":
        """A connection that is ready to write: tables up to date, SQLite in WAL mode. The caller closes it.

        :raises LedgerError: this database cannot hold the ledger
        """
        try:
            return self._connected()
        except LedgerError as error:
            if not self.rescued(error.__cause__):
                raise
        return self._connected()

    def _connected(self) -> "Connection":
        with self._connecting() as connection:
            if connection.dialect.name == "sqlite":
                self._prepare_sqlite(connection)
            else:
                connection.exec_driver_sql("SET TIME ZONE 'UTC'")
                connection.commit()
                self._expect_head(connection)
                self._make_months_ahead(connection)
            return connection

    def connect_reading(self) -> "Connection":
        """A connection for queries: the tables are up to date and nothing else is touched. The caller closes it.

        :raises LedgerError: there is no ledger, or it cannot be read
        """
        if self._missing():
            raise LedgerError(f"there is no ledger at {self.location} yet: the first recorded call makes it; {_REMEDY}")
        with self._connecting() as connection:
            if connection.dialect.name == "sqlite":
                self._migrate_sqlite(connection)
            else:
                self._expect_head(connection)
            return connection

    def revision(self) -> str | None:
        """The revision of the tables; None: there are none.

        :raises LedgerError: the database cannot be read
        """
        from llmcore.ledger.revisions import current

        if self._missing():
            return None
        with self._connecting() as connection:
            found = current(connection)
            connection.close()
            return found

    def move(self, direction: Literal["up", "down"], revision: str) -> str | None:
        """Migrates up or down to a revision and returns the one reached.

        :raises LedgerError: the database cannot be used, or there is no such revision in that direction
        """
        from llmcore.ledger.revisions import current, move

        with self._connecting() as connection:
            if connection.dialect.name == "sqlite":
                _driver(connection).execute(f"PRAGMA busy_timeout = {_OPEN_TIMEOUT_MS}")
            move(connection, direction, revision)
            reached = current(connection)
            if reached is not None:
                self._make_months_ahead(connection)
            connection.close()
            return reached

    @staticmethod
    def _make_months_ahead(connection: "Connection") -> None:
        if connection.dialect.name == "postgresql":
            from llmcore.ledger.partitions import make_ahead

            connection.rollback()
            make_ahead(connection, datetime.now(UTC))

    def _missing(self) -> bool:
        try:
            return self._path is not None and not self._path.exists()
        except OSError:  # a folder that this user must not look into: opening the file says so better
            return False

    def _prepare_sqlite(self, connection: "Connection") -> None:
        from llmcore.ledger.revisions import begin_writing

        # Past SQLAlchemy, for which every statement is part of a transaction; these must not be.
        driver = _driver(connection)
        connection.info[_FILE] = self._file_now()
        driver.execute(f"PRAGMA busy_timeout = {_WRITE_TIMEOUT_MS}")
        if self._host is None:
            mark_as_ours(driver)
        # A statement that inserts many rows keeps what it takes to undo it; in a file, that costs as much as the rows.
        driver.execute("PRAGMA temp_store = MEMORY")
        driver.execute("PRAGMA cache_size = -16000")  # 16 MB at most: rows land all over the indices
        if _uses_wal(driver, change=self._host is None):
            driver.execute("PRAGMA synchronous = NORMAL")  # survives a crash of the process without a sync per batch
        self._migrate_sqlite(connection)
        # A file that can be read but not written shows itself only here: SQLite begins to read where it may not write,
        # whatever BEGIN asked for, and refuses the first statement that would write, even one that finds nothing.
        begin_writing(connection)
        connection.exec_driver_sql("DELETE FROM llm_calls WHERE FALSE")
        connection.rollback()
        connection.info[_FILE] = self._file_now()  # it may have been made just now

    @staticmethod
    def _migrate_sqlite(connection: "Connection") -> None:
        from llmcore.ledger.revisions import HEAD, current, move

        found = current(connection)
        connection.rollback()
        if found != HEAD:
            driver = _driver(connection)
            driver.execute(f"PRAGMA busy_timeout = {_OPEN_TIMEOUT_MS}")
            move(connection, "up")
            driver.execute(f"PRAGMA busy_timeout = {_WRITE_TIMEOUT_MS}")

    def _expect_head(self, connection: "Connection") -> None:
        from llmcore.ledger.revisions import HEAD, current

        found = current(connection)
        connection.rollback()
        if found != HEAD:
            has = "has no ledger" if found is None else f"has the ledger's tables at revision {found}, not {HEAD}"
            raise LedgerError(f"the database {self.location} {has}: call llmcore.ledger.upgrade(url) once, {_REMEDY}")

    def _file_now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_dev, found.st_ino)

    def replaced(self, connection: "Connection") -> bool:
        """Whether the file behind a connection of :meth:`connect` is gone or another one by now: what is written to it
        would be lost.
        """
        return self._path is not None and self._file_now() != connection.info[_FILE]

    @staticmethod
    def file_of(connection: "Connection | None") -> tuple[int, int] | None:
        """Which file a connection of :meth:`connect` has open, if that is known."""
        found: tuple[int, int] | None = None if connection is None else connection.info.get(_FILE)
        return found

    def rescued(self, error: BaseException | None, file: tuple[int, int] | None = None) -> bool:
        """Whether what failed because the file is damaged can be tried again, since a new one can take its place: the
        damaged one is kept aside, which is said.

        :param file: the one that was damaged, as a connection knows it; None: the one that is there
        """
        if error is None or _sqlite_code(error) != _CORRUPT or self._path is None or self._host is not None:
            return False
        aside = set_aside(self._path, file or self._file_now())
        if aside is not None:
            _log.error("the ledger %s is damaged: it is kept as %s, and a new one is begun", self.location, aside)
        return aside is not None or (file is not None and file != self._file_now())

    def after_fork(self) -> Any:
        """In a forked child: forgets what belongs to the parent and returns what must never be closed here."""
        inherited: list[Any] = [self._own]
        self._own = None
        if self._host is not None:
            inherited.append(self._host.pool)
            self._host.dispose(close=False)
        return inherited

    def explain(self, error: BaseException) -> LedgerError:
        """One sentence on why this database cannot be used and what to do; never with a password or a row in it."""
        return LedgerError(self._sentence(error))

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, LedgerError):
            return error.message
        where = f"the ledger {self.location}"
        code = _sqlite_code(error)
        if code in (_BUSY, _LOCKED):
            return f"{where} is locked by another process: end what holds it, {_REMEDY}"
        if code in (_PERM, _READONLY, _CANTOPEN):
            return f"{where} cannot be written: {self._obstacle()}, {_REMEDY}"
        if code in (_CORRUPT, _NOTADB):
            return f"{where} is damaged or no SQLite database: move the file away and a new one is made, {_REMEDY}"
        if code == _FULL:
            return f"{where} cannot grow because its disk is full: make room, {_REMEDY}"
        if isinstance(error, ModuleNotFoundError):
            package = "llmcore[postgres]" if "psycopg" in str(error) else error.name or "its driver"
            return f"{where} needs a package that is missing: pip install '{package}', {_REMEDY}"
        name = type(error).__name__
        if name in ("ArgumentError", "NoSuchModuleError"):
            scheme = self.location.partition("://")[0]
            return f"{scheme}://... is no URL of a database: write it like {DEFAULT_URL}, {_REMEDY}"
        reason = reason_of(error)
        if name == "CommandError":
            return f"{where} is of another version of llmcore ({reason}): install that one, {_REMEDY}"
        if "already exists" in reason:
            return f"{where} holds a table of another program ({reason}): give the ledger a file of its own, {_REMEDY}"
        return f"{where} cannot be used ({name}: {reason}): repair it, {_REMEDY}"

    def _obstacle(self) -> str:
        path = self._path
        if path is None:
            return "allow writing"
        with suppress(OSError):
            if path.is_dir():
                return "it is a folder, so name a file in it"
            if not path.parent.exists():
                return f"make the folder {path.parent}"
        return f"allow this user to write to the file and to the folder {path.parent}"
