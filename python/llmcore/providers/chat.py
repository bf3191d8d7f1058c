"""Chat Completions, OpenAI's and those of every server that speaks the same: requests and whole answers. Pure."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from llmcore.hosts import HOSTS, Host
from llmcore.providers import headers as read
from llmcore.providers.body import encode, refuse, refuse_params
from llmcore.providers.failure import failure_of, failure_of_error, parse
from llmcore.providers.parts import with_encoded_media
from llmcore.providers.pieces import decode_pieces
from llmcore.providers.stream import delivered_usage
from llmcore.providers.usage import reported_cost, usage_of
from llmcore.types import Citation, Failure, LLMRequest, Reply, ToolCall

__all__ = ["decode_chat", "encode_chat"]

#: OpenAI's models that refuse max_tokens, wherever they are reached through.
_INSISTS = re.compile(r"(?:^|/)(?:o[1-9](?:$|-)|gpt-(?:[5-9]|\d\d))")


@lru_cache(256)
def _insists(model: str) -> bool:
    return _INSISTS.search(model) is not None


def encode_chat(request: LLMRequest, host: Host = HOSTS["openai"], limit_name: str = "max_tokens") -> bytes:
    """The body of a Chat Completions request, keys sorted.

    :param limit_name: under which max_tokens goes, unless the request's params hold a limit of their own
    :raises LLMValidationError: something in it cannot be sent
    """
    params = request.params
    if "stream" in params:
        if params["stream"]:
            refuse(
                "stream is not a param of a request: complete() answers in one piece, and its `stream` asks for more"
            )
        params = {name: value for name, value in params.items() if name != "stream"}
    if host.renamed or host.unknown:
        refuse_params(params, host.unknown, host.name)
        params = {host.renamed.get(name, name): value for name, value in params.items()}
    fields: dict[str, Any] = {"stream": request.stream}
    if host.extra:
        fields |= host.extra
    if request.stream and host.asks_for_usage:
        given = params.get("stream_options")
        fields["stream_options"] = {"include_usage": True}
        if isinstance(given, dict):
            params = {**params, "stream_options": {"include_usage": True, **given}}
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if request.max_tokens is not None and "max_tokens" not in params and "max_completion_tokens" not in params:
        insists = limit_name == "max_tokens" and host.name in ("openai", "azure") and _insists(request.model)
        fields["max_completion_tokens" if insists else limit_name] = request.max_tokens
    if request.tools is not None:
        fields["tools"] = request.tools
    if request.response_format is not None:
        fields["response_format"] = request.response_format
    elif request.json_format:
        fields["response_format"] = {"type": "json_object"}
    return encode(request, fields, params, with_encoded_media(request.messages))


class _Message(msgspec.Struct):
    content: Any = None
    tool_calls: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    refusal: Any = None
    annotations: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: Any = None
    error: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: Any = None
    created: Any = None
    error: Any = None
    data: msgspec.Raw = msgspec.Raw()


_answer = msgspec.json.Decoder(_Answer)


def decode_chat(
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: str | None,
    now: Callable[[], float],
    host: Host = HOSTS["openai"],
) -> Reply | Failure:
    """An answer with status 200: of Chat Completions, of embeddings or of images, or an error all the same. Never
    raises.
    """
    try:
        answer = _answer.decode(body)
    except (ValueError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
        try:
            answer = _lenient(body)
        except (ValueError, RecursionError):
            return failure_of(200, headers, body, key=key, now=now())
    choice = answer.choices[0] if answer.choices else None
    if choice is None or choice.message is None or (choice.error and not choice.message.content):
        if choice is None and len(answer.data) > 0 and not answer.error:
            pieces = decode_pieces(bytes(answer.data), body, request_id=read.request_id(headers, key))
            if pieces is not None:
                return pieces
        error = answer.error or (choice.error if choice is not None else None)
        return failure_of_error(200, headers, error, "the answer holds no message", key=key, now=now())
    message = choice.message
    content = message.content
    reasoning = message.reasoning_content or message.reasoning
    if type(content) is not str:
        content, thoughts = joined(content)
        reasoning = reasoning or thoughts
    usage = usage_of(answer.usage, host.total_holds_reasoning)
    if usage.estimated and answer.choices is not None and len(answer.choices) > 1:
        others = "".join("".join(written_in(other.message)) for other in answer.choices[1:])
        usage = delivered_usage(*written_in(message), others)
    reply = Reply(
        content,
        answer.model if type(answer.model) is str else "",
        usage,
        choice.finish_reason if type(choice.finish_reason) is str else "",
        _tool_calls(message.tool_calls) if message.tool_calls else [],
        reasoning if type(reasoning) is str else "",
        reported_cost(answer.usage),
        unix_of(answer.created),
        read.request_id(headers, key),
    )
    if message.refusal:
        reply.refusal = text_of(message.refusal)
    if message.annotations:
        reply.citations = citations_of(message.annotations)
    return reply


def _lenient(body: bytes) -> _Answer:
    parsed = parse(body)
    if type(parsed) is dict and "data" in parsed:
        parsed["data"] = msgspec.Raw(msgspec.json.encode(parsed["data"]))
    return msgspec.convert(parsed, _Answer)


# --- parts of answers, whole or streamed


def written_in(message: Any) -> list[str]:
    """Every text of a message or of a part of one: what is billed as output, whichever choice it belongs to."""
    if message is None:
        return []
    content, thoughts = message.content, ""
    if type(content) is not str:
        content, thoughts = joined(content)
    reasoning = text_of(message.reasoning_content or message.reasoning) or thoughts
    calls = _tool_calls(message.tool_calls)
    return [content, reasoning, text_of(message.refusal), *(call.arguments for call in calls)]


def joined(content: Any) -> tuple[str, str]:
    """(text, reasoning) of a content that is a list of parts, or null."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content if type(content) is list else ():
        if type(part) is str:
            texts.append(part)
        elif type(part) is dict:
            if part.get("type") in ("text", "output_text"):
                texts.append(text_of(part.get("text")))
            elif part.get("type") == "thinking":
                inner = part.get("thinking")
                thoughts.append(inner if type(inner) is str else joined(inner)[0])
    return "".join(texts), "".join(thoughts)


