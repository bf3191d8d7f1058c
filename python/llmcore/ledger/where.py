"""What a question may be asked of: a ledger by its URL, a tracker, or the session of a host that is open already."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, exc

from llmcore.errors import LedgerError
from llmcore.ledger.database import Database, reason_of
from llmcore.ledger.tracker import UsageTracker

__all__ = ["ask", "ask_async", "connected"]

T = TypeVar("T")

_FLUSH_SECONDS = 2.0


def _settle(where: Any) -> Any:
    """Sees to it that what was recorded before can be found, and returns the database to ask, or the session."""
    tracker = where if isinstance(where, UsageTracker) else UsageTracker.current()
    if tracker is not None and not isinstance(where, str | Engine):
        tracker.flush(_FLUSH_SECONDS)
    if where is None:
        return Database() if tracker is None else tracker.database
    if isinstance(where, UsageTracker):
        return where.database
    return Database(where) if isinstance(where, str | Engine) else where


@contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise LedgerError(
            f"the ledger behind this session cannot be asked ({type(error).__name__}: {reason_of(error)}): "
            "call llmcore.ledger.upgrade(url) once if it has no tables yet"
        ) from error


@contextmanager
def connected(where: Any = None, *, write: bool = False) -> Iterator[tuple[Connection, bool]]:
    """A connection, and whether it is ours, so that we commit; a session of the host is the host's to commit.

    :raises LedgerError: it cannot be used
    """
    found = _settle(where)
    if isinstance(found, Database):
        connection = found.connect() if write else found.connect_reading()
        try:
            yield connection, True
        except exc.SQLAlchemyError as error:
            raise found.explain(error) from error
        finally:
            connection.close()
        return
    with _explaining():
        yield _of_host(found), False


def _of_host(session: Any) -> Connection:
    connection = session if isinstance(session, Connection) else getattr(session, "connection", lambda: None)()
    if not isinstance(connection, Connection):
        what = type(session).__name__
        raise LedgerError(
            f"a ledger is asked by its URL, an engine, a tracker or a session of SQLAlchemy; {what} is none of them"
        )
    return connection


def ask(where: Any, question: Callable[[Connection, bool], T], *, write: bool = False) -> T:
    """The answer of a ledger.

    :raises LedgerError: it cannot be used
    """
    with connected(where, write=write) as (connection, ours):
        return question(connection, ours)


async def ask_async(where: Any, question: Callable[[Connection, bool], T], *, write: bool = False) -> T:
    """The same without holding up the event loop: in a thread, or by the asynchronous session of the host.

    :raises LedgerError: it cannot be used
    """
    if hasattr(where, "run_sync"):  # AsyncSession, AsyncConnection
        await asyncio.to_thread(_settle, where)
        with _explaining():
            found: T = await where.run_sync(lambda session: question(_of_host(session), False))
            return found
    if hasattr(where, "sync_engine"):  # AsyncEngine
        await asyncio.to_thread(_settle, where)
        with _explaining():
            async with where.begin() as connection:
                answer: T = await connection.run_sync(lambda held: question(held, False))
                return answer
    if where is None or isinstance(where, str | Engine | UsageTracker):
        return await asyncio.to_thread(ask, where, question, write=write)
    return ask(where, question, write=write)  # a session of this thread
