"""Functions that a model may call: what it is told of them, and the rounds of calls until it has its answer.

Each round is a call of its own; the first is the parent of the others, as it is of the re-asks of a structured answer,
and of whatever calls the functions make themselves. One generator decides; the two clients make the calls and run the
functions.
"""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import to_json

from llmcore.call_context import context
from llmcore.errors import LLMTimeoutError, LLMValidationError
from llmcore.prepare import Deadline
from llmcore.types import LLMResponse, Message, Money, Outcome, ToolCall, total_cost

if TYPE_CHECKING:
    from llmcore.aclient import AsyncLLMClient
    from llmcore.client import LLMClient
    from llmcore.prepare import View

__all__ = ["Tool", "ToolRun", "run_tools", "run_tools_async", "tool"]

_MOST_ROUNDS: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAM: Final = re.compile(r"^\s*:param (?:[^:]*\s)?(\w+):\s*(.*?)(?=^\s*:\w|\Z)", re.MULTILINE | re.DOTALL)
_MOST_TOLD: Final = 2_000  # characters of an error that the model is told

OnError = Literal["tell", "raise"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function as a model sees it.

    :ivar name: what the model calls it
    :ivar schema: the tool in the OpenAI shape, for ``tools=``
    """

    name: str
    function: Callable[..., Any]
    schema: dict[str, Any]
    _arguments: type[BaseModel]

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments that the model wrote, as the function takes them.

        :raises pydantic.ValidationError: they are not what its signature says
        """
        made = self._arguments.model_validate_json(text.strip() or "{}")
        return {name: getattr(made, name) for name in type(made).model_fields}


def tool(function: Callable[..., Any], name: str | None = None) -> Tool:
    """What a model is told of a function: its signature as a JSON schema, the first paragraph of its docstring, and of
    each parameter what stands behind ``:param name:`` or in ``Annotated[..., pydantic.Field(description=...)]``.

    :raises LLMValidationError: a parameter has no type, or one that JSON cannot say; or its name cannot be used
    """
    called = str(name or getattr(function, "__name__", ""))
    if not _NAME.fullmatch(called):
        raise LLMValidationError(f"{called!r:.70} is no name of a tool: 1 to 64 letters, digits, '_' and '-'")
    docs = inspect.cleandoc(getattr(function, "__doc__", None) or "")
    told = {found[0]: " ".join(found[1].split()) for found in _PARAM.findall(docs)}
    try:
        hints = inspect.signature(function, eval_str=True).parameters
    except (TypeError, ValueError, NameError) as error:
        raise LLMValidationError(f"the function {called} has no signature that can be told: {error}") from None
    fields: dict[str, Any] = {}
    for parameter in hints.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise LLMValidationError(f"the function {called} takes {parameter}, which a model cannot name")
        if parameter.annotation is parameter.empty:
            raise LLMValidationError(f"the parameter {parameter.name} of {called} has no type: annotate it")
        default = ... if parameter.default is parameter.empty else parameter.default
        described = told.get(parameter.name)
        fields[parameter.name] = (parameter.annotation, Field(default, description=described) if described else default)
    try:
        model = create_model(called, __config__=ConfigDict(extra="forbid"), **fields)
        schema = model.model_json_schema()
    except Exception as error:
        raise LLMValidationError(f"the parameters of {called} cannot be said in JSON: {error}") from None
    schema.pop("title", None)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)
    described = docs.partition("\n\n")[0].partition(":param")[0]
    shown: dict[str, Any] = {"name": called, "parameters": {"properties": {}, **schema}}
    if described.strip():
        shown["description"] = " ".join(described.split())
    return Tool(called, function, {"type": "function", "function": shown}, model)


@dataclass(frozen=True, slots=True)
class ToolRun:
    """An answer that took calls of functions.

    :ivar response: the last answer
    :ivar messages: all that was said, the answer included: what a conversation goes on with
    :ivar calls: the answers of all rounds; the first one's id is the parent of the others
    """

    response: LLMResponse
    messages: list[Message]
    calls: tuple[LLMResponse, ...]

    @property
    def content(self) -> str:
        """Of the last answer."""
        return self.response.content

    @property
    def call_id(self) -> str:
        """The first call's."""
        return self.calls[0].call_id

    @property
    def cost(self) -> Money | None:
        """Of all rounds together; None: one of them used something at an unknown price."""
        return total_cost(self.calls)


