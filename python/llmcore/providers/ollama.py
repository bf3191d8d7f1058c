"""Ollama: its endpoint that is compatible with OpenAI's, and its own API. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from llmcore._core import Usage
from llmcore.errors import LLMValidationError
from llmcore.hosts import HOSTS
from llmcore.providers import headers as read
from llmcore.providers.body import checked, dump, listed, refuse, refuse_params, schema_of
from llmcore.providers.chat import decode_chat, text_of
from llmcore.providers.chat_stream import ChatStream
from llmcore.providers.failure import failure_of, failure_of_error, parse
from llmcore.providers.http import unix_seconds
from llmcore.providers.llama import LocalLlamaProvider
from llmcore.providers.parts import split_data_url, with_encoded_media
from llmcore.providers.pieces import block_of, checked_inputs
from llmcore.providers.stream import DecodedStream, LineSplitter, StreamDecoder, delivered_usage
from llmcore.types import (
    Chunk,
    EmbeddingReply,
    EmbeddingRequest,
    Failure,
    HttpRequest,
    LLMRequest,
    Reply,
    ToolCall,
    ToolCallDelta,
)

if TYPE_CHECKING:
    from pydantic import SecretStr

    from llmcore.providers.base import LLMProvider

__all__ = ["OllamaProvider"]

#: Params that Ollama keeps under "options", and what it calls them.
_OPTIONS = {
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_UNKNOWN = frozenset(
    {
        "n",
        "logit_bias",
        "tool_choice",
        "parallel_tool_calls",
        "modalities",
        "audio",
        "prediction",
        "user",
        "store",
        "reasoning_effort",
        "verbosity",
        "service_tier",
        "web_search_options",
    }
)
_FINISH = {"stop": "stop", "length": "length", "load": "load", "unload": "unload"}


class OllamaProvider(LocalLlamaProvider):
    """Ollama. A base URL that ends in "/api" is spoken to in Ollama's own words, any other in OpenAI's.

    `decode` understands both, whichever was asked for.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: "str | SecretStr | None" = None,
        *,
        name: str | None = None,
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        super().__init__(base_url, api_key, name=name, host=HOSTS["ollama"], now=now)
        self._native = self._parts is not None and self._parts.path.rstrip("/").endswith("/api")

    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request."""
        if not self._native:
            return super().encode(request)
        return self._request(self._url("/chat"), encode_native(request))

    def encode_embeddings(self, request: EmbeddingRequest) -> HttpRequest:
        """The HTTP request for vectors."""
        if not self._native:
            return super().encode_embeddings(request)
        body: dict[str, Any] = {"model": request.model, "input": checked_inputs(request), **request.params}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        return self._request(self._url("/embed"), dump(body))

    def models(self) -> HttpRequest:
        """The HTTP request that asks which models there are."""
        return self._request(self._url("/tags"), b"", "GET") if self._native else super().models()

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """The answer or the refusal in `body`. Never raises."""
        if status != 200:
            return self._refusal(status, headers, body)
        try:
            answer = _line.decode(body)
        except (ValueError, RecursionError):
            answer = None
        if answer is not None:
            if answer.done is not None:
                if answer.done:
                    return _Native(answer).whole(headers, self._key)
                told = "the answer is not whole"
                return failure_of_error(status, headers, answer.error, told, key=self._key, now=self._now())
            if answer.embedding is not None or answer.embeddings is not None:
                return _vectors(answer, headers)
        return decode_chat(headers, body, key=self._key, now=self._now, host=self.host)

    def stream_decoder(self, headers: Mapping[str, str] | None = None) -> StreamDecoder:
        """For one answer with status 200."""
        return OllamaStream(
            lambda: NativeStream(self, headers, key=self._key, now=self._now),
            lambda: ChatStream(self, headers, host=self.host, key=self._key, now=self._now),
        )


def encode_native(request: LLMRequest) -> bytes:
    """The body of a request to /api/chat, keys sorted.

    :raises LLMValidationError: something in it cannot be sent
    """
    params = dict(request.params)
    if params.pop("stream", None):
        refuse("stream is not a param of a request: complete() answers in one piece, and its `stream` asks for more")
    refuse_params(params, _UNKNOWN, "Ollama's own API")
    options = params.pop("options", None) or {}
    if not isinstance(options, dict):
        refuse("options is a dict")
    options = dict(options)
    if request.temperature is not None:
        options["temperature"] = request.temperature
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    for name in list(params):
        if name in _OPTIONS:
            options[_OPTIONS[name]] = params.pop(name)
    fields: dict[str, Any] = {"model": request.model, "stream": request.stream}
    asked = params.pop("response_format", request.response_format)
    if type(asked) is dict and asked.get("type") == "json_schema":
        fields["format"] = schema_of(asked)
    elif request.json_format or (type(asked) is dict and asked.get("type") == "json_object"):
        fields["format"] = "json"
    if request.tools is not None:
        fields["tools"] = request.tools
    if options:
        fields["options"] = options
    messages = checked(with_encoded_media(request.messages))
    fields |= params
    named: dict[str, Any] = {}
    return dump(fields, "messages", [_message(message, index, named) for index, message in enumerate(messages)])


def _message(message: dict[str, Any], index: int, named: dict[str, Any]) -> dict[str, Any]:
    """:param named: the functions of the calls so far, by the calls' ids: results are told by function here"""
    of_tool = message["role"] in ("tool", "function")
    for key in ("audio", "function_call") if of_tool else ("audio", "function_call", "name"):
        if message.get(key):
            refuse(f"messages[{index}] holds {key}, which Ollama has no place for")
    content = message.get("content")
    texts: list[str] = []
    images: list[str] = []
    for at, part in enumerate([content] if isinstance(content, str) else content or ()):
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict):
            refuse(f'messages[{index}]["content"][{at}] is a string or a dict')
        elif part.get("type") == "text":
            texts.append(text_of(part.get("text")))
        elif part.get("type") == "image_url":
            inner = part.get("image_url")
            found = split_data_url(str(inner.get("url", "") if isinstance(inner, dict) else inner))
            if found is None:
                refuse(f'messages[{index}]["content"][{at}]: Ollama takes the bytes of a picture, not its URL')
            images.append(found.base64)
        else:
            refuse(f'messages[{index}]["content"][{at}]: Ollama has no {part.get("type")} in messages')
    texts.append(text_of(message.get("refusal")))
    images += listed(message.get("images") or (), f'messages[{index}]["images"]')
    told: dict[str, Any] = {"role": message["role"], "content": "".join(texts)}
    if images:
        told["images"] = images
    if message.get("thinking"):
        told["thinking"] = message["thinking"]
    if message.get("tool_calls"):
        calls = listed(message["tool_calls"], "tool_calls")
        told["tool_calls"] = [_called(call, index) for call in calls]
        named.update((call["id"], call["function"].get("name")) for call in calls if text_of(call.get("id")))
    if of_tool:
        name = message.get("tool_name") or message.get("name") or named.get(text_of(message.get("tool_call_id")))
        if name:
            told["tool_name"] = name
    return told


