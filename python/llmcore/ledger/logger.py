"""Calls that llmcore did not make, written down by whoever made them.

::

    async with LLMLogger.log_call(call_type="chat", provider="openai", model="gpt-4o-mini", prompt=text) as log_id:
        answer = await somebody_elses_client(text)
        await LLMLogger.complete(log_id, response=answer.text, tokens=answer.usage)

A call stands in the ledger from its beginning on. Whatever becomes of it, its row says so: completed, failed,
cancelled, left by an exception, or lost with its process.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from llmcore._core import Outcome, Usage, uuid7
from llmcore.call_context import resolve
from llmcore.errors import LLMError, LLMValidationError
from llmcore.ledger.foreign import usage_of
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallRecord, LLMCallStatusEnum, LLMCallTypeEnum, Message, Source, Texts

__all__ = ["LLMLogger", "log_rag_query"]

_log = logging.getLogger("llmcore.ledger")

#: calls that were begun here and have not ended; beyond it the oldest are given up
_MOST_OPEN: Final = 100_000
_TOO_MUCH: Final = Decimal(2**63)


class LLMLogger:
    """Writes calls down that are made elsewhere, through a tracker: the process's own, unless one is given at the
    beginning. Every method has a synchronous twin of the same name with ``_sync``. Thread-safe.

    Context fields (``user_id``, ``trace_id``, ``tags``, ...) are those of a call of llmcore, and inherited from
    :func:`llmcore.context` likewise.
    """

    # --- beginning ----------------------------------------------------------------------------------------------------

    @classmethod
    def start_sync(
        cls,
        call_type: LLMCallTypeEnum | str = LLMCallTypeEnum.OTHER,
        provider: str = "",
        model: str = "",
        prompt: str | None = None,
        *,
        system_prompt: str | None = None,
        messages: list[Message] | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tenant: str = "default",
        tracker: UsageTracker | None = None,
        **context: Any,
    ) -> str:
        """Writes down that a call begins, and returns its id.

        :param call_type: what it is for: a LLMCallTypeEnum or any other string
        :param prompt: what is asked; kept as the tracker's content policy says
        :param messages: the same in the OpenAI shape; wins over the two prompts
        :raises LLMValidationError: provider or model is missing, or something is no context field
        """
        named: tuple[tuple[str, object], ...] = (("provider", provider), ("model", model))
        for name, value in named:
            if not isinstance(value, str) or not value:
                raise LLMValidationError(f"{name} names who is asked: it is a string that is not empty")
        ledger = tracker or UsageTracker.default()
        wall = time.time_ns()
        call = CallRecord(
            uuid7(wall),
            str(call_type),
            LLMCallStatusEnum.PENDING,
            Outcome.OK,
            Source.NONE,
            provider,
            model,
            resolve(context),
        )
        call.tenant = tenant
        call.created_at = call.started_at = wall
        call.temperature = temperature
        call.max_tokens = max_tokens
        if messages is None and (prompt is not None or system_prompt is not None):
            said = [("system", system_prompt), ("user", prompt)]
            messages = [{"role": role, "content": text} for role, text in said if text is not None]
        ledger.begin(call, None if messages is None else Texts(messages))
        _remember(ledger, call)
        return call.id

    # --- ends ---------------------------------------------------------------------------------------------------------

    @classmethod
    def complete_sync(
        cls,
        log_id: str,
        response: str | None = None,
        tokens: Usage | Mapping[str, Any] | object | None = None,
        estimated_cost: float | Decimal | None = None,
        *,
        finish_reason: str | None = None,
        response_model: str | None = None,
        answered_at: float | None = None,
        tracker: UsageTracker | None = None,
    ) -> bool:
        """Writes down that a call was answered. Its latency is the time since its beginning.

        :param response: what the model said
        :param tokens: what it used: a Usage, the ``usage`` of any client library's answer, a mapping, or a total
        :param estimated_cost: US dollars; None: what the catalogue of prices says, or unknown
        :param answered_at: Unix seconds at which the provider says it answered, as prices change; None: its beginning
        :return: False if the call had ended already; nothing is changed then
        :raises LLMValidationError: no such call was begun here, or a figure is none; the call stays open
        """
        used, cost = usage_of(tokens), _nano_usd(estimated_cost)
        ended = _end(log_id, tracker)
        if ended is None:
            return False
        ledger, call, started = ended
        call.status = LLMCallStatusEnum.SUCCESS
        call.source = Source.PROVIDER
        call.finish_reason = finish_reason
        call.response_model = response_model
        call.usage = used
        if cost is None:
            # A total without its parts has no price; a Usage knows its parts, be they estimated or not.
            if tokens is not None and (isinstance(tokens, Usage) or not used.estimated):
                _price(call, used, answered_at)
        else:
            call.cost, call.price_source = cost, "caller"
        _close(ledger, call, started, None if response is None else Texts(None, str(response)))
        return True

    @classmethod
    def fail_sync(
        cls,
        log_id: str,
        error: BaseException | str = "",
        *,
        error_code: str | None = None,
        told: str | None = None,
        tracker: UsageTracker | None = None,
    ) -> bool:
        """Writes down that a call has no answer.

        :param error: why: an exception, or a sentence
        :param told: what the row says instead of the exception's own words
        :return: False if the call had ended already; nothing is changed then
        :raises LLMValidationError: no such call was begun here
        """
        ended = _end(log_id, tracker)
        if ended is None:
            return False
        ledger, call, started = ended
        call.status, call.outcome = _ending_of(error)
        call.error_message = told or str(error) or type(error).__name__
        call.error_code = error_code or (None if isinstance(error, str) else type(error).__name__)
        _close(ledger, call, started, None)
        return True

    @classmethod
    @contextmanager
    def log_call_sync(cls, call_type: LLMCallTypeEnum | str = LLMCallTypeEnum.OTHER, **call: Any) -> Iterator[str]:
        """As `log_call`, for threads."""
        tracker = call.get("tracker")
        log_id = cls.start_sync(call_type, **call)
        try:
            yield log_id
        except BaseException as error:
            _end_quietly(cls.fail_sync, log_id, error, tracker=tracker)
            raise
        _end_quietly(cls.complete_sync, log_id, tracker=tracker)

    # --- the same, awaited: nothing here waits for the database, so there is nothing to wait for ----------------------

    @classmethod
    async def start(cls, call_type: LLMCallTypeEnum | str = LLMCallTypeEnum.OTHER, **call: Any) -> str:
        """As `start_sync`."""
        return cls.start_sync(call_type, **call)

    @classmethod
    async def complete(cls, log_id: str, response: str | None = None, **answer: Any) -> bool:
        """As `complete_sync`."""
        return cls.complete_sync(log_id, response, **answer)

    @classmethod
    async def fail(cls, log_id: str, error: BaseException | str = "", **why: Any) -> bool:
        """As `fail_sync`."""
        return cls.fail_sync(log_id, error, **why)

    @classmethod
    @asynccontextmanager
    async def log_call(
        cls, call_type: LLMCallTypeEnum | str = LLMCallTypeEnum.OTHER, **call: Any
    ) -> AsyncIterator[str]:
        """Begins a call and gives its id to the block, which completes it. A block that ends without having done so has
        a call that succeeded with nothing known of it; one that raises has one that failed, or was cancelled.
        """
        with cls.log_call_sync(call_type, **call) as log_id:
            yield log_id

    # --- questions, to the ledger of the process or to the one that `where` names -------------------------------------

    @staticmethod
    def get_cost_stats_sync(
        user_id: str | None = None, days: int = 30, *, where: Any = None, **by: Any
    ) -> dict[str, Any]:
        """As :func:`llmcore.ledger.stats.get_cost_stats`."""
        from llmcore.ledger.stats import get_cost_stats

        return get_cost_stats(where, user_id=user_id, days=days, **by)

    @staticmethod
    def get_performance_stats_sync(
        provider: str | None = None, model: str | None = None, days: int = 7, *, where: Any = None, **by: Any
    ) -> dict[str, Any]:
        """As :func:`llmcore.ledger.stats.get_performance_stats`."""
        from llmcore.ledger.stats import get_performance_stats

        return get_performance_stats(where, provider=provider, model=model, days=days, **by)

    @classmethod
    async def get_cost_stats(cls, user_id: str | None = None, days: int = 30, **more: Any) -> dict[str, Any]:
        """As `get_cost_stats_sync`, in a thread."""
        return await asyncio.to_thread(cls.get_cost_stats_sync, user_id, days, **more)

    @classmethod
    async def get_performance_stats(
        cls, provider: str | None = None, model: str | None = None, days: int = 7, **more: Any
    ) -> dict[str, Any]:
        """As `get_performance_stats_sync`, in a thread."""
        return await asyncio.to_thread(cls.get_performance_stats_sync, provider, model, days, **more)


async def log_rag_query(
    prompt: str, model: str, provider: str = "openai", tags: Sequence[str] = (), **call: Any
) -> str:
    """Begins a query that retrieves something for another call, and returns its id for LLMLogger.complete or fail."""
    return await LLMLogger.start(
        LLMCallTypeEnum.RAG_QUERY, provider=provider, model=model, prompt=prompt, tags=tags, **call
    )


# --- calls that are open ----------------------------------------------------------------------------------------------


def _remember(tracker: UsageTracker, call: CallRecord) -> None:
    begun = tracker.begun
    begun[call.id] = (call, time.monotonic_ns())
    if len(begun) > _MOST_OPEN:
        oldest = next(iter(begun), None)
        if oldest is not None:
            begun.pop(oldest, None)
            _log.error("call %s was begun and never ended, like %d others: it is given up", oldest, _MOST_OPEN)


def _end(log_id: str, tracker: UsageTracker | None) -> tuple[UsageTracker, CallRecord, int] | None:
    ledger = tracker or UsageTracker.default()
    found = ledger.begun.pop(log_id, None)
    if found is not None:
        ledger.ended.append(log_id)
        return ledger, *found
    if log_id in ledger.ended:
        _log.warning("call %s has ended already; what is said of it now is left out", log_id)
        return None
    raise LLMValidationError(
        f"no call {log_id!r:.60} was begun in this process: end a call where it was begun, with the same tracker"
    )


def _close(tracker: UsageTracker, call: CallRecord, started: int, texts: Texts | None) -> None:
    call.latency = max(time.monotonic_ns() - started, 0)
    call.completed_at = call.created_at + call.latency
    tracker.record(call, texts)


def _end_quietly(end: Any, log_id: str, *arguments: Any, tracker: UsageTracker | None) -> None:
    """Ends a call unless its block did."""
    if log_id in (tracker or UsageTracker.default()).begun:
        end(log_id, *arguments, tracker=tracker)


def _ending_of(error: BaseException | str) -> tuple[LLMCallStatusEnum, Outcome]:
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
        return LLMCallStatusEnum.CANCELLED, Outcome.CANCELLED
    if isinstance(error, TimeoutError):
        return LLMCallStatusEnum.TIMEOUT, Outcome.TIMEOUT
    if isinstance(error, LLMError) and error.outcome is not None:
        return LLMCallStatusEnum.ERROR, error.outcome
    return LLMCallStatusEnum.ERROR, Outcome.SERVER_ERROR


# --- money ------------------------------------------------------------------------------------------------------------


def _nano_usd(dollars: float | Decimal | None) -> int | None:
    if dollars is None:
        return None
    try:
        nano = Decimal(str(dollars)).scaleb(9)
        if not nano.is_finite() or not 0 <= nano < _TOO_MUCH:
            raise InvalidOperation
    except InvalidOperation:
        raise LLMValidationError(f"estimated_cost is an amount of US dollars, not {dollars!r:.60}") from None
    return int(nano.to_integral_value())


def _price(call: CallRecord, used: Usage, at: float | None) -> None:
    """The price of the catalogue, if it has one."""
    from llmcore.pricing import catalogue

    seconds = call.created_at // 1_000_000_000 if at is None else int(at)
    card = catalogue().card(call.provider, call.response_model or call.model, seconds)
    if card is not None:
        call.cost, call.price_source = card.cost(used), card.source
