"""Questions to the view ``llm_requests``: calls as a back end's own table of requests would have them."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Double, column, select, table

from llmcore.errors import LedgerError, LLMValidationError
from llmcore.ledger.models import llm_calls, llm_payloads
from llmcore.ledger.sums import presentable
from llmcore.ledger.where import ask, ask_async

__all__ = ["LLMRequestRepo", "LLMRequestRow"]

_MOST: Final = 10_000
_FARTHEST: Final = 1 << 31  # rows that a page may skip

_view = table(
    "llm_requests",
    *(column(name, llm_calls.c[name].type) for name in ("id", "user_id", "provider", "model", "status")),
    column("tokens_used", llm_calls.c.total_tokens.type),
    column("cost_estimate", Double()),
    *(column(name, llm_calls.c[name].type) for name in ("input_tokens", "output_tokens", "temperature", "max_tokens")),
    column("latency", llm_calls.c.latency_ms.type),
    column("error", llm_calls.c.error_message.type),
    *(column(name, llm_calls.c[name].type) for name in ("created_at", "completed_at")),
    *(column(name, llm_payloads.c[name].type) for name in ("messages", "response")),
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LLMRequestRow:
    """One row of the view. What was said is None where the ledger keeps nothing of it."""

    id: str
    user_id: str | None
    provider: str
    model: str
    status: str
    tokens_used: int
    #: US dollars, to be shown and not to be added up; None: it used something at an unknown price
    cost_estimate: float | None
    input_tokens: int
    output_tokens: int
    temperature: float | None
    max_tokens: int | None
    #: milliseconds
    latency: float | None
    error: str | None
    created_at: datetime
    completed_at: datetime | None
    messages: list[dict[str, Any]] | None
    response: str | None

    def __repr__(self) -> str:
        return f"LLMRequestRow({self.id!r}, {self.provider}/{self.model}, {self.status})"


_COLUMNS: Final = tuple(each.name for each in fields(LLMRequestRow))


class LLMRequestRepo:
    """Finds requests. What was recorded in this process before a question is written before it is asked.

    :param session: a session or connection of the host (asynchronous or not), a URL, an engine or a tracker; None: the
        ledger of the process. Nothing is changed or committed on a session of the host.
    """

    def __init__(self, session: Any = None) -> None:
        self.session = session

    def by_id(self, request_id: UUID | str) -> LLMRequestRow | None:
        """The request with this id; None: there is none.

        :raises LedgerError: the ledger cannot be asked
        """
        return ask(self._here(), _getter(request_id))

    def by_user(self, user_id: UUID | str, limit: int = 50, offset: int = 0) -> list[LLMRequestRow]:
        """A user's requests, the newest first.

        :param limit: 10,000 at the most
        :raises LLMValidationError: limit or offset is no such number
        :raises LedgerError: the ledger cannot be asked
        """
        return ask(self._here(), _lister(user_id, limit, offset))

    async def by_id_async(self, request_id: UUID | str) -> LLMRequestRow | None:
        """The same without holding up the event loop."""
        return await ask_async(self.session, _getter(request_id))

    async def by_user_async(self, user_id: UUID | str, limit: int = 50, offset: int = 0) -> list[LLMRequestRow]:
        """The same without holding up the event loop."""
        return await ask_async(self.session, _lister(user_id, limit, offset))

    def _here(self) -> Any:
        if hasattr(self.session, "run_sync") or hasattr(self.session, "sync_engine"):
            raise LedgerError(
                "this session is asynchronous: await the method whose name begins with a or ends in _async"
            )
        return self.session


def _getter(request_id: UUID | str) -> Callable[[Connection, bool], LLMRequestRow | None]:
    def question(connection: Connection, ours: bool) -> LLMRequestRow | None:
        row = connection.execute(select(_view).where(_view.c.id == _text(connection, request_id))).first()
        return None if row is None else _row(row)

    return question


def _lister(user_id: UUID | str, limit: Any, offset: Any) -> Callable[[Connection, bool], list[LLMRequestRow]]:
    for name, value, least, most in (("limit", limit, 1, _MOST), ("offset", offset, 0, _FARTHEST)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise LLMValidationError(f"{name} is a whole number from {least} to {most:,}")

    def question(connection: Connection, ours: bool) -> list[LLMRequestRow]:
        query = select(_view).where(_view.c.user_id == _text(connection, user_id))
        query = query.order_by(_view.c.created_at.desc(), _view.c.id.desc()).limit(limit).offset(offset)
        return [_row(row) for row in connection.execute(query)]

    return question


def _text(connection: Connection, value: UUID | str) -> str:
    return presentable(str(value), sqlite=connection.dialect.name == "sqlite")


def _row(row: Any) -> LLMRequestRow:
    return LLMRequestRow(**{name: row._mapping[name] for name in _COLUMNS})
