"""The input of a batch: reading its lines one at a time, and making a :class:`Job` or a :class:`Malformed` of each.

A line is an object of the OpenAI Batch API: ``custom_id``, ``method``, ``url``, ``body``. Beside them it may name a
``priority``, a ``call_type`` and the fields of :class:`~llmcore.types.CallContext`; whatever else it holds goes to the
ledger as metadata of the call, and so does its custom id.
"""

import os
import select
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from llmcore.call_context import CONTEXT_FIELDS
from llmcore.types import Message, Priority

__all__ = ["MAX_LINE_BYTES", "Job", "LineReader", "Malformed", "TooLong", "parse"]

#: Longer lines are refused: a bound on memory, and more than any provider takes as one request.
MAX_LINE_BYTES = 32 << 20

CHAT_URL = "/v1/chat/completions"

_CHUNK = 1 << 18
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Job:
    """One request of the input, ready to be made."""

    #: of its line, from 1
    number: int
    custom_id: str
    model: str
    messages: list[Message]
    #: the rest of the body, as it goes to the provider
    params: dict[str, Any]
    #: fields of the call's context that are given
    context: dict[str, Any]
    priority: Priority | None
    call_type: str | None


@dataclass(slots=True)
class Malformed:
    """A line that can never become a call. ``message`` says why in a sentence, ``code`` in a word."""

    number: int
    code: str
    message: str
    custom_id: str | None = None


@dataclass(slots=True)
class TooLong:
    """Stands for a line over the limit; its bytes were read past, not kept."""

    size: int


class LineReader:
    """The lines of an open file, lazily; holds one chunk and at most `limit` bytes of one line.

    Iterating gives the bytes of a line without its end, a :class:`TooLong`, or None when a pipe has nothing to read
    just now (ask again later: nothing here blocks). ``number`` is that of the last line given, ``consumed`` the offset
    behind it, ``size`` the length of the file, None where it has none.
    """

    def __init__(self, descriptor: int, limit: int = MAX_LINE_BYTES) -> None:
        self.number = 0
        self.consumed = 0
        self._descriptor = descriptor
        self._limit = limit
        status = os.fstat(descriptor)
        self._regular = stat.S_ISREG(status.st_mode)
        self.size: int | None = status.st_size if self._regular else None

    def __iter__(self) -> Iterator[bytes | TooLong | None]:
        parts: list[bytes] = []
        held = 0
        while True:
            if not self._regular and not select.select([self._descriptor], [], [], 0)[0]:
                yield None
                continue
            chunk = os.read(self._descriptor, _CHUNK)
            if not chunk:
                break
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                length = held + end - start
                line: bytes | TooLong
                if length > self._limit:
                    line = TooLong(length)
                elif held:
                    parts.append(chunk[start:end])
                    line = b"".join(parts)
                else:
                    line = chunk[start:end]
                parts.clear()
                held = 0
                start = end + 1
                yield self._give(line, length + 1)
            held += len(chunk) - start
            if held > self._limit:
                parts.clear()
            elif held:
                parts.append(chunk[start:])
        if held:
            yield self._give(TooLong(held) if held > self._limit else b"".join(parts), held)

    def _give(self, line: bytes | TooLong, size: int) -> bytes | TooLong:
        self.number += 1
        self.consumed += size
        if self.number == 1 and isinstance(line, bytes):
            return line.removeprefix(_BOM)
        return line


