"""Answers that are values of a type: asked for in the way that the provider has for it, checked, and asked again.

The first call is the parent of those that ask again: the ledger has each of them as a call of its own, with the first
one's id as its parent_call_id, and what is returned knows them all and what they cost together. One generator decides
what is asked next; the two clients only make the calls.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypeVar

from llmcore.errors import LLMValidationError, Problem
from llmcore.json_schema import Form, Misfit, form_of
from llmcore.prepare import Deadline
from llmcore.types import LLMResponse, Message, Money, total_cost

if TYPE_CHECKING:
    from llmcore.aclient import AsyncLLMClient
    from llmcore.client import LLMClient
    from llmcore.prepare import View

__all__ = ["Asking", "Mode", "StructuredResponse", "complete_structured", "complete_structured_async", "mode_for"]

T = TypeVar("T")

#: How an answer is held to a type.
Mode = Literal["schema", "tool", "instructor"]
_WEAKER: Final[dict[Mode, int]] = {"schema": 0, "tool": 1, "instructor": 2}
_MOST_TOLD: Final = 4_000  # characters of what was wrong that are told to the model
_MOST_RETRIES: Final = 100
_MOST_NAMED: Final = 5  # problems in the message of an error
_AGAIN: Final = "That answer does not fit what was asked for:\n{told}\nGive the whole answer again, corrected."
_CUT: Final = {
    "length": "was cut off at its token limit: give it a higher max_tokens",
    "content_filter": "was withheld by the provider's content filter",
}


@dataclass(frozen=True, slots=True)
class StructuredResponse(Generic[T]):
    """A value that a model gave, and the calls that it took.

    :ivar value: of the type that was asked for
    :ivar calls: the answer to the first call, and those to the calls that asked again, which are its children
    """

    value: T
    calls: tuple[LLMResponse, ...]

    @property
    def response(self) -> LLMResponse:
        """The answer that holds the value: the last one."""
        return self.calls[-1]

    @property
    def call_id(self) -> str:
        """The first call's id, which is the parent of the others."""
        return self.calls[0].call_id

    @property
    def cost(self) -> Money | None:
        """Of all calls together; None: one of them used something at an unknown price."""
        return total_cost(self.calls)


def complete_structured(
    client: "LLMClient", messages: list[Message], response_model: "type[T] | Any", **options: Any
) -> StructuredResponse[T]:
    """What :meth:`llmcore.LLMClient.complete_structured` does."""
    asking: Asking[T] = Asking(client, messages, response_model, **options)
    if asking.mode == "instructor":
        from llmcore.structured_instructor import ask

        return ask(asking, client.complete)
    flow = asking.flow()
    try:
        wanted = next(flow)
        while True:
            wanted = flow.send(client.complete(**wanted))
    except StopIteration as end:
        answer: StructuredResponse[T] = end.value
        return answer


async def complete_structured_async(
    client: "AsyncLLMClient", messages: list[Message], response_model: "type[T] | Any", **options: Any
) -> StructuredResponse[T]:
    """What :meth:`llmcore.AsyncLLMClient.complete_structured` does."""
    asking: Asking[T] = Asking(client, messages, response_model, **options)
    if asking.mode == "instructor":
        from llmcore.structured_instructor import ask_async

        return await ask_async(asking, client.complete)
    flow = asking.flow()
    try:
        wanted = next(flow)
        while True:
            wanted = flow.send(await client.complete(**wanted))
    except StopIteration as end:
        answer: StructuredResponse[T] = end.value
        return answer