def citations_of(raw: Any) -> list[Citation]:
    """The pages that annotations name, of Chat Completions (OpenRouter too) or of Responses."""
    found = []
    for each in raw if type(raw) is list else ():
        if type(each) is not dict or each.get("type") != "url_citation":
            continue
        inner = each.get("url_citation")
        told = inner if type(inner) is dict else each
        if url := text_of(told.get("url")):
            found.append(Citation(url, text_of(told.get("title")), text_of(told.get("content"))))
    return found


def text_of(value: Any) -> str:
    """The string, or none."""
    return value if type(value) is str else ""


def unix_of(value: Any) -> int | None:
    """A time in Unix seconds, if it can be one."""
    return int(value) if type(value) in (int, float) and 0 < value < 1 << 40 else None


def arguments_of(value: Any) -> str:
    """A tool's arguments as text; some servers send the object itself."""
    if type(value) is str:
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def called_of(call: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(type, what is called): "custom" tools stand under their own name."""
    kind = call.get("type")
    kind = kind if type(kind) is str and kind else "function"
    called = call.get("function") or call.get(kind)
    return kind, called if type(called) is dict else {}


def _tool_calls(raw: Any) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for call in raw if type(raw) is list else ():
        if type(call) is not dict:
            continue
        kind, called = called_of(call)
        arguments = arguments_of(called.get("arguments", called.get("input")))
        calls.append(ToolCall(text_of(call.get("id")), text_of(called.get("name")), arguments, kind))
    return calls
