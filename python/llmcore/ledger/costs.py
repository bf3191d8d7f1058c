"""What single calls cost, booked on the things they were made for."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llmcore._core import Outcome, to_micro_usd, uuid7, uuid7_milliseconds
from llmcore.call_context import resolve
from llmcore.errors import UnknownModelError
from llmcore.ledger.foreign import usage_of
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, LLMResponse, Message, Source, Texts

__all__ = ["CostTracker", "LLMUsageRecord"]


@dataclass(frozen=True, slots=True)
class LLMUsageRecord:
    """One call and what it cost, as the view ``llm_usage_records`` shows it."""

    id: str
    trackable_type: str
    trackable_id: str
    user_id: str
    llm: str
    request_type: str
    token_count: int
    nano_usd: int
    prompt: str
    created_at: datetime

    @property
    def micro_usd(self) -> int:
        """Micro-dollars: a million of them are a dollar. Rounded half to even."""
        return to_micro_usd(self.nano_usd)

    @property
    def dollars(self) -> Decimal:
        """US dollars, exact to the micro-dollar."""
        return Decimal(self.micro_usd).scaleb(-6)


class CostTracker:
    """Books calls on the things they were made for."""

    @staticmethod
    def record(
        *,
        llm_response: Any,
        trackable: Any,
        user: Any,
        request_type: str,
        prompt: str | list[Message],
        provider: str | None = None,
        tracker: UsageTracker | None = None,
    ) -> LLMUsageRecord:
        """Writes down what a call cost. The call of an LLMResponse is in the ledger already: its row gets the thing,
        the user and the type, and is not counted again. Any other answer becomes a row of its own.

        :param llm_response: an LLMResponse, or the answer of another client with ``model`` and ``usage``
        :param trackable: what it was for: an object with an ``id``, or (type, id)
        :param user: who asked: an object with an ``id``, or the id
        :param request_type: what kind of operation it was
        :param prompt: what was asked
        :param provider: of another client's answer; None: "openai"
        :param tracker: where; None: the process's own
        :raises ValueError: an argument is missing, or has no id
        :raises UnknownModelError: no price is known for the model; the call is not booked
        """
        given = {"llm_response": llm_response, "trackable": trackable, "user": user, "request_type": request_type}
        for name, value in {**given, "prompt": prompt}.items():
            if value is None or value == "":
                raise ValueError(f"{name} is missing")
        kind, of = _thing(trackable)
        user_id = _id_of("user", user)
        ours = isinstance(llm_response, LLMResponse)
        call = _of_ours(llm_response) if ours else _of_others(llm_response, provider or "openai")
        if call.cost is None:
            raise UnknownModelError(
                f"no price is known for model {call.model!r:.80} of {call.provider!r:.40}: set it as "
                f'prices."{call.provider}/{call.model}" in llmcore.toml',
                provider=call.provider,
                model=call.model,
            )
        call.call_type = str(request_type)
        call.context = resolve({"trackable_type": kind, "trackable_id": of, "user_id": user_id})
        ledger = tracker or UsageTracker.default()
        if ours:
            ledger.note(call)
        else:
            messages: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            ledger.record(call, Texts(messages, _text_of(llm_response)))
        return LLMUsageRecord(
            call.id,
            kind,
            of,
            user_id,
            call.model,
            call.call_type,
            call.usage.total_tokens if call.usage is not None else 0,
            call.cost,
            prompt if isinstance(prompt, str) else "",
            datetime.fromtimestamp(call.created_at / 1e9, UTC),
        )


def _of_ours(response: LLMResponse) -> CallRecord:
    """As much of a call that is in the ledger as identifies it."""
    call = _blank(response.call_id, response.provider, response.model)
    call.usage = response.usage
    call.cost = None if response.cost is None else response.cost.nano_usd
    call.created_at = uuid7_milliseconds(response.call_id) * 1_000_000
    return call


def _of_others(answer: Any, provider: str) -> CallRecord:
    from llmcore.pricing import catalogue

    wall = time.time_ns()
    model = _attribute(answer, "model")
    if not isinstance(model, str) or not model:
        raise ValueError("llm_response has no model: give an LLMResponse, or an answer with model and usage")
    call = _blank(uuid7(wall), provider, model)
    call.created_at = call.completed_at = wall
    call.usage = usage_of(_attribute(answer, "usage"))
    card = catalogue().card(provider, model)
    if card is not None and not call.usage.estimated:
        call.cost, call.price_source = card.cost(call.usage), card.source
    return call


def _blank(name: str, provider: str, model: str) -> CallRecord:
    success = LLMCallStatusEnum.SUCCESS
    return CallRecord(name, None, success, Outcome.OK, Source.PROVIDER, provider, model, CallContext(), model)


def _attribute(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _text_of(answer: Any) -> str | None:
    """What the model said, where the answer has one of the two usual shapes."""
    choices = _attribute(answer, "choices")
    if choices:
        said = [_attribute(_attribute(choices[0], "message"), "content")]
    else:
        parts = _attribute(answer, "content")
        first = _attribute(parts[0], "text") if isinstance(parts, list) and parts else parts
        said = [_attribute(answer, "output_text"), first, _attribute(answer, "text")]
    return next((text for text in said if isinstance(text, str)), None)


def _thing(trackable: Any) -> tuple[str, str]:
    if isinstance(trackable, tuple) and len(trackable) == 2:
        kind, of = trackable
        if isinstance(kind, str) and kind:
            return kind, _id_of("trackable", of)
    return type(trackable).__name__, _id_of("trackable", trackable)


def _id_of(name: str, thing: Any) -> str:
    if isinstance(thing, str | int | uuid.UUID) and not isinstance(thing, bool):
        return str(thing)
    found = getattr(thing, "id", None)
    if found is None:
        raise ValueError(f"{name} has no id yet: save it first, or give its id")
    return str(found)
