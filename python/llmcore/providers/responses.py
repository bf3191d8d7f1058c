"""OpenAI's Responses: answers and streams. Pure."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from llmcore.hosts import HOSTS, Host
from llmcore.providers import headers as read
from llmcore.providers.chat import arguments_of, citations_of, text_of, unix_of
from llmcore.providers.chat_stream import ToolCalls
from llmcore.providers.failure import failure_of, failure_of_error, parse
from llmcore.providers.http import HttpProvider, unix_seconds
from llmcore.providers.pieces import decode_pieces, encode_embeddings, encode_image
from llmcore.providers.responses_request import encode_responses
from llmcore.providers.stream import DecodedStream, delivered_usage
from llmcore.providers.usage import reported_cost, usage_of_responses
from llmcore.types import (
    Chunk,
    Citation,
    EmbeddingRequest,
    Failure,
    HttpRequest,
    ImageRequest,
    LLMRequest,
    Reply,
    ToolCall,
)

if TYPE_CHECKING:
    from pydantic import SecretStr

    from llmcore.providers.base import LLMProvider
    from llmcore.providers.stream import StreamDecoder

__all__ = ["OpenAIResponsesProvider"]

_INCOMPLETE = {"max_output_tokens": "length", "max_tokens": "length", "content_filter": "content_filter"}


class OpenAIResponsesProvider(HttpProvider):
    """Responses over HTTP, with OpenAI's embeddings and images beside.

    :param base_url: with its version, as in "https://api.openai.com/v1"
    """

    def __init__(
        self,
        api_key: "str | SecretStr | None" = None,
        base_url: str | None = None,
        *,
        name: str | None = None,
        host: Host = HOSTS["openai-responses"],
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        super().__init__(host, api_key, base_url, name=name, now=now)
        self._responses_url = self._url("/responses")

    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request."""
        return self._request(self._responses_url, encode_responses(request))

    def encode_embeddings(self, request: EmbeddingRequest) -> HttpRequest:
        """The HTTP request for vectors."""
        return self._request(self._url("/embeddings"), encode_embeddings(request))

    def encode_image(self, request: ImageRequest) -> HttpRequest:
        """The HTTP request for pictures."""
        return self._request(self._url("/images/generations"), encode_image(request))

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """The answer or the refusal in `body`. Never raises."""
        if status != 200:
            return self._refusal(status, headers, body)
        return decode_response(headers, body, key=self._key, now=self._now)

    def stream_decoder(self, headers: Mapping[str, str] | None = None) -> "StreamDecoder":
        """For one answer with status 200."""
        return ResponsesStream(self, headers, key=self._key, now=self._now)


class _Item(msgspec.Struct):
    type: Any = None
    content: Any = None
    summary: Any = None
    id: Any = None
    call_id: Any = None
    name: Any = None
    arguments: Any = None
    input: Any = None
    action: Any = None


class _Answer(msgspec.Struct):
    output: list[_Item] | None = None
    status: Any = None
    model: Any = None
    usage: Any = None
    created_at: Any = None
    error: Any = None
    incomplete_details: Any = None
    data: msgspec.Raw = msgspec.Raw()


_answer = msgspec.json.Decoder(_Answer)


def decode_response(
    headers: Mapping[str, str], body: bytes, *, key: str | None, now: Callable[[], float]
) -> Reply | Failure:
    """An answer with status 200, which may still tell of an error. Never raises."""
    try:
        answer = _answer.decode(body)
    except (ValueError, RecursionError):
        try:
            parsed = parse(body)
            if type(parsed) is dict:
                parsed.pop("data", None)
            answer = msgspec.convert(parsed, _Answer)
        except (ValueError, RecursionError):
            return failure_of(200, headers, body, key=key, now=now())
    if answer.output is None and len(answer.data) > 0 and not answer.error:
        pieces = decode_pieces(bytes(answer.data), body, request_id=read.request_id(headers, key))
        if pieces is not None:
            return pieces
    return _read(answer, headers, key=key, now=now)


def _read(answer: _Answer, headers: Mapping[str, str], *, key: str | None, now: Callable[[], float]) -> Reply | Failure:
    status = text_of(answer.status)
    if answer.output is None or answer.error or status in ("failed", "cancelled"):
        told = f"the response is {status}" if status in ("failed", "cancelled") else "the answer holds no output"
        failure = failure_of_error(200, headers, answer.error, told, key=key, now=now())
        if answer.output and answer.usage:
            failure.partial = _reply(answer, status, headers, key)
        return failure
    return _reply(answer, status, headers, key)


def _reply(answer: _Answer, status: str, headers: Mapping[str, str], key: str | None) -> Reply:
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    citations: list[Citation] = []
    for item in answer.output or ():
        if item.type == "message":
            for part in item.content if type(item.content) is list else ():
                if type(part) is not dict:
                    continue
                if part.get("type") == "output_text":
                    texts.append(text_of(part.get("text")))
                    if part.get("annotations"):
                        citations += citations_of(part["annotations"])
                elif part.get("type") == "refusal":
                    refusals.append(text_of(part.get("refusal")))
        elif item.type == "function_call":
            calls.append(ToolCall(text_of(item.call_id), text_of(item.name), arguments_of(item.arguments)))
        elif item.type == "custom_tool_call":
            calls.append(ToolCall(text_of(item.call_id), text_of(item.name), arguments_of(item.input), "custom"))
        elif item.type == "reasoning":
            thoughts += _thoughts(item.content) or _thoughts(item.summary)
        elif item.type == "web_search_call" and type(item.action) is dict:
            citations += _sources(item.action.get("sources"))
    return Reply(
        "".join(texts),
        text_of(answer.model),
        usage_of_responses(answer.usage),
        _finish_reason(status, answer.incomplete_details, bool(calls)),
        calls,
        "".join(thoughts),
        reported_cost(answer.usage),
        unix_of(answer.created_at),
        read.request_id(headers, key),
        "".join(refusals),
        citations,
    )


