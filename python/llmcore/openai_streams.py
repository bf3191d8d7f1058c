"""Streams of the drop-in: the bytes of ours as the body of a response that the SDK's stream reads."""

import copy
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache as once
from typing import Any

import openai

from llmcore.errors import LLMError
from llmcore.relay import RelayedChunk
from llmcore.stream import AsyncLLMStream, LLMStream

__all__ = ["body_classes", "raw", "untied"]


def untied(stream: Any) -> Any:
    """The SDK's stream, which its own generator no longer holds: so a call ends when its stream is dropped, as a loop
    does that is left early, and not some time later, when the collector finds the two.
    """
    if isinstance(stream, openai.Stream | openai.AsyncStream) and hasattr(stream, "_iterator"):
        reader = copy.copy(stream)
        del reader._iterator
        stream._iterator = reader.__stream__()
    return stream


def raw(chunk: Any) -> bytes:
    """The bytes of a chunk as they came; none of one that brought none."""
    return chunk.raw if type(chunk) is RelayedChunk else b""


@once
def body_classes(of: Any) -> tuple[type[Any], type[Any]]:
    """The bodies of streamed responses, sync and async, for an HTTP client of that package."""

    class Body(of.SyncByteStream):  # type: ignore[misc] # of whichever package
        """What is left of a stream."""

        def __init__(self, first: bytes, stream: LLMStream, explain: Callable[[LLMError], Exception]) -> None:
            self._first, self._stream, self._explain = first, stream, explain

        def __iter__(self) -> Iterator[bytes]:
            if self._first:
                yield self._first
            try:
                for chunk in self._stream:
                    yield raw(chunk)
            except LLMError as error:
                raise self._explain(error) from error

        def close(self) -> None:
            if isinstance(sys.exception(), GeneratorExit):
                self._stream.abandon()  # perhaps by the collector
            else:
                self._stream.close()

    class AsyncBody(of.AsyncByteStream):  # type: ignore[misc] # of whichever package
        """The same, awaited."""

        def __init__(self, first: bytes, stream: AsyncLLMStream, explain: Callable[[LLMError], Exception]) -> None:
            self._first, self._stream, self._explain = first, stream, explain

        async def __aiter__(self) -> AsyncIterator[bytes]:
            if self._first:
                yield self._first
            try:
                async for chunk in self._stream:
                    yield raw(chunk)
            except LLMError as error:
                raise self._explain(error) from error

        async def aclose(self) -> None:
            await self._stream.close()

    return Body, AsyncBody
