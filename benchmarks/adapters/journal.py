"""A record of 1.1 KB goes to memory, to the system (survives kill -9), or to the disk (survives a power cut)."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from adapters import REGISTRY, Prepared

RECORD = b"r" * 1100
AT_ONCE = 64  # threads that share one wait for the disk

REGISTRY.group("journal-memory", "log: 1.1 KB to memory")
REGISTRY.group("journal-os", "log: 1.1 KB to the system")
REGISTRY.group("journal-disk", "log: 1.1 KB to the disk", waits=True)


def folder() -> Path:
    """On the disk where the benchmarks are, since /tmp may be memory; it goes when the process ends."""
    held = tempfile.TemporaryDirectory(dir=Path(__file__).parents[1], prefix=".journal-")
    _held.append(held)
    return Path(held.name)


_held: list[tempfile.TemporaryDirectory[str]] = []


KIND = 1


def appending(ack: str) -> Callable[[int, bytes], Any]:
    from llmcore._core import JournalWriter

    directory = folder() / "journal"
    return JournalWriter(directory, ack=ack).append


@REGISTRY.contender("journal-memory", "llmcore", own=True)
def memory() -> Prepared:
    return "append(kind, record)", {"append": appending("memory"), "kind": KIND, "record": RECORD}


@REGISTRY.contender("journal-memory", "io.BufferedWriter, 256 KB", own=True)
def buffered() -> Prepared:
    file = (folder() / "log").open("wb", buffering=256 * 1024)
    return "write(record)", {"write": file.write, "record": RECORD}


@REGISTRY.contender("journal-os", "llmcore", own=True)
def system() -> Prepared:
    return "append(kind, record)", {"append": appending("os"), "kind": KIND, "record": RECORD}


@REGISTRY.contender("journal-os", "os.write", own=True)
def bare_write() -> Prepared:
    descriptor = os.open(folder() / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return "write(descriptor, record)", {"write": os.write, "descriptor": descriptor, "record": RECORD}


@REGISTRY.contender("journal-os", "sqlite, a commit for each row", own=True)
def sqlite_rows() -> Prepared:
    link = sqlite3.connect(folder() / "log.db", isolation_level=None)
    link.execute("pragma journal_mode = wal")
    link.execute("pragma synchronous = off")
    link.execute("create table log (id integer primary key, record blob)")
    return "execute('insert into log (record) values (?)', (record,))", {"execute": link.execute, "record": RECORD}


@REGISTRY.contender("journal-os", "SQLAlchemy ORM, a commit for each row", "SQLAlchemy>=2")
def orm_rows() -> Prepared:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Entry(Base):
        __tablename__ = "log"
        id: Mapped[int] = mapped_column(primary_key=True)
        record: Mapped[bytes]

    engine = create_engine(f"sqlite:///{folder()}/log.db")
    Base.metadata.create_all(engine)
    session = Session(engine)

    def add() -> None:
        session.add(Entry(record=RECORD))
        session.commit()

    return "add()", {"add": add}


@REGISTRY.contender("journal-disk", "llmcore, 64 threads share a sync", own=True, least=32 * AT_ONCE)
def disk() -> Prepared:
    append = appending("disk")
    pool = ThreadPoolExecutor(AT_ONCE)

    def work(n: int) -> None:
        for _ in range(n):
            append(KIND, RECORD)

    return lambda n: [done.result() for done in [pool.submit(work, n // AT_ONCE) for _ in range(AT_ONCE)]]


@REGISTRY.contender("journal-disk", "os.write + os.fdatasync", own=True)
def bare_sync() -> Prepared:
    descriptor = os.open(folder() / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    names = {"write": os.write, "sync": os.fdatasync, "descriptor": descriptor, "record": RECORD}
    return "write(descriptor, record); sync(descriptor)", names


@REGISTRY.contender("journal-disk", "sqlite, a commit for each row", own=True)
def sqlite_synced() -> Prepared:
    link = sqlite3.connect(folder() / "log.db", isolation_level=None)
    link.execute("pragma journal_mode = wal")
    link.execute("pragma synchronous = full")
    link.execute("create table log (id integer primary key, record blob)")
    return "execute('insert into log (record) values (?)', (record,))", {"execute": link.execute, "record": RECORD}
