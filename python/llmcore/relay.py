"""Calls whose HTTP request somebody else has made, and who reads the answer for himself: one of the ``openai`` SDK.

Such a call goes through the engine like any other. A :class:`Relay` stands in for its provider: it sends the request as
it is, lets a provider of ours read the answer, for usage and outcome, and keeps the bytes, for the one who asked.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from llmcore.providers.base import LLMProvider
from llmcore.providers.stream import StreamDecoder
from llmcore.types import (
    Chunk,
    EmbeddingRequest,
    Failure,
    HttpRequest,
    HttpResponse,
    ImageRequest,
    LLMRequest,
    Message,
    Reply,
    Request,
)

if TYPE_CHECKING:
    from llmcore._core import RateObservation

__all__ = ["KINDS", "Relay", "RelayedChunk", "request_of"]

#: What is relayed, by the end of its URL.
KINDS: Final = frozenset({"/chat/completions", "/responses", "/embeddings", "/images/generations"})
#: An answer of Responses has begun with its first item; what comes before only says that it will.
_BEGUN: Final = b"event: response.output_item"
_EVENT_ENDS: Final = re.compile(rb"\r?\n\r?\n|\r\r")
_NO_CHOICE: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')


class RelayedChunk(Chunk):
    """A part of a stream.

    :ivar raw: whole events, as they came
    """

    raw: bytes = b""


class Relay(LLMProvider):
    """The provider of one call.

    :param reader: reads the answers; its name is the provider's
    :param request: what is sent
    :param hide_usage: the events of a stream that hold nothing but usage are not handed on
    :ivar headers: of the answer; empty for one that came from the cache
    :ivar refused: the last answer whose status was not 200
    """

    def __init__(self, reader: LLMProvider, request: HttpRequest, *, hide_usage: bool = False) -> None:
        self.name, self.host = reader.name, reader.host
        self._reader = reader
        self._request = request
        self._hide_usage = hide_usage
        self.headers: Mapping[str, str] = {}
        self.refused: HttpResponse | None = None

    def encode(self, request: LLMRequest) -> HttpRequest:
        """What is sent, whatever it says."""
        return self._request

    def encode_embeddings(self, request: EmbeddingRequest) -> HttpRequest:
        """What is sent."""
        return self._request

    def encode_image(self, request: ImageRequest) -> HttpRequest:
        """What is sent."""
        return self._request

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """What the answer says. Keeps it."""
        self.headers = headers
        decoded = self._reader.decode(status, headers, body)
        self.refused = HttpResponse(status, headers, body) if isinstance(decoded, Failure) else None
        return decoded

    def stream_decoder(self, headers: Mapping[str, str] | None = None) -> StreamDecoder:
        """For one answer with status 200. Its chunks are RelayedChunks."""
        self.headers = headers or {}
        self.refused = None
        return _RelayedStream(self._reader.stream_decoder(headers), self._hide_usage)

    def observe(self, headers: Mapping[str, str]) -> "RateObservation | None":
        """What the headers say of limits."""
        return self._reader.observe(headers)


class _RelayedStream(StreamDecoder):
    """Hands on whole events as they come. What comes before the answer itself is held back until that begins, so that
    an attempt that fails there can be repeated; so is the event that says that a stream failed.
    """

    def __init__(self, decoder: StreamDecoder, hide_usage: bool) -> None:
        self._decoder = decoder
        self._hide_usage = hide_usage
        self._held: list[bytes] = []
        self._begun = False

    def feed(self, data: bytes) -> list[Chunk]:
        """One chunk, or none if there is nothing to hand on yet."""
        chunks = self._decoder.feed(data)
        self.ended = self._decoder.ended
        self._begun = self._begun or bool(chunks) or _BEGUN in data
        ready = b""
        if self.ended:
            ready = self._take(data)
            if isinstance(self._decoder.finish(), Failure):
                ready = b"".join(_events(ready)[:-1]) if self._begun else b""
        elif not self._begun:
            self._held.append(data)
        elif data.endswith(b"\n\n"):
            ready = self._take(data)
        else:
            # An end may be cut itself: its first bytes are the last that are held.
            before = self._held[-1][-3:] if self._held else b""
            end = _last_end(before + data) - len(before)
            if end > 0:
                ready = self._take(data[:end])
            self._held.append(data[max(end, 0) :])
        if self._hide_usage and b'"usage"' in ready:
            ready = _without_usage(ready)
        if not ready and not chunks:
            return []
        return [RelayedChunk(chunks[0].text if len(chunks) == 1 else "".join(one.text for one in chunks), raw=ready)]

    def _take(self, data: bytes) -> bytes:
        if self._held:
            data = b"".join(self._held) + data
            self._held.clear()
        return data

    def finish(self) -> Reply | Failure:
        """The whole answer, or what became of it."""
        return self._decoder.finish()


def _last_end(data: bytes) -> int:
    end = 0
    for found in _EVENT_ENDS.finditer(data):
        end = found.end()
    return end


def _events(data: bytes) -> list[bytes]:
    events, start = [], 0
    for found in _EVENT_ENDS.finditer(data):
        events.append(data[start : found.end()])
        start = found.end()
    return [*events, data[start:]] if start < len(data) else events


def _without_usage(data: bytes) -> bytes:
    return b"".join(event for event in _events(data) if not (_NO_CHOICE.search(event) and _USAGE.search(event)))


# --- what a body says, for limits, prices and the ledger


def request_of(kind: str, body: Mapping[str, Any], stream: bool) -> Request:
    """The request that a body makes.

    :param kind: one of KINDS
    """
    model = body.get("model")
    model = model if isinstance(model, str) and model else "unknown"
    if kind == "/embeddings":
        dimensions = body.get("dimensions")
        return EmbeddingRequest(model, _inputs(body.get("input")), dimensions if type(dimensions) is int else None)
    if kind == "/images/generations":
        n = body.get("n")
        prompt = body.get("prompt")
        return ImageRequest(
            model,
            prompt if isinstance(prompt, str) else "",
            _text(body.get("size")),
            _text(body.get("quality")),
            _text(body.get("style")),
            n if type(n) is int and n > 0 else 1,
        )
    temperature = body.get("temperature")
    tools = body.get("tools")
    wanted = body.get("response_format")
    limits = (body.get(name) for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"))
    request = LLMRequest(
        model,
        _said(body) if kind == "/responses" else _messages(body.get("messages")),
        temperature=temperature if isinstance(temperature, int | float) else None,
        max_tokens=next((limit for limit in limits if type(limit) is int and limit > 0), None),
        tools=tools if isinstance(tools, list) else None,
        response_format=wanted if isinstance(wanted, dict) else None,
        stream=stream,
    )
    # Of the rest, what the estimate of its tokens looks at.
    request.params = {name: body[name] for name in ("n", "models", "functions", "web_search_options") if name in body}
    return request


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _messages(given: Any) -> list[Message]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list | tuple) else []


def _said(body: Mapping[str, Any]) -> list[Message]:
    """The input of a Responses request as messages."""
    given = body.get("input")
    said = [{"role": "user", "content": given}] if isinstance(given, str) else _messages(given)
    instructions = body.get("instructions")
    return [{"role": "system", "content": instructions}, *said] if isinstance(instructions, str) else said


def _inputs(given: Any) -> list[str]:
    """The texts; of those that are given as tokens, their numbers."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list | tuple):
        return []
    if given and all(type(one) is int for one in given):
        return [" ".join(map(str, given))]
    return [one if isinstance(one, str) else " ".join(map(str, one)) if isinstance(one, list) else "" for one in given]
