"""Streams of Chat Completions. Pure."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from llmcore.hosts import Host
from llmcore.providers import headers as read
from llmcore.providers.chat import arguments_of, called_of, citations_of, joined, text_of, unix_of, written_in
from llmcore.providers.failure import failure_of, failure_of_error, parse
from llmcore.providers.stream import DecodedStream, delivered_usage
from llmcore.providers.usage import reported_cost, usage_of
from llmcore.types import Chunk, Citation, Reply, ToolCall, ToolCallDelta

if TYPE_CHECKING:
    from llmcore.providers.base import LLMProvider

__all__ = ["ChatStream", "ToolCalls"]


class _Delta(msgspec.Struct):
    content: Any = None
    tool_calls: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    refusal: Any = None
    annotations: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: Any = None
    index: Any = 0
    error: Any = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None
    created: Any = None
    error: Any = None
    x_groq: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class ToolCalls:
    """The tool calls of one answer, put together from their pieces."""

    __slots__ = ("_calls", "_index", "texts")

    def __init__(self) -> None:
        self._calls: list[ToolCall] = []
        self.texts: list[list[str]] = []  # of each call, its arguments so far
        self._index: dict[Any, int] = {}

    def add(self, index: Any, id: str, name: str, arguments: str, kind: str = "function") -> ToolCallDelta:
        """Takes in a piece. Without an index it belongs to the call of that id, else to the last one."""
        key = index if index is not None else (id or None)
        at = self._index.get(key) if key is not None else len(self._calls) - 1 if self._calls else None
        if at is not None and id and name and self._calls[at].id not in ("", id):
            at = None  # Gemini gives all of its calls the index 0
        if at is None:
            at = len(self._calls)
            self._calls.append(ToolCall(id, name, "", kind))
            self.texts.append([arguments])
            self._index[key] = at
            return ToolCallDelta(at, id, name, arguments, kind)
        call = self._calls[at]
        fresh_id, fresh_name = "" if call.id else id, "" if call.name else name
        call.id, call.name = call.id or id, call.name or name
        self.texts[at].append(arguments)
        return ToolCallDelta(at, fresh_id, fresh_name, arguments, call.type)

    def knows(self, index: Any) -> bool:
        """Whether a call of that index has begun."""
        return index in self._index

    def whole(self) -> list[ToolCall]:
        """The calls as they are now."""
        return [
            ToolCall(call.id, call.name, "".join(text), call.type)
            for call, text in zip(self._calls, self.texts, strict=True)
        ]


class ChatStream(DecodedStream):
    """One answer's. Of several choices the first counts, as in a whole answer; the others are billed all the same."""

    def __init__(
        self,
        provider: "LLMProvider",
        headers: Mapping[str, str] | None,
        *,
        host: Host,
        key: str | None,
        now: Callable[[], float],
    ) -> None:
        super().__init__(provider, headers, key)
        self._host, self._now = host, now
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._others: list[str] = []
        self._calls = ToolCalls()
        self._citations: list[Citation] = []
        self._finish_reason = ""
        self._model = ""
        self._created: int | None = None
        self._usage: Any = None
        self._begun = False

    def _event(self, name: bytes, data: bytes) -> Chunk | None:
        if data == b"[DONE]":
            self.ended = True
            return None
        try:
            event = _decode(data)
        except (ValueError, RecursionError):
            try:
                event = msgspec.convert(parse(data), _Event)
            except (ValueError, RecursionError):
                if data.strip() == b"[DONE]":
                    self.ended = True
                else:
                    self._break(failure_of(200, self._headers, data, key=self._key, now=self._now()))
                return None
        if event.usage:
            self._usage = event.usage
        if not self._model and type(event.model) is str:
            self._model = event.model
        if self._created is None:
            self._created = unix_of(event.created)
        if event.x_groq and type(event.x_groq) is dict:
            self._usage = self._usage or event.x_groq.get("usage")
        if event.error or name == b"error":
            self._fail(event.error, data)
            return None
        if not event.choices:
            return None
        if len(event.choices) == 1:
            return self._choice(event.choices[0])
        chunk = None
        for choice in event.choices:
            chunk = self._choice(choice) or chunk
        return chunk

    def _choice(self, choice: _Choice) -> Chunk | None:
        self._begun = True
        delta = choice.delta
        if choice.index:
            self._others += written_in(delta)
            return None
        if choice.error:
            self._fail(choice.error, b"")
            return None
        finish_reason = choice.finish_reason
        if type(finish_reason) is not str:
            finish_reason = ""
        elif finish_reason:
            self._finish_reason = finish_reason
        if delta is None:
            return Chunk(finish_reason=finish_reason) if finish_reason else None
        text = delta.content
        reasoning = delta.reasoning_content or delta.reasoning
        if type(text) is not str:
            text, thoughts = joined(text) if text else ("", "")
            reasoning = reasoning or thoughts
        chunk = Chunk(text, finish_reason=finish_reason)
        if text:
            self._text.append(text)
        if reasoning and type(reasoning) is str:
            self._reasoning.append(reasoning)
            chunk.reasoning = reasoning
        if delta.refusal and type(delta.refusal) is str:
            self._refusal.append(delta.refusal)
            chunk.refusal = delta.refusal
        if delta.tool_calls:
            chunk.tool_calls = self._tool_calls(delta.tool_calls)
        if delta.annotations:
            self._citations += citations_of(delta.annotations)
        if text or finish_reason or chunk.reasoning or chunk.tool_calls or chunk.refusal:
            return chunk
        return None

    def _tool_calls(self, raw: Any) -> list[ToolCallDelta]:
        deltas = []
        for call in raw if type(raw) is list else ():
            if type(call) is not dict:
                continue
            kind, called = called_of(call)
            arguments = arguments_of(called.get("arguments", called.get("input")))
            index = call.get("index")
            index = index if type(index) is int else None
            deltas.append(self._calls.add(index, text_of(call.get("id")), text_of(called.get("name")), arguments, kind))
        return deltas

    def _fail(self, error: Any, data: bytes) -> None:
        if not error:
            try:
                error = parse(data)
            except ValueError:
                error = data.decode("utf-8", "replace")
        told = "the stream ended in an error"
        self._break(failure_of_error(200, self._headers, error, told, key=self._key, now=self._now()))

    def _complete(self) -> bool:
        return bool(self._finish_reason)

    def _reply(self) -> Reply | None:
        if not self._begun:
            return None
        text, reasoning, refusal = "".join(self._text), "".join(self._reasoning), "".join(self._refusal)
        usage = usage_of(self._usage, self._host.total_holds_reasoning)
        if usage.estimated:
            written = ["".join(pieces) for pieces in self._calls.texts]
            usage = delivered_usage(text, reasoning, refusal, *written, "".join(self._others))
        return Reply(
            text,
            self._model,
            usage,
            self._finish_reason,
            self._calls.whole(),
            reasoning,
            reported_cost(self._usage),
            self._created,
            read.request_id(self._headers, self._key),
            refusal,
            self._citations,
        )
