"""Structured answers from models that no provider holds to a schema: `instructor` says it in words, reads what comes
and asks again, and each of its requests is a call of ours.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from llmcore.errors import LLMConfigError, LLMError, Problem
from llmcore.json_schema import Misfit
from llmcore.structured import Asking, StructuredResponse
from llmcore.types import LLMResponse

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion
    from pydantic import BaseModel

__all__ = ["ask", "ask_async"]

T = TypeVar("T")

_inside: ContextVar[bool] = ContextVar("llmcore_instructor", default=False)


def ask(asking: Asking[T], complete: Callable[..., LLMResponse]) -> StructuredResponse[T]:
    """Asks until an answer fits.

    :raises LLMValidationError: none does
    """
    session = _Session(asking)

    def create(**request: Any) -> "ChatCompletion":
        with session.noticing():
            return session.completion(complete(**session.call(request)))

    patched = session.patched(create)
    try:
        with _quietly():
            return session.found(patched(**session.arguments()))
    except Exception as error:
        session.expect_asked(error)
    return session.fail()


async def ask_async(asking: Asking[T], complete: Callable[..., Awaitable[LLMResponse]]) -> StructuredResponse[T]:
    """The same, awaited.

    :raises LLMValidationError: none does
    """
    session = _Session(asking)

    async def create(**request: Any) -> "ChatCompletion":
        with session.noticing():
            return session.completion(await complete(**session.call(request)))

    patched = session.patched(create)
    try:
        with _quietly():
            return session.found(await patched(**session.arguments()))
    except Exception as error:
        session.expect_asked(error)
    return session.fail()


class _Over(Exception):
    """There is no asking again."""


class _Session:
    def __init__(self, asking: Asking[Any]) -> None:
        self._asking = asking
        self._why: str | None = None
        self._ours: LLMError | None = None

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Around each call: what it raises passes through instructor, which raises something else for it."""
        try:
            yield
        except LLMError as error:
            self._ours = error
            raise

    def expect_asked(self, error: Exception) -> None:
        """Raises what instructor raised before it asked anything: it is about the arguments, or a fault."""
        if not self._asking.calls and self._ours is None:
            raise error

    def patched(self, create: Callable[..., Any]) -> Any:
        """The function that instructor makes of ours.

        :raises LLMConfigError: instructor is not installed
        """
        try:
            import instructor
        except ImportError as error:
            raise LLMConfigError(
                f"this provider holds no model to a schema, and instructor cannot be imported ({error.name}): "
                "pip install 'llmcore[structured]'"
            ) from None
        logging.getLogger("instructor.v2.retry").addFilter(_not_ours)  # adding it twice adds it once
        logging.getLogger("instructor.retry").addFilter(_not_ours)
        # With a JSON mode where the host is known to have one, else by asking for a fenced block in plain text.
        mode = instructor.Mode.JSON if self._asking.knows_json else instructor.Mode.MD_JSON
        return instructor.patch(create=create, mode=mode)

    def arguments(self) -> dict[str, Any]:
        """Of the patched function."""
        asking = self._asking
        return {
            "response_model": asking.form.model,
            "messages": [dict(message) for message in asking.messages],
            "max_retries": asking.max_retries,
        }

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """The arguments of our call for a request of instructor's.

        :raises _Over: it is one too many
        """
        messages, form = request.pop("messages"), request
        if self._asking.calls and (why := self._asking.why_not_again(messages)) is not None:
            self._why = why
            raise _Over
        return self._asking.call(messages, form)

    def completion(self, response: LLMResponse) -> "ChatCompletion":
        """An answer as the SDK would have given it."""
        from openai.types.chat import ChatCompletion

        self._asking.calls.append(response)
        self._asking.refuse_unfinished(response, response.content)
        usage = response.usage
        return ChatCompletion.model_validate(
            {
                "id": response.call_id,
                "object": "chat.completion",
                "created": 0,
                "model": response.model,
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": response.content},
                    }
                ],
                "usage": {
                    "prompt_tokens": usage.input_tokens,
                    "completion_tokens": usage.output_tokens,
                    "total_tokens": usage.input_tokens + usage.output_tokens,
                },
            }
        )

    def found(self, value: "BaseModel") -> StructuredResponse[Any]:
        """The value, of the very type that was asked for, where instructor makes one of its own."""
        form = self._asking.form
        try:
            exact = form.decode(self._asking.calls[-1].content)
        except Misfit:  # instructor finds the JSON in more texts than we do
            exact = form.decode(value.model_dump_json())
        return StructuredResponse(exact, tuple(self._asking.calls))

    def fail(self) -> NoReturn:
        """:raises LLMError: what a call of ours raised, or that no answer fits"""
        if self._ours is not None:
            raise self._ours
        asking = self._asking
        answer = asking.calls[-1].content
        problems = [Problem("", "json_invalid")]
        try:
            asking.form.decode(answer)
        except Misfit as misfit:
            problems = misfit.problems
        asking.fail(self._why or f"after {len(asking.calls) - 1} of {asking.max_retries} re-asks", answer, problems)


@contextmanager
def _quietly() -> Iterator[None]:
    """Around instructor, whose messages repeat answers."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def _not_ours(record: logging.LogRecord) -> bool:
    return not _inside.get()