def run_tools(client: "LLMClient", messages: list[Message], functions: Any, **options: Any) -> ToolRun:
    """What :meth:`llmcore.LLMClient.run_tools` does."""
    flow = _Rounds(client, messages, functions, **options).flow()
    try:
        step = next(flow)
        while True:
            step = flow.send(client.complete(**step.arguments) if isinstance(step, _Ask) else _run_all(step))
    except StopIteration as end:
        answer: ToolRun = end.value
        return answer


async def run_tools_async(client: "AsyncLLMClient", messages: list[Message], functions: Any, **options: Any) -> ToolRun:
    """What :meth:`llmcore.AsyncLLMClient.run_tools` does: functions of one round run at once, plain ones in threads."""
    flow = _Rounds(client, messages, functions, **options).flow()
    try:
        step = next(flow)
        while True:
            if isinstance(step, _Ask):
                step = flow.send(await client.complete(**step.arguments))
            else:
                step = flow.send(await _run_all_async(step))
    except StopIteration as end:
        answer: ToolRun = end.value
        return answer


@dataclass(frozen=True, slots=True)
class _Ask:
    """Make this call."""

    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Run:
    """Run these functions. Sent back: what each gave, or the exception that it raised."""

    calls: list[tuple[Tool, dict[str, Any]]]
    parent: str


def _run_all(step: _Run) -> list[Any]:
    results: list[Any] = []
    with context(parent_call_id=step.parent):
        for each, arguments in step.calls:
            try:
                results.append(each.function(**arguments))
            except Exception as error:
                results.append(_Raised(error))
    return results


async def _run_all_async(step: _Run) -> list[Any]:
    async def one(each: Tool, arguments: dict[str, Any]) -> Any:
        try:
            if inspect.iscoroutinefunction(each.function):
                return await each.function(**arguments)
            given = await asyncio.to_thread(each.function, **arguments)
            return await given if isinstance(given, Awaitable) else given
        except Exception as error:
            return _Raised(error)

    with context(parent_call_id=step.parent):
        return await asyncio.gather(*(one(each, arguments) for each, arguments in step.calls))


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