def _finish_reason(status: str, details: Any, called: bool) -> str:
    if status == "incomplete":
        reason = text_of(details.get("reason")) if type(details) is dict else ""
        return _INCOMPLETE.get(reason, reason or "incomplete")
    if status in ("queued", "in_progress"):  # of a call in the background: this is not its answer yet
        return status
    return "tool_calls" if called else "stop"


def _thoughts(raw: Any) -> list[str]:
    return [text_of(part.get("text")) for part in (raw if type(raw) is list else ()) if type(part) is dict]


def _sources(raw: Any) -> list[Citation]:
    return [
        Citation(url, text_of(each.get("title")), text_of(each.get("snippet")))
        for each in (raw if type(raw) is list else ())
        if type(each) is dict and (url := text_of(each.get("url")))
    ]


# --- streams


class _Event(msgspec.Struct):
    type: Any = None
    delta: Any = None
    output_index: Any = None
    item: _Item | None = None
    response: _Answer | None = None
    error: Any = None
    code: Any = None
    message: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class ResponsesStream(DecodedStream):
    """One answer's. Its last event holds the whole answer, which counts if it is complete."""

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
        self._refusal: list[str] = []
        self._calls = ToolCalls()
        self._answer: _Answer | None = None
        self._whole_reply: Reply | None = None

    def _event(self, name: bytes, data: bytes) -> Chunk | None:
        if data == b"[DONE]":
            self.ended = True
            return None
        try:
            event = _decode(data)
        except (ValueError, RecursionError):
            try:
                event = msgspec.convert(parse(data), _Event)
            except (ValueError, RecursionError, TypeError):
                self._break(failure_of(200, self._headers, data, key=self._key, now=self._now()))
                return None
        kind = text_of(event.type)
        if kind.endswith(".delta"):
            return self._delta(kind, event) if type(event.delta) is str and event.delta else None
        if kind == "response.output_item.added":
            return self._added(event)
        if kind in _ENDS and event.response is not None:
            return self._end(event.response)
        if kind == "error" or event.error or name == b"error":
            error = event.error or {"code": event.code, "message": event.message}
            told = "the stream ended in an error"
            self._break(failure_of_error(200, self._headers, error, told, key=self._key, now=self._now()))
        elif event.response is not None:
            self._answer = event.response
        return None

    def _delta(self, kind: str, event: _Event) -> Chunk | None:
        text = event.delta
        if kind == "response.output_text.delta":
            self._text.append(text)
            return Chunk(text)
        if kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            index = event.output_index if type(event.output_index) is int else None
            return Chunk(tool_calls=[self._calls.add(index, "", "", text)])
        if kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            self._reasoning.append(text)
            return Chunk(reasoning=text)
        if kind == "response.refusal.delta":
            self._refusal.append(text)
            return Chunk(refusal=text)
        return None

    def _added(self, event: _Event) -> Chunk | None:
        item = event.item
        if item is None or item.type not in ("function_call", "custom_tool_call"):
            return None
        index = event.output_index if type(event.output_index) is int else None
        kind = "function" if item.type == "function_call" else "custom"
        begun = arguments_of(item.arguments if kind == "function" else item.input)
        return Chunk(tool_calls=[self._calls.add(index, text_of(item.call_id), text_of(item.name), begun, kind)])

    def _end(self, answer: _Answer) -> Chunk | None:
        self._answer = answer
        read_ = _read(answer, self._headers, key=self._key, now=self._now)
        if isinstance(read_, Failure):
            self._break(read_)
            return None
        self.ended = True
        self._whole_reply = read_
        return Chunk(finish_reason=read_.finish_reason) if read_.finish_reason else None

    def _reply(self) -> Reply | None:
        whole = self._whole_reply
        text, reasoning, refusal = "".join(self._text), "".join(self._reasoning), "".join(self._refusal)
        if whole is not None:
            # What was delivered is what the user has seen; some servers leave it out of their last event.
            whole.content = whole.content or text
            whole.reasoning = whole.reasoning or reasoning
            whole.refusal = whole.refusal or refusal
            whole.tool_calls = whole.tool_calls or self._calls.whole()
            if whole.usage.estimated:
                whole.usage = delivered_usage(whole.content, whole.reasoning, refusal, *self._written())
            return whole
        begun = self._answer
        if begun is None and not text and not reasoning:
            return None
        usage = usage_of_responses(begun.usage if begun is not None else None)
        if usage.estimated:
            usage = delivered_usage(text, reasoning, refusal, *self._written())
        reply = Reply(text, text_of(begun.model) if begun is not None else "", usage)
        reply.tool_calls, reply.reasoning, reply.refusal = self._calls.whole(), reasoning, refusal
        reply.created = unix_of(begun.created_at) if begun is not None else None
        reply.request_id = read.request_id(self._headers, self._key)
        return reply

    def _written(self) -> list[str]:
        return ["".join(pieces) for pieces in self._calls.texts]
