"""Anthropic's Messages, also as llama.cpp's server speaks them: answers, streams, limits. Pure."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from llmcore._core import RateObservation, Usage
from llmcore.hosts import HOSTS
from llmcore.providers import headers as read
from llmcore.providers.anthropic_request import encode_messages
from llmcore.providers.chat import text_of
from llmcore.providers.chat_stream import ToolCalls
from llmcore.providers.failure import failure_of, failure_of_error, parse
from llmcore.providers.http import HttpProvider, unix_seconds
from llmcore.providers.stream import DecodedStream, delivered_usage
from llmcore.providers.usage import usage_of_messages
from llmcore.types import Chunk, Citation, Failure, HttpRequest, LLMRequest, Reply, ToolCall

if TYPE_CHECKING:
    from pydantic import SecretStr

    from llmcore.providers.base import LLMProvider
    from llmcore.providers.stream import StreamDecoder

__all__ = ["AnthropicProvider"]

_VERSION = "2023-06-01"
#: In OpenAI's words; what is not here keeps its own ("pause_turn").
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicProvider(HttpProvider):
    """Messages over HTTP.

    :param base_url: with or without its version: "https://api.anthropic.com" and ".../v1" are the same
    """

    def __init__(
        self,
        api_key: "str | SecretStr | None" = None,
        base_url: str | None = None,
        *,
        name: str | None = None,
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        super().__init__(HOSTS["anthropic"], api_key, base_url, name=name, now=now)
        assert self._parts is not None
        versioned = self._parts.path.rstrip("/").endswith("/v1")
        self._messages_url = self._url("/messages" if versioned else "/v1/messages")
        self._models_url = self._url("/models" if versioned else "/v1/models")
        self._headers["anthropic-version"] = _VERSION

    def _auth(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}

    def probe(self) -> HttpRequest:
        """The list of models."""
        return self._request(self._models_url, b"", "GET")

    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request. The param `betas`, a list of names, goes into the header anthropic-beta."""
        asked = self._request(self._messages_url, encode_messages(request))
        betas = request.params.get("betas")
        if isinstance(betas, list | tuple) and betas:
            asked.headers["anthropic-beta"] = ",".join(str(beta) for beta in betas)
        return asked

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """The answer or the refusal in `body`. Never raises."""
        if status != 200:
            return _with_id(self._refusal(status, headers, body), body, self._key)
        return decode_messages(headers, body, key=self._key, now=self._now)

    def stream_decoder(self, headers: Mapping[str, str] | None = None) -> "StreamDecoder":
        """For one answer with status 200."""
        return MessagesStream(self, headers, key=self._key, now=self._now)

    def observe(self, headers: Mapping[str, str]) -> RateObservation | None:
        """anthropic-ratelimit-*: the tightest of its figures for tokens."""
        return read.anthropic_observation(headers, self._now())


class _Block(msgspec.Struct):
    type: Any = None
    text: Any = None
    thinking: Any = None
    id: Any = None
    name: Any = None
    input: msgspec.Raw = msgspec.Raw()
    citations: Any = None
    content: Any = None


class _Answer(msgspec.Struct):
    content: list[_Block] | None = None
    model: Any = None
    usage: Any = None
    stop_reason: Any = None
    type: Any = None
    error: Any = None
    request_id: Any = None


_answer = msgspec.json.Decoder(_Answer)


def decode_messages(
    headers: Mapping[str, str], body: bytes, *, key: str | None, now: Callable[[], float]
) -> Reply | Failure:
    """An answer with status 200, which may still be an error. Never raises."""
    try:
        answer = _answer.decode(body)
    except (ValueError, RecursionError):
        try:
            answer = _lenient(body)
        except (ValueError, RecursionError):
            return failure_of(200, headers, body, key=key, now=now())
    if answer.content is None or answer.error:
        told = "the answer holds no content"
        return _with_id(failure_of_error(200, headers, answer.error, told, key=key, now=now()), body, key)
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    citations: list[Citation] = []
    for block in answer.content:
        if block.type == "text":
            texts.append(text_of(block.text))
            if block.citations:
                citations += _cited(block.citations)
        elif block.type == "thinking":
            thoughts.append(text_of(block.thinking))
        elif block.type == "tool_use":
            arguments = bytes(block.input).decode("utf-8", "replace") or "{}"
            calls.append(ToolCall(text_of(block.id), text_of(block.name), arguments))
        elif block.type == "web_search_tool_result":
            citations += _found(block.content)
    reason = text_of(answer.stop_reason)
    return Reply(
        "".join(texts),
        text_of(answer.model),
        usage_of_messages(answer.usage),
        _FINISH.get(reason, reason),
        calls,
        "".join(thoughts),
        request_id=read.request_id(headers, key),
        citations=citations,
    )


def _lenient(body: bytes) -> _Answer:
    parsed = parse(body)
    for block in parsed.get("content") or () if type(parsed) is dict and type(parsed.get("content")) is list else ():
        if type(block) is dict and "input" in block:
            block["input"] = msgspec.Raw(msgspec.json.encode(block["input"]))
    return msgspec.convert(parsed, _Answer)


def _cited(raw: Any) -> list[Citation]:
    return [
        Citation(url, text_of(each.get("title")), text_of(each.get("cited_text")))
        for each in (raw if type(raw) is list else ())
        if type(each) is dict and (url := text_of(each.get("url")))
    ]