class _Wrong(Exception):
    """Why a line cannot be used: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_KINDS: dict[type, str] = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "an array",
    str: "a string",
    type(None): "null",
}

#: What fields of the body must be where they are given and not null; the provider judges everything else.
_BODY: dict[str, tuple[type, ...]] = {
    "frequency_penalty": (float, int),
    "logit_bias": (dict,),
    "logprobs": (bool,),
    "max_completion_tokens": (int,),
    "max_tokens": (int,),
    "model": (str,),
    "n": (int,),
    "parallel_tool_calls": (bool,),
    "presence_penalty": (float, int),
    "response_format": (dict,),
    "seed": (int,),
    "stop": (str, list),
    "stream": (bool,),
    "temperature": (float, int),
    "tool_choice": (str, dict),
    "tools": (list,),
    "top_logprobs": (int,),
    "top_p": (float, int),
}

#: What means something to llmcore itself, and so is not taken for a parameter of the provider.
_OURS = CONTEXT_FIELDS | {"cache", "call_type", "deadline", "json_format", "priority"}

_PRIORITIES = {priority.name.lower(): priority for priority in Priority}
_IDS = CONTEXT_FIELDS - {"hand_number", "tags", "metadata"}

_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def parse(
    number: int, line: bytes | TooLong, model: str | None = None, default_model: str | None = None
) -> Job | Malformed | None:
    """Makes a job of line `number`; None for a blank one.

    :param model: asked for whatever the body says
    :param default_model: asked for when the body names none
    """
    custom_id: str | None = None
    try:
        if isinstance(line, TooLong):
            raise _Wrong(
                "line_too_long",
                f"the line has {line.size:,} bytes and no more than {MAX_LINE_BYTES:,} are read; split or shorten it",
            )
        if not line or line.isspace():
            return None
        item = _object(line)
        custom_id = _custom_id(item)
        return _job(number, custom_id, item, model, default_model)
    except _Wrong as wrong:
        return Malformed(number, wrong.code, wrong.message, custom_id)


def _object(line: bytes) -> dict[str, Any]:
    try:
        item = _decode(line)
    except RecursionError:
        raise _Wrong("invalid_json", "the line is nested too deeply") from None
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError
        try:
            line.decode()
        except UnicodeDecodeError as undecodable:
            raise _Wrong(
                "invalid_utf8", f"the line is not UTF-8: byte 0x{line[undecodable.start]:02x} at {undecodable.start}"
            ) from None
        raise _Wrong("invalid_json", f"the line is not JSON: {error}") from None
    if type(item) is not dict:
        raise _Wrong("invalid_json", f"the line is {_KINDS[type(item)]}, not an object")
    return item


def _custom_id(item: dict[str, Any]) -> str:
    custom_id = item.pop("custom_id", None)
    if custom_id is None:
        raise _Wrong("missing_custom_id", "custom_id is missing; give every line one of its own")
    if type(custom_id) is not str or not custom_id:
        found = "empty" if custom_id == "" else _KINDS[type(custom_id)]
        raise _Wrong("wrong_type", f"custom_id must be a string that is not empty, but it is {found}")
    return custom_id


def _job(number: int, custom_id: str, item: dict[str, Any], model: str | None, default_model: str | None) -> Job:
    method = item.pop("method", "POST")
    if method != "POST":
        raise _Wrong("wrong_type", f'method must be "POST", not {_shown(method)}')
    url = item.pop("url", None)
    if url != CHAT_URL:
        found = "is missing" if url is None else f"is {_shown(url)}"
        raise _Wrong("unknown_url", f"url {found}; {CHAT_URL} is what llmcore batch supports")
    body = item.pop("body", None)
    if type(body) is not dict:
        raise _Wrong(
            "wrong_type",
            "body is missing" if body is None else f"body must be an object, but it is {_KINDS[type(body)]}",
        )
    for name, value in body.items():
        kinds = _BODY.get(name)
        if kinds is None:
            if name in _OURS:
                raise _Wrong("unsupported", f"body.{name} is not passed on to providers; put it beside the body")
        elif value is not None and type(value) not in kinds:
            raise _Wrong("wrong_type", f"body.{name} must be {_one_of(kinds)}, but it is {_KINDS[type(value)]}")
    if body.pop("stream", None):
        raise _Wrong("unsupported", "body.stream is true, but the answers of a batch are not streamed; leave it out")
    messages = body.pop("messages", None)
    _check_messages(messages)
    asked = body.pop("model", None)
    chosen = model or asked or default_model
    if not chosen:
        raise _Wrong("missing_model", "body.model is missing; name a model there or with --model")
    priority = item.pop("priority", None)
    if priority is not None:
        priority = _PRIORITIES.get(priority.lower()) if type(priority) is str else None
        if priority is None:
            raise _Wrong("wrong_type", 'priority must be "high", "medium" or "low"')
    call_type = item.pop("call_type", None)
    if call_type is not None and type(call_type) is not str:
        raise _Wrong("wrong_type", f"call_type must be a string, but it is {_KINDS[type(call_type)]}")
    return Job(number, custom_id, chosen, messages, body, _context(custom_id, item), priority, call_type)


def _check_messages(messages: object) -> None:
    if type(messages) is not list or not messages:
        raise _Wrong("wrong_type", "body.messages must be an array of at least one message")
    for index, message in enumerate(messages):
        if type(message) is not dict:
            raise _Wrong("wrong_type", f"body.messages[{index}] must be an object, but it is {_KINDS[type(message)]}")
        if type(message.get("role")) is not str:
            raise _Wrong("wrong_type", f"body.messages[{index}].role must be a string")


def _context(custom_id: str, item: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the request. Numbers are as good as strings for an id."""
    context: dict[str, Any] = {}
    metadata = item.pop("metadata", None)
    if metadata is None:
        metadata = {}
    elif type(metadata) is not dict:
        raise _Wrong("wrong_type", f"metadata must be an object, but it is {_KINDS[type(metadata)]}")
    for name, value in item.items():
        if value is None:
            continue
        if name in _IDS:
            if type(value) is not str and type(value) is not int:
                raise _Wrong("wrong_type", f"{name} must be a string, but it is {_KINDS[type(value)]}")
            context[name] = str(value)
        elif name == "hand_number":
            if type(value) is not int:
                raise _Wrong("wrong_type", f"hand_number must be an integer, but it is {_KINDS[type(value)]}")
            context[name] = value
        elif name == "tags":
            if type(value) is not list or not all(type(tag) is str for tag in value):
                raise _Wrong("wrong_type", "tags must be an array of strings")
            context[name] = tuple(value)
        else:
            metadata[name] = value
    metadata["custom_id"] = custom_id
    context["metadata"] = metadata
    return context


def _shown(value: object) -> str:
    if type(value) is not str:
        return _KINDS[type(value)]
    return f'"{value[:80]}"' + ("..." if len(value) > 80 else "")


def _one_of(kinds: tuple[type, ...]) -> str:
    return "a number" if kinds == (float, int) else " or ".join(_KINDS[kind] for kind in kinds)