def _called(call: Any, index: int) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        refuse(f'messages[{index}]["tool_calls"] holds a call of no function')
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments or "{}")
        except (ValueError, RecursionError):
            refuse(f'messages[{index}]["tool_calls"]: the arguments of {function.get("name")} are no JSON')
    return {"function": {"name": function.get("name"), "arguments": arguments}}


class _Said(msgspec.Struct):
    content: Any = None
    thinking: Any = None
    tool_calls: Any = None


class _Line(msgspec.Struct):
    """One answer, or one line of a stream: of /api/chat (message) or /api/generate (response)."""

    done: bool | None = None
    message: _Said | None = None
    response: Any = None
    thinking: Any = None
    model: Any = None
    created_at: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None
    embedding: list[float] | None = None
    embeddings: list[list[float]] | None = None


_line = msgspec.json.Decoder(_Line)


class _Native:
    """What one or many lines add up to."""

    def __init__(self, first: _Line | None = None) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[ToolCall] = []
        self.last: _Line | None = None
        if first is not None:
            self.add(first)

    def add(self, line: _Line) -> Chunk | None:
        """Takes in a line."""
        self.last = line
        said = line.message or _Said(line.response, line.thinking)
        chunk = Chunk(text_of(said.content), text_of(said.thinking))
        if chunk.text:
            self.text.append(chunk.text)
        if chunk.reasoning:
            self.reasoning.append(chunk.reasoning)
        for raw in said.tool_calls if type(said.tool_calls) is list else ():
            function = raw.get("function") if type(raw) is dict else None
            if type(function) is dict:
                at = len(self.calls)
                arguments = msgspec.json.encode(function.get("arguments") or {}).decode()
                call = ToolCall(text_of(raw.get("id")) or f"call_{at}", text_of(function.get("name")), arguments)
                self.calls.append(call)
                chunk.tool_calls = [*chunk.tool_calls, ToolCallDelta(at, call.id, call.name, arguments)]
        if line.done:
            chunk.finish_reason = self.finish_reason()
        return chunk if chunk.text or chunk.reasoning or chunk.tool_calls or chunk.finish_reason else None

    def finish_reason(self) -> str:
        """In OpenAI's words."""
        if self.calls:
            return "tool_calls"
        reason = text_of(self.last.done_reason) if self.last is not None else ""
        return _FINISH.get(reason, reason)

    def whole(self, headers: Mapping[str, str], key: str | None) -> Reply:
        """The answer so far."""
        text, reasoning = "".join(self.text), "".join(self.reasoning)
        last = self.last or _Line()
        prompt, written = _count(last.prompt_eval_count), _count(last.eval_count)
        if not written and not prompt:
            usage = delivered_usage(text, reasoning, *(call.arguments for call in self.calls))
        else:
            usage = Usage(input_uncached=prompt or 0, output_text=written or 0)
        reply = Reply(
            text, text_of(last.model), usage, self.finish_reason() if last.done else "", self.calls, reasoning
        )
        reply.created = _unix(last.created_at)
        reply.request_id = read.request_id(headers, key)
        return reply