def _found(raw: Any) -> list[Citation]:
    return [
        Citation(url, text_of(each.get("title")))
        for each in (raw if type(raw) is list else ())
        if type(each) is dict and each.get("type") == "web_search_result" and (url := text_of(each.get("url")))
    ]


def _with_id(failure: Failure, body: bytes, key: str | None) -> Failure:
    """With the id of the exchange that the body names, where no header does."""
    if failure.request_id is None:
        try:
            told = _answer.decode(body).request_id
        except (ValueError, RecursionError):
            return failure
        if type(told) is str and told.isprintable() and not (key and key in told):
            failure.request_id = told[:200]
    return failure


# --- streams


class _Delta(msgspec.Struct):
    type: Any = None
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    stop_reason: Any = None
    citation: Any = None


class _Begun(msgspec.Struct):
    model: Any = None
    usage: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    index: Any = None
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Begun | None = None
    usage: Any = None
    error: Any = None
    request_id: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class MessagesStream(DecodedStream):
    """One answer's."""

    def __init__(
        self,
        provider: "LLMProvider",
        headers: Mapping[str, str] | None,
        *,
        key: str | None,
        now: Callable[[], float],
    ) -> None:
        super().__init__(provider, headers, key)
        self._now = now
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls = ToolCalls()
        self._citations: list[Citation] = []
        self._model = ""
        self._finish_reason = ""
        self._usage: dict[str, Any] = {}
        self._counted = False  # whether the usage is that of the end
        self._begun = False

    def _event(self, name: bytes, data: bytes) -> Chunk | None:
        try:
            event = _decode(data)
        except (ValueError, RecursionError):
            try:
                event = msgspec.convert(parse(data), _Event)
            except (ValueError, RecursionError, TypeError):
                self._break(failure_of(200, self._headers, data, key=self._key, now=self._now()))
                return None
        kind, delta = event.type, event.delta
        index = event.index if type(event.index) is int else None
        if kind == "content_block_delta" and delta is not None:
            return self._delta(index, delta)
        if kind == "content_block_start" and event.content_block is not None:
            return self._block(index, event.content_block)
        if kind == "message_start" and event.message is not None:
            self._begun = True
            self._model = text_of(event.message.model)
            self._count(event.message.usage)
        elif kind == "message_delta":
            self._count(event.usage)
            self._counted = self._counted or type(event.usage) is dict
            if delta is not None and type(delta.stop_reason) is str:
                self._finish_reason = _FINISH.get(delta.stop_reason, delta.stop_reason)
                return Chunk(finish_reason=self._finish_reason)
        elif kind == "message_stop":
            self.ended = True
        elif kind == "error" or event.error or name == b"error":
            told = "the stream ended in an error"
            failure = failure_of_error(200, self._headers, event.error, told, key=self._key, now=self._now())
            self._break(_with_id(failure, data, self._key))
        return None

    def _block(self, index: Any, block: _Block) -> Chunk | None:
        self._begun = True
        if block.type == "tool_use":
            return Chunk(tool_calls=[self._calls.add(index, text_of(block.id), text_of(block.name), "")])
        if block.type == "text":
            if block.citations:
                self._citations += _cited(block.citations)
            if block.text and type(block.text) is str:
                self._text.append(block.text)
                return Chunk(block.text)
        elif block.type == "thinking":
            if block.thinking and type(block.thinking) is str:
                self._reasoning.append(block.thinking)
                return Chunk(reasoning=block.thinking)
        elif block.type == "web_search_tool_result":
            self._citations += _found(block.content)
        return None

    def _delta(self, index: Any, delta: _Delta) -> Chunk | None:
        kind = delta.type
        if kind == "text_delta" and type(delta.text) is str:
            self._text.append(delta.text)
            return Chunk(delta.text)
        if kind == "input_json_delta" and type(delta.partial_json) is str:
            if delta.partial_json and self._calls.knows(index):  # else of a tool that Anthropic runs itself
                return Chunk(tool_calls=[self._calls.add(index, "", "", delta.partial_json)])
        elif kind == "thinking_delta" and type(delta.thinking) is str:
            self._reasoning.append(delta.thinking)
            return Chunk(reasoning=delta.thinking)
        elif kind == "citations_delta":
            self._citations += _cited([delta.citation])
        return None

    def _count(self, usage: Any) -> None:
        """The figures of the end are those of the whole, and stand over those of the beginning."""
        if type(usage) is dict:
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _complete(self) -> bool:
        return bool(self._finish_reason)

    def _reply(self) -> Reply | None:
        if not self._begun:
            return None
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        calls = self._calls.whole()
        for call in calls:
            call.arguments = call.arguments or "{}"
        usage = usage_of_messages(self._usage)
        if not self._counted:
            usage = _at_least(usage, delivered_usage(text, reasoning, *(call.arguments for call in calls)))
        return Reply(
            text,
            self._model,
            usage,
            self._finish_reason,
            calls,
            reasoning,
            request_id=read.request_id(self._headers, self._key),
            citations=self._citations,
        )


def _at_least(begun: Usage, delivered: Usage) -> Usage:
    """Of a stream that broke: its beginning counted the prompt, and of the answer no more than its first tokens."""
    if begun.output_tokens < delivered.output_text:
        begun.output_text, begun.reasoning = delivered.output_text, 0
    begun.estimated = True
    return begun