def mode_for(client: "View", form: Form[Any], model: str | None) -> Mode:
    """The best way that every provider of the client's chain has. What answers inside the process does not count: it
    fills whatever schema there is.
    """
    chain = [(provider, of if index or model is None else model) for index, (provider, of) in enumerate(client.chain)]
    asked = [(provider, of) for provider, of in chain if not provider.local] or chain
    found: Mode = "schema"
    for provider, of in asked:
        host = provider.host
        mode: Mode
        if host is None or host.structured == "instructor":
            mode = "instructor"
        elif (host.without_schema and re.search(host.without_schema, of)) or (
            host.schema_dialect == "anthropic" and form.strict("anthropic") is None
        ):
            mode = "tool"
        else:
            mode = "schema"
        found = max(found, mode, key=_WEAKER.__getitem__)
    return found


class Asking(Generic[T]):
    """One structured call: what is asked, what came, and whether to ask again.

    :ivar calls: the answers so far
    """

    def __init__(
        self,
        client: "View",
        messages: list[Message],
        response_model: "type[T] | Any",
        *,
        mode: Mode | None = None,
        max_retries: int = 2,
        max_retry_cost: "Money | Decimal | float | None" = None,
        deadline: float | None = None,
        **options: Any,
    ) -> None:
        for name in ("response_format", "json_format", "tools", "tool_choice"):
            if options.get(name):
                raise LLMValidationError(f"{name} is no argument of a structured call: response_model= stands for it")
        if mode is not None and mode not in tuple(_WEAKER):  # of any type, hashable or not
            raise LLMValidationError(f"mode is one of {', '.join(_WEAKER)}, not {mode!r:.40}")
        self.form: Form[T] = form_of(response_model)
        self.mode: Mode = mode_for(client, self.form, options.get("model")) if mode is None else mode
        self.messages = messages
        self.max_retries = _retries(max_retries)
        host = client.chain[0][0].host
        #: the provider makes JSON of any kind, if none of a given schema
        self.knows_json = host is not None
        self.calls: list[LLMResponse] = []
        self._client = client
        self._options = options
        self._most_nano_usd = _nano_usd(max_retry_cost)
        self._given, self._deadline = deadline, Deadline(client.runtime, deadline)

    def flow(self) -> Generator[dict[str, Any], LLMResponse, StructuredResponse[T]]:
        """Yields the arguments of each call to be made and is sent its answer.

        :raises LLMValidationError: no answer fits, and there is no asking again
        """
        messages = self.messages
        form = self._as_schema() if self.mode == "schema" else self._as_tool()
        while True:
            response = yield self.call(messages, form)
            self.calls.append(response)
            answer = self._answer_of(response)
            self.refuse_unfinished(response, answer)
            misfit = None
            try:
                value = self.form.decode(answer)
            except Misfit as error:
                misfit = error
            else:
                return StructuredResponse(value, tuple(self.calls))
            messages = [*self.messages, *self._reminder(response, misfit)]
            if (why := self.why_not_again(messages)) is not None:
                self.fail(why, answer, misfit.problems)

    def call(self, messages: list[Message], form: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the next call. The first one's id is the parent of all others."""
        wanted = {**self._options, **form, "messages": messages, "deadline": self._given}
        if self.calls:
            wanted["deadline"] = self._deadline.left()
            wanted["parent_call_id"] = self.calls[0].call_id
        return wanted

    def why_not_again(self, messages: list[Message]) -> str | None:
        """Why there is no asking again; None: there is."""
        done = len(self.calls) - 1
        if done >= self.max_retries:
            return f"after {done} of {self.max_retries} re-asks"
        if self._deadline.left() <= 0:
            return f"and its deadline of {self._deadline.seconds:g} s is over"
        if self._most_nano_usd is None:
            return None
        worst = self._client.estimate_cost(
            messages, self._options.get("model"), self._options.get("max_tokens")
        ).worst_case
        spent = total_cost(self.calls[1:])
        if worst is None or spent is None:
            return "and it is not asked again, as max_retry_cost is set and the model's price is unknown"
        if spent.nano_usd + worst.nano_usd > self._most_nano_usd:
            return f"and asking again could cost more than max_retry_cost={Money(self._most_nano_usd)}"
        return None

    def refuse_unfinished(self, response: LLMResponse, answer: str) -> None:
        """Ends it where asking again would help nothing.

        :raises LLMValidationError: the model refused, or its answer is not whole
        """
        if response.refusal:
            self.fail("as the model refused to answer", answer, [Problem("", "refusal")])
        if (why := _CUT.get(response.finish_reason)) is not None and not self._fits(answer):
            self.fail(f"as it {why}", answer, [Problem("", response.finish_reason)])

    def fail(self, why: str, answer: str, problems: list[Problem]) -> NoReturn:
        """:raises LLMValidationError: with everything that came"""
        last = self.calls[-1]
        named = "; ".join(map(str, problems[:_MOST_NAMED]))
        more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        error = LLMValidationError(
            f"{last.provider}/{last.model}: the answer is no {self.form.name} ({named}{more}), {why}",
            call_id=self.calls[0].call_id,
            provider=last.provider,
            model=last.model,
            attempts=sum(call.attempts for call in self.calls),
            request_id=last.request_id,
        )
        error.answer = answer
        error.problems = tuple(problems)
        error.calls = tuple(self.calls)
        error.cost = total_cost(self.calls)
        raise error

    def _fits(self, answer: str) -> bool:
        try:
            self.form.decode(answer)
        except Misfit:
            return False
        return True

    # --- what is asked, and what came -------------------------------------------------------------------------------

    def _as_schema(self) -> dict[str, Any]:
        host = self._client.chain[0][0].host
        schema = self.form.strict("openai" if host is None else host.schema_dialect)
        told = {"name": self.form.name, "schema": schema or self.form.schema, "strict": schema is not None}
        return {"response_format": {"type": "json_schema", "json_schema": told}}

    def _as_tool(self) -> dict[str, Any]:
        function: dict[str, Any] = {"name": self.form.name, "parameters": self.form.strict("all") or self.form.schema}
        function["description"] = self.form.schema.get("description") or "Takes the answer."
        return {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": self.form.name}},
        }

    def _answer_of(self, response: LLMResponse) -> str:
        if self.mode == "tool":
            called = (call.arguments for call in response.tool_calls if call.name == self.form.name)
            return next(called, response.content)
        return response.content

    def _reminder(self, response: LLMResponse, misfit: Misfit) -> list[Message]:
        """The last answer and what is wrong with it: not those before, which it was to replace."""
        told = _AGAIN.format(told=misfit.told[:_MOST_TOLD])
        if self.mode == "tool" and response.tool_calls:
            called = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in response.tool_calls
                if call.type == "function"
            ]
            # Arguments that are no JSON cannot be repeated everywhere.
            if called and all(_is_json_object(call.arguments) for call in response.tool_calls):
                results = [{"role": "tool", "tool_call_id": call["id"], "content": told} for call in called]
                return [{"role": "assistant", "content": None, "tool_calls": called}, *results]
        # Not every provider takes an assistant's message of nothing.
        said = self._answer_of(response)
        again: Message = {"role": "user", "content": told}
        return [{"role": "assistant", "content": said}, again] if said.strip() else [again]


def _is_json_object(text: str) -> bool:
    import msgspec

    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (ValueError, RecursionError):
        return False


def _retries(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= _MOST_RETRIES:
        raise LLMValidationError(f"max_retries is a whole number from 0 to {_MOST_RETRIES}")
    return given


def _nano_usd(dollars: "Money | Decimal | float | None") -> int | None:
    if dollars is None:
        return None
    if isinstance(dollars, Money):
        return dollars.nano_usd
    try:
        nano = Decimal(str(dollars)).scaleb(9)
        if isinstance(dollars, bool) or not nano.is_finite() or not 0 <= nano < 1 << 62:
            raise InvalidOperation
    except InvalidOperation:
        raise LLMValidationError("max_retry_cost is an amount of US dollars, 0 or more") from None
    return int(nano)
