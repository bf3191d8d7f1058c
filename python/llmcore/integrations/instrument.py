"""Records the calls that a bare client library makes.

::

    client = llmcore.instrument(openai.OpenAI())
    client.chat.completions.create(model="gpt-4o-mini", messages=[...])   # as before, and in the ledger

Nothing about the calls changes: they are neither limited nor retried nor cached by llmcore, and what they return or
raise is the library's own. The answers are read by the same code as llmcore's own calls, so usage and cost are counted
alike.
"""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from llmcore.errors import LLMConfigError
from llmcore.hosts import host_at
from llmcore.ledger.logger import LLMLogger
from llmcore.types import Failure, LLMCallTypeEnum

if TYPE_CHECKING:
    from llmcore.ledger.tracker import UsageTracker
    from llmcore.providers.base import LLMProvider
    from llmcore.providers.stream import StreamDecoder

__all__ = ["instrument"]

_log = logging.getLogger("llmcore")

Client = TypeVar("Client")


@dataclass(frozen=True, slots=True)
class _Method:
    """One method of a client library: where it is, who reads its answers, and what its calls are."""

    path: str
    protocol: str
    call_type: LLMCallTypeEnum
    said: str


_METHODS: Final = (
    _Method("chat.completions.create", "chat", LLMCallTypeEnum.CHAT, "messages"),
    _Method("responses.create", "responses", LLMCallTypeEnum.CHAT, "input"),
    _Method("embeddings.create", "chat", LLMCallTypeEnum.EMBEDDING, "input"),
    _Method("images.generate", "chat", LLMCallTypeEnum.IMAGE_GENERATION, "prompt"),
    _Method("messages.create", "messages", LLMCallTypeEnum.CHAT, "messages"),
)
_MARK: Final = "_llmcore_recorded"


def instrument(client: Client, *, tracker: "UsageTracker | None" = None, provider: str | None = None) -> Client:
    """Lets a client of the ``openai`` or ``anthropic`` package, sync or async, record what it does, and returns it.

    Only this object is changed, not those that ``with_options()`` makes of it. Doing it again changes nothing.

    :param tracker: where to; None: the process's own
    :param provider: whose prices count; None: as the client's base_url tells, else "openai"
    :raises LLMConfigError: it has none of the methods that could be recorded
    """
    found = 0
    for method in _METHODS:
        *path, name = method.path.split(".")
        holder: Any = client
        for part in path:
            holder = getattr(holder, part, None)
        original = getattr(holder, name, None)
        if original is None or (method.protocol == "messages") != _is_anthropic(client):
            continue
        found += 1
        if not getattr(original, _MARK, False):
            named = provider or _provider_at(client, method.protocol)
            setattr(holder, name, _recorded(original, _Recording(method, named, tracker)))
    if not found:
        kind = type(client).__name__
        raise LLMConfigError(f"instrument() takes a client of the openai or the anthropic package, not {kind}")
    return client


def _is_anthropic(client: object) -> bool:
    return type(client).__module__.partition(".")[0] == "anthropic"


def _provider_at(client: Any, protocol: str) -> str:
    if protocol == "messages":
        return "anthropic"
    return host_at(str(getattr(client, "base_url", ""))).name


def _recorded(original: Callable[..., Any], recording: "_Recording") -> Callable[..., Any]:
    async def awaited(answer: Awaitable[Any], log_id: str | None) -> Any:
        try:
            made = await answer
        except BaseException as error:
            recording.fail(log_id, error)
            raise
        return recording.end(log_id, made)

    @wraps(original)
    def called(*arguments: Any, **asked: Any) -> Any:
        log_id = recording.begin(asked)
        try:
            answer = original(*arguments, **asked)
        except BaseException as error:
            recording.fail(log_id, error)
            raise
        return awaited(answer, log_id) if inspect.isawaitable(answer) else recording.end(log_id, answer)

    setattr(called, _MARK, True)
    return called


