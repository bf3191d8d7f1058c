"""Questions to the ledger about single calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, TypeVar, overload

from sqlalchemy import Connection, Select, and_, or_, select

from llmcore.errors import LLMValidationError
from llmcore.ledger.filters import condition_for, order_for
from llmcore.ledger.models import llm_calls, llm_payloads
from llmcore.ledger.retention import cleanup
from llmcore.ledger.rows import TEXT_MAX
from llmcore.ledger.sums import presentable
from llmcore.ledger.where import ask, ask_async
from llmcore.types import LLMCallStatusEnum, LLMCallTypeEnum, Money

__all__ = ["CALL_FIELDS", "LLMCall", "LLMCallRepository", "OtherCallType"]

_MOST: Final = 10_000
_PARENTS: Final = 500  # of one question
_TEXTS: Final = ("system_prompt", "prompt", "messages", "response", "tool_calls")

T = TypeVar("T")


class OtherCallType(str):
    """A call type that is not among the known ones; ``value`` is its name, as of those."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The name."""
        return str(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LLMCall:
    """One call as the ledger has it: the columns of ``llm_calls``, and what was said in it, as far as it is kept.

    ``prompt``, ``system_prompt`` and ``response`` are empty where nothing is kept.
    """

    id: str
    tenant: str
    call_type: LLMCallTypeEnum | OtherCallType | None
    status: LLMCallStatusEnum
    source: str
    provider: str
    model: str
    response_model: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    total_tokens: int
    #: None: it used something at an unknown price
    cost_nano_usd: int | None
    reserved_nano_usd: int | None
    reported_cost_nano_usd: int | None
    saved_nano_usd: int
    price_source: str | None
    latency_ms: float | None
    queue_ms: float | None
    first_token_ms: float | None
    attempts: int
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    fallback_used: bool
    cache_hit: bool
    temperature: float | None
    max_tokens: int | None
    image_count: int
    image_size: str | None
    user_id: str | None
    owner_id: str | None
    session_id: str | None
    task_id: str | None
    company_id: str | None
    review_id: str | None
    game_id: str | None
    player_name: str | None
    hand_number: int | None
    prompt_template: str | None
    trace_id: str | None
    parent_call_id: str | None
    trackable_type: str | None
    trackable_id: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    prompt: str = ""
    system_prompt: str = ""
    response: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def prompt_tokens(self) -> int:
        """All of the prompt."""
        return self.input_tokens

    @property
    def completion_tokens(self) -> int:
        """All that was generated."""
        return self.output_tokens

    @property
    def cost(self) -> Money | None:
        """What it cost; None: not known."""
        return None if self.cost_nano_usd is None else Money(self.cost_nano_usd)

    @property
    def estimated_cost(self) -> float | None:
        """The same in US dollars, as a float: to be shown, not to be added up."""
        return None if self.cost_nano_usd is None else self.cost_nano_usd / 1e9

    def to_dict(self, *, texts: bool = False) -> dict[str, Any]:
        """All of it, ready for JSON.

        :param texts: with what was said
        """
        found: dict[str, Any] = {}
        for name in (*CALL_FIELDS, *(_TEXTS if texts else ())):
            value = getattr(self, name)
            found[name] = value.isoformat() if isinstance(value, datetime) else value
        return found

    def __repr__(self) -> str:
        return f"LLMCall({self.id!r}, {self.provider}/{self.model}, {self.status.value}, {self.created_at.isoformat()})"


#: what LLMCall.to_dict() has, without what was said
CALL_FIELDS: Final = tuple(each.name for each in fields(LLMCall) if each.name not in _TEXTS)


class LLMCallRepository:
    """Finds calls. The first argument says where: a session or connection of the host (asynchronous or not), a URL, an
    engine or a tracker; without it, the ledger of the process. Nothing is committed on a session of the host.

    Each method is there twice: to be awaited, and with the ending ``_sync``.
    """

    @overload
    @staticmethod
    async def get(call_id: str, /) -> LLMCall | None: ...
    @overload
    @staticmethod
    async def get(db: Any, call_id: str, /) -> LLMCall | None: ...
    @staticmethod
    async def get(*arguments: Any) -> LLMCall | None:
        """The call with this id, with all that is kept of what was said; None: there is none.

        :raises LedgerError: the ledger cannot be asked
        """
        db, call_id = _two(arguments, "get", "call_id")
        return await ask_async(db, _getter(call_id))

    @overload
    @staticmethod
    def get_sync(call_id: str, /) -> LLMCall | None: ...
    @overload
    @staticmethod
    def get_sync(db: Any, call_id: str, /) -> LLMCall | None: ...
    @staticmethod
    def get_sync(*arguments: Any) -> LLMCall | None:
        """The same without awaiting."""
        db, call_id = _two(arguments, "get_sync", "call_id")
        return ask(db, _getter(call_id))

    @overload
    @staticmethod
    async def get_calls_by_trace(trace_id: str, /) -> list[LLMCall]: ...
    @overload
    @staticmethod
    async def get_calls_by_trace(db: Any, trace_id: str, /) -> list[LLMCall]: ...
    @staticmethod
    async def get_calls_by_trace(*arguments: Any) -> list[LLMCall]:
        """All calls of a trace, the first one first; 10,000 at the most.

        :raises LedgerError: the ledger cannot be asked
        """
        db, trace_id = _two(arguments, "get_calls_by_trace", "trace_id")
        return await ask_async(db, _tracer(trace_id))

    @overload
    @staticmethod
    def get_calls_by_trace_sync(trace_id: str, /) -> list[LLMCall]: ...
    @overload
    @staticmethod
    def get_calls_by_trace_sync(db: Any, trace_id: str, /) -> list[LLMCall]: ...
    @staticmethod
    def get_calls_by_trace_sync(*arguments: Any) -> list[LLMCall]:
        """The same without awaiting."""
        db, trace_id = _two(arguments, "get_calls_by_trace_sync", "trace_id")
        return ask(db, _tracer(trace_id))

    @overload
    @staticmethod
    async def get_tree(call_id: str, /) -> list[LLMCall]: ...
    @overload
    @staticmethod
    async def get_tree(db: Any, call_id: str, /) -> list[LLMCall]: ...
    @staticmethod
    async def get_tree(*arguments: Any) -> list[LLMCall]:
        """A call and all that were made inside it, such as the re-asks of a structured answer: itself first, then by
        time; about 10,000 at the most, and none if there is no such call.

        :raises LedgerError: the ledger cannot be asked
        """
        db, call_id = _two(arguments, "get_tree", "call_id")
        return await ask_async(db, _grower(call_id))

    @overload
    @staticmethod
    def get_tree_sync(call_id: str, /) -> list[LLMCall]: ...
    @overload
    @staticmethod
    def get_tree_sync(db: Any, call_id: str, /) -> list[LLMCall]: ...
    @staticmethod
    def get_tree_sync(*arguments: Any) -> list[LLMCall]:
        """The same without awaiting."""
        db, call_id = _two(arguments, "get_tree_sync", "call_id")
        return ask(db, _grower(call_id))

    @staticmethod
    async def list_by_filters(
        db: Any = None,
        *,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        tags: str | Sequence[str] | None = None,
        limit: int = 100,
        after: LLMCall | str | None = None,
        sort: str = "-created_at",
        **columns: Any,
    ) -> list[LLMCall]:
        """The calls that meet all filters, a page at a time: ``after`` the last call of the page before, or its id. A
        page costs the same wherever it is.

        :param start_date: the first moment that counts; naive means UTC
        :param end_date: the first moment that does not count any more
        :param tags: that a call must have, all of them
        :param limit: calls on a page, 10,000 at the most
        :param sort: a column, with - the largest first
        :param columns: of llm_calls, each with a value, or several of which it may be any; None: any
        :raises LLMValidationError: there is no such column, or it holds nothing of that kind
        :raises LedgerError: the ledger cannot be asked
        """
        return await ask_async(db, _lister(columns, tags, start_date, end_date, limit, after, sort))

    @staticmethod
    def list_by_filters_sync(
        db: Any = None,
        *,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        tags: str | Sequence[str] | None = None,
        limit: int = 100,
        after: LLMCall | str | None = None,
        sort: str = "-created_at",
        **columns: Any,
    ) -> list[LLMCall]:
        """The same without awaiting."""
        return ask(db, _lister(columns, tags, start_date, end_date, limit, after, sort))

    @staticmethod
    async def cleanup_old_logs(db: Any = None, days_old: int = 90) -> int:
        """Removes the calls that are older than so many days, and their part of the sums, and returns how many there
        were.

        :raises LLMValidationError: that is no number of days
        :raises LedgerError: the ledger cannot be written
        """
        return await ask_async(db, lambda connection, ours: cleanup(connection, days_old, commit=ours), write=True)

    @staticmethod
    def cleanup_old_logs_sync(db: Any = None, days_old: int = 90) -> int:
        """The same without awaiting."""
        return ask(db, lambda connection, ours: cleanup(connection, days_old, commit=ours), write=True)


def _two(arguments: tuple[Any, ...], method: str, name: str) -> tuple[Any, str]:
    if len(arguments) not in (1, 2):
        raise TypeError(f"{method}() takes {name}, and before it the session to ask, if any")
    db, value = (None, *arguments) if len(arguments) == 1 else arguments
    if not isinstance(value, str):
        raise LLMValidationError(f"{name} is text, not {type(value).__name__}")
    return db, value


def _known(connection: Connection, text: str) -> str:
    return presentable(text, sqlite=connection.dialect.name == "sqlite")


def _getter(call_id: str) -> Callable[[Connection, bool], LLMCall | None]:
    def question(connection: Connection, ours: bool) -> LLMCall | None:
        row = connection.execute(_select().where(llm_calls.c.id == _known(connection, call_id))).first()
        return None if row is None else _call(row._mapping)

    return question


def _tracer(trace_id: str) -> Callable[[Connection, bool], list[LLMCall]]:
    def question(connection: Connection, ours: bool) -> list[LLMCall]:
        known = _known(connection, trace_id)
        query = _select().where(llm_calls.c.trace_id.in_({known, known[:TEXT_MAX]}))
        query = query.order_by(llm_calls.c.created_at, llm_calls.c.id)
        return [_call(row._mapping) for row in connection.execute(query.limit(_MOST))]

    return question


def _grower(call_id: str) -> Callable[[Connection, bool], list[LLMCall]]:
    def question(connection: Connection, ours: bool) -> list[LLMCall]:
        root = connection.execute(_select().where(llm_calls.c.id == _known(connection, call_id))).first()
        if root is None:
            return []
        found = {str(root.id): _call(root._mapping)}
        level = list(found)
        while level and len(found) < _MOST:
            below = []
            for at in range(0, len(level), _PARENTS):
                query = _select().where(llm_calls.c.parent_call_id.in_(level[at : at + _PARENTS]))
                rows = connection.execute(query.order_by(llm_calls.c.created_at, llm_calls.c.id).limit(_MOST))
                below += [_call(row._mapping) for row in rows]
            level = [call.id for call in below if call.id not in found]  # whoever refers to whom
            found |= {call.id: call for call in below if call.id not in found}
        first, *inside = found.values()
        return [first, *sorted(inside, key=lambda call: (call.created_at, call.id))]

    return question


def _lister(
    columns: Mapping[str, Any],
    tags: str | Sequence[str] | None,
    start: datetime | None,
    end: datetime | None,
    limit: Any,
    after: Any,
    sort: Any,
) -> Callable[[Connection, bool], list[LLMCall]]:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:
        raise LLMValidationError(f"limit is a whole number from 1 to {_MOST:,}")
    if after is not None and not isinstance(after, LLMCall | str):
        raise LLMValidationError(f"after is a call or its id, not {type(after).__name__}")
    key, descending = order_for(sort)

    def question(connection: Connection, ours: bool) -> list[LLMCall]:
        sqlite = connection.dialect.name == "sqlite"
        conditions = condition_for(columns, tags, start, end, sqlite=sqlite)
        identity = llm_calls.c.id
        if after is not None:
            last = presentable(after if isinstance(after, str) else after.id, sqlite=sqlite)
            place = connection.execute(select(key, identity).where(identity == last)).first()
            if place is None:
                raise LLMValidationError("the call that the page comes after is not in the ledger (any more)")
            beyond = key < place[0] if descending else key > place[0]
            next_to = identity < last if descending else identity > last
            conditions.append(or_(beyond, and_(key == place[0], next_to)))
        order = (key.desc(), identity.desc()) if descending else (key, identity)
        query = _select().where(*conditions).order_by(*order).limit(limit)
        return [_call(row._mapping) for row in connection.execute(query)]

    return question


def _select() -> Select[Any]:
    same = and_(llm_payloads.c.call_id == llm_calls.c.id, llm_payloads.c.created_at == llm_calls.c.created_at)
    said = (llm_payloads.c[name] for name in _TEXTS)
    calls = (column for column in llm_calls.c if column.name != "spool")
    return select(*calls, *said).select_from(llm_calls.outerjoin(llm_payloads, same))


def _call(row: Mapping[Any, Any]) -> LLMCall:
    told = {str(name): value for name, value in row.items()}
    call_type = told["call_type"]
    if call_type is not None:
        try:
            told["call_type"] = LLMCallTypeEnum(call_type)
        except ValueError:
            told["call_type"] = OtherCallType(call_type)
    told["status"] = LLMCallStatusEnum(told["status"])
    for name in ("prompt", "system_prompt", "response"):
        told[name] = told[name] or ""
    for name in ("tags", "messages", "tool_calls"):
        told[name] = told[name] if isinstance(told[name], list) else []
    told["metadata"] = told["metadata"] if isinstance(told["metadata"], dict) else {}
    return LLMCall(**told)