class _Rounds:
    """What is asked in each round, and what the model is told of its calls."""

    def __init__(
        self,
        client: "View",
        messages: list[Message],
        functions: "Iterable[Callable[..., Any] | Tool] | Mapping[str, Callable[..., Any]]",
        *,
        max_rounds: int = 10,
        on_error: OnError = "tell",
        deadline: float | None = None,
        **options: Any,
    ) -> None:
        if options.get("tools"):
            raise LLMValidationError("tools is no argument of run_tools: functions= stands for it")
        if type(max_rounds) is not int or not 0 < max_rounds <= _MOST_ROUNDS:
            raise LLMValidationError(f"max_rounds is a whole number from 1 to {_MOST_ROUNDS}, not {max_rounds!r:.40}")
        if on_error not in ("tell", "raise"):
            raise LLMValidationError(f"on_error is 'tell' or 'raise', not {on_error!r:.40}")
        if not isinstance(messages, list):
            raise LLMValidationError("messages is a list")
        self._tools = {each.name: each for each in _tools_of(functions)}
        self._messages = list(messages)
        self._most = max_rounds
        self._raises = on_error == "raise"
        self._options = options
        self._given, self._deadline = deadline, Deadline(client.runtime, deadline)
        self._calls: list[LLMResponse] = []

    def flow(self) -> Generator[_Ask | _Run, Any, ToolRun]:
        """Yields what has to be done and is sent what came of it.

        :raises LLMValidationError: the model still calls functions when all rounds are over
        :raises LLMTimeoutError: the time is over between two rounds
        """
        schemas = [each.schema for each in self._tools.values()]
        while True:
            response = yield _Ask({**self._options, "messages": self._messages, "tools": schemas, **self._of_round()})
            self._calls.append(response)
            called = [call for call in response.tool_calls if call.type == "function"]
            self._messages.append(_said(response, called))
            if not called:
                return ToolRun(response, self._messages, tuple(self._calls))
            if len(self._calls) >= self._most:
                self._fail(response, called)
            yield from self._answered(called)

    def _of_round(self) -> dict[str, Any]:
        if not self._calls:
            return {"deadline": self._given}
        left = self._deadline.left()
        if left <= 0:
            last = self._calls[-1]
            raise LLMTimeoutError(
                f"{last.provider}/{last.model}: no answer after {len(self._calls)} rounds of tools within the deadline "
                f"of {self._deadline.seconds:g} s",
                outcome=Outcome.TIMEOUT,
                call_id=self._calls[0].call_id,
                provider=last.provider,
                model=last.model,
            )
        # A choice that insists on a tool is for the first round: else it would never end.
        insists = {"tool_choice": "auto"} if self._options.get("tool_choice") not in (None, "auto", "none") else {}
        return {"deadline": left, "parent_call_id": self._calls[0].call_id, **insists}

    def _answered(self, called: list[ToolCall]) -> Generator[_Run, Any, None]:
        told: dict[int, str] = {}
        wanted: list[tuple[int, Tool, dict[str, Any]]] = []
        for index, call in enumerate(called):
            found = self._tools.get(call.name)
            if found is None:
                told[index] = f"error: there is no function {call.name!r:.80}; known are {', '.join(self._tools)}"
                continue
            try:
                wanted.append((index, found, found.arguments(call.arguments)))
            except ValidationError as error:
                told[index] = f"error: these arguments do not fit: {_misfits(error)}"
        if wanted:
            run = _Run([(each, arguments) for _, each, arguments in wanted], self._calls[0].call_id)
            for (index, each, _), given in zip(wanted, (yield run), strict=True):
                told[index] = self._told(each, given)
        for index, call in enumerate(called):
            self._messages.append({"role": "tool", "tool_call_id": call.id, "content": told[index]})

    def _told(self, each: Tool, given: Any) -> str:
        if isinstance(given, _Raised):
            if self._raises:
                raise given.error
            return f"error: {type(given.error).__name__}: {given.error}"[:_MOST_TOLD]
        if isinstance(given, str):
            return given
        try:
            return to_json(given).decode()
        except Exception as error:
            raise LLMValidationError(
                f"what the function {each.name} returned cannot be said in JSON: {type(error).__name__}"
            ) from None

    def _fail(self, response: LLMResponse, called: list[ToolCall]) -> NoReturn:
        names = ", ".join(sorted({call.name for call in called}))
        error = LLMValidationError(
            f"{response.provider}/{response.model}: the model still calls {names:.200} after {self._most} rounds: "
            "raise max_rounds, or let it see that it has what it needs",
            call_id=self._calls[0].call_id,
            provider=response.provider,
            model=response.model,
        )
        error.calls = tuple(self._calls)
        error.cost = total_cost(self._calls)
        raise error


def _tools_of(functions: Any) -> list[Tool]:
    if isinstance(functions, Mapping):
        found = [tool(function, name) for name, function in functions.items()]
    else:
        if callable(functions) or isinstance(functions, str) or not isinstance(functions, Iterable):
            raise LLMValidationError("functions is a list of functions, or a dict of them by name")
        found = [each if isinstance(each, Tool) else tool(each) for each in functions]
    if not found:
        raise LLMValidationError("functions is empty: there is nothing for the model to call")
    names = [each.name for each in found]
    if len(set(names)) != len(names):
        raise LLMValidationError(f"two functions have the same name: {', '.join(sorted(names)):.200}")
    return found


def _said(response: LLMResponse, called: list[ToolCall]) -> Message:
    message: Message = {"role": "assistant", "content": response.content or None}
    if called:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in called
        ]
    elif not response.content:
        message["content"] = ""
    return message


def _arguments(call: ToolCall) -> str:
    """Arguments that are no JSON cannot be repeated everywhere."""
    try:
        msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, UnicodeError):
        return "{}"
    return call.arguments


def _misfits(error: ValidationError) -> str:
    told = (f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in error.errors(include_url=False))
    return "; ".join(told)[:_MOST_TOLD]