class _Recording:
    """What is recorded of the calls of one method. Never lets a call fail that would not have failed without it."""

    def __init__(self, method: _Method, provider: str, tracker: "UsageTracker | None") -> None:
        self._method = method
        self._provider = provider
        self._tracker = tracker
        self._reader = _reader_of(method.protocol)

    def begin(self, asked: Mapping[str, Any]) -> str | None:
        try:
            said = asked.get(self._method.said)
            messages = said if isinstance(said, list) and all(isinstance(one, dict) for one in said) else None
            temperature = asked.get("temperature")
            limit = asked.get("max_completion_tokens") or asked.get("max_output_tokens") or asked.get("max_tokens")
            return LLMLogger.start_sync(
                self._method.call_type,
                self._provider,
                str(asked.get("model") or "unknown"),
                said if isinstance(said, str) else None,
                messages=messages,
                temperature=float(temperature) if isinstance(temperature, int | float) else None,
                max_tokens=limit if isinstance(limit, int) else None,
                tracker=self._tracker,
            )
        except Exception:
            _log.exception("a call of %s is not recorded", self._method.path)
            return None

    def fail(self, log_id: str | None, error: BaseException) -> None:
        if log_id is not None:
            code = getattr(error, "code", None)
            # What the library says of an error may hold what was sent; its kind and status do not.
            status = getattr(error, "status_code", None)
            told = type(error).__name__ if status is None else f"{type(error).__name__}: HTTP {status}"
            code = code if isinstance(code, str) else None
            self._tell(LLMLogger.fail_sync, log_id, error, error_code=code, told=told)

    def end(self, log_id: str | None, answer: Any) -> Any:
        """What the caller gets: the answer, which is recorded now or, if it is a stream, when that ends."""
        if log_id is None:
            return answer
        if hasattr(answer, "model_dump_json"):
            self._complete(
                log_id, lambda: self._reader.decode(200, {}, answer.model_dump_json(warnings=False).encode())
            )
        elif hasattr(answer, "__anext__") or hasattr(answer, "__aiter__"):
            return _AsyncPieces(answer, self, log_id)
        elif hasattr(answer, "__next__") or hasattr(answer, "__iter__"):
            return _Pieces(answer, self, log_id)
        else:  # a raw response: what is in it is the caller's to read
            self._tell(LLMLogger.complete_sync, log_id)
        return answer

    def decoder(self) -> "StreamDecoder":
        return self._reader.stream_decoder()

    def finish(self, log_id: str, decoder: "StreamDecoder", error: BaseException | None) -> None:
        if error is not None:
            self.fail(log_id, error)
        else:
            self._complete(log_id, decoder.finish)

    def _complete(self, log_id: str, read: Callable[[], Any]) -> None:
        try:
            reply = read()
        except Exception:
            _log.exception("the answer of a call of %s cannot be read", self._method.path)
            reply = None
        if isinstance(reply, Failure):
            reply = reply.partial
        if reply is None:
            self._tell(LLMLogger.complete_sync, log_id)
            return
        self._tell(
            LLMLogger.complete_sync,
            log_id,
            getattr(reply, "content", None),
            reply.usage,
            finish_reason=getattr(reply, "finish_reason", None),
            response_model=reply.model or None,
            answered_at=reply.created,
        )

    def _tell(self, end: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        try:
            end(*arguments, tracker=self._tracker, **more)
        except Exception:
            _log.exception("the end of a call of %s is not recorded", self._method.path)


def _reader_of(protocol: str) -> "LLMProvider":
    if protocol == "responses":
        from llmcore.providers.responses import OpenAIResponsesProvider

        return OpenAIResponsesProvider()
    if protocol == "messages":
        from llmcore.providers.anthropic import AnthropicProvider

        return AnthropicProvider()
    from llmcore.providers.openai import OpenAIProvider

    return OpenAIProvider()


class _Read:
    """What both kinds of streams share: everything but the iteration is the original's."""

    def __init__(self, stream: Any, recording: _Recording, log_id: str) -> None:
        self._stream = stream
        self._recording = recording
        self._log_id: str | None = log_id
        self._decoder = recording.decoder()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _seen(self, event: Any) -> Any:
        try:
            self._decoder.feed(b"data: " + event.model_dump_json(warnings=False).encode() + b"\n\n")
        except Exception:
            _log.exception("an event of a stream cannot be read")
        return event

    def _over(self, error: BaseException | None = None) -> None:
        log_id, self._log_id = self._log_id, None
        if log_id is not None:
            if error is None:
                self._decoder.feed(b"data: [DONE]\n\n")
            self._recording.finish(log_id, self._decoder, error)

    def _left(self) -> None:
        """Closed early: what came counts."""
        log_id, self._log_id = self._log_id, None
        if log_id is not None:
            self._recording.finish(log_id, self._decoder, None)


class _Pieces(_Read):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._seen(next(self._stream))
        except StopIteration:
            self._over()
            raise
        except BaseException as error:
            self._over(error)
            raise

    def close(self) -> None:
        """Closes the original."""
        self._left()
        self._stream.close()

    def __enter__(self) -> Self:
        self._stream.__enter__()
        return self

    def __exit__(self, *raised: object) -> Any:
        self._left()
        return self._stream.__exit__(*raised)

    def __del__(self) -> None:
        self._left()


class _AsyncPieces(_Read):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return self._seen(await self._stream.__anext__())
        except StopAsyncIteration:
            self._over()
            raise
        except BaseException as error:
            self._over(error)
            raise

    async def close(self) -> None:
        """Closes the original."""
        self._left()
        await self._stream.close()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> Any:
        self._left()
        return await self._stream.__aexit__(*raised)

    def __del__(self) -> None:
        self._left()