class OllamaStream(StreamDecoder):
    """Whichever it is: its first byte says."""

    def __init__(self, native: Callable[[], StreamDecoder], compatible: Callable[[], StreamDecoder]) -> None:
        self._native, self._compatible = native, compatible
        self._inner: StreamDecoder | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """What these bytes complete."""
        if self._inner is None:
            data = data.lstrip(b" \t\r\n")
            if not data:
                return []
            self._inner = self._native() if data[:1] == b"{" else self._compatible()
        chunks = self._inner.feed(data)
        self.ended = self._inner.ended
        return chunks

    def finish(self) -> Reply | Failure:
        """The whole answer."""
        return (self._inner or self._compatible()).finish()


class NativeStream(DecodedStream):
    """A stream of /api/chat or /api/generate: an object a line."""

    _one_piece = b"<["

    def __init__(
        self,
        provider: "LLMProvider",
        headers: Mapping[str, str] | None,
        *,
        key: str | None,
        now: Callable[[], float],
    ) -> None:
        super().__init__(provider, headers, key, LineSplitter())
        self._now = now
        self._said = _Native()

    def _event(self, name: bytes, data: bytes) -> Chunk | None:
        try:
            line = _line.decode(data)
        except (ValueError, RecursionError):
            try:
                line = msgspec.convert(parse(data), _Line)
            except (ValueError, RecursionError):
                self._break(failure_of(200, self._headers, data, key=self._key, now=self._now()))
                return None
        if line.error or line.done is None:
            told = "the stream ended in an error"
            self._break(
                failure_of_error(200, self._headers, line.error or parse(data), told, key=self._key, now=self._now())
            )
            return None
        chunk = self._said.add(line)
        self.ended = bool(line.done)
        return chunk

    def _reply(self) -> Reply | None:
        return None if self._said.last is None else self._said.whole(self._headers, self._key)


def _vectors(answer: _Line, headers: Mapping[str, str]) -> Reply | Failure:
    try:
        block, dimensions = block_of(list(answer.embeddings or [answer.embedding or []]))
    except (ValueError, OverflowError, LLMValidationError):
        return failure_of_error(200, headers, None, "the answer holds no vectors", key=None, now=0.0)
    counted = _count(answer.prompt_eval_count)
    usage = Usage(estimated=True) if counted is None else Usage(input_uncached=counted)
    return EmbeddingReply("", text_of(answer.model), usage, vectors=block, dimensions=dimensions)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def _unix(text: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) if type(text) is str else None
    except (ValueError, OverflowError):
        return None
