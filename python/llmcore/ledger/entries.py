"""What a spool holds, as bytes: a call that was begun, or one that is over, each with as much of its texts as may be
kept.

MessagePack, fields by position. A newer version may append fields; an older one leaves out what it does not know.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from llmcore._core import AttemptRecord, JournalReader, LedgerBatch, Usage
from llmcore.types import CallRecord

__all__ = [
    "BATCH_MAX",
    "CLOSE",
    "NOTE",
    "OPEN",
    "Entry",
    "Payload",
    "decode",
    "encode",
    "json_text",
    "next_entries",
    "rewritten",
]

BATCH_MAX = 4096
_BATCH_BYTES = 16 * 1024 * 1024

#: kinds of the journal's records
OPEN: Final = 1
CLOSE: Final = 2
NOTE: Final = 4
#: where the usage stands in what an AttemptRecord pickles
_USAGE: Final = 7
_CONTEXT: Final = CallRecord.__struct_fields__.index("context")


class Payload(msgspec.Struct, array_like=True, gc=False):
    """What was said in a call, as the content policy lets it be kept. ``messages`` and ``tool_calls`` are JSON."""

    policy: Literal["full", "hash"]
    system_prompt: str | None = None
    prompt: str | None = None
    messages: str | None = None
    response: str | None = None
    tool_calls: str | None = None
    request_sha256: str | None = None
    response_sha256: str | None = None


class Entry(msgspec.Struct, array_like=True):
    """One record of a spool. ``metadata`` is the context's as JSON: what users put there need not fit here."""

    call: CallRecord
    metadata: str | None = None
    payload: Payload | None = None


def json_text(value: Any) -> str:
    """The JSON of a value. Never fails: what has none is written as near as can be."""
    try:
        return msgspec.json.encode(value, enc_hook=str).decode()
    except Exception:  # half a character, keys that JSON has not, a dict that holds itself, a __str__ that raises
        try:
            return json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "replace").decode()
        except Exception as error:
            return msgspec.json.encode({"unwritable": type(error).__name__}).decode()


def _plain(value: Any) -> Any:
    if type(value) is Usage or type(value) is AttemptRecord:
        return value.__getstate__()
    return str(value)


def _made(kind: Any, value: Any) -> Any:
    made = kind.__new__(kind)
    if kind is AttemptRecord:
        value[_USAGE] = _made(Usage, value[_USAGE])
    made.__setstate__(tuple(value))
    return made


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder: Final = msgspec.msgpack.Decoder(Entry, dec_hook=_made)


def encode(call: CallRecord, payload: Payload | None) -> bytes:
    """The bytes of an entry. Never fails: what has no place in them is written as near as can be."""
    context = call.context
    metadata = None
    if context.metadata is not None:
        metadata = json_text(context.metadata)
        call = msgspec.structs.replace(call, context=msgspec.structs.replace(context, metadata=None))
    try:
        return _encoder.encode(Entry(call, metadata, payload))
    except Exception:  # half a character, a number beyond 64 bits, a value of a type that is none of ours
        return _encoder.encode(Entry(_presentable(call), metadata, payload and _presentable_payload(payload)))


def decode(data: bytes) -> Entry:
    """The entry that the bytes are.

    :raises Exception: they are none; which one depends on the bytes
    """
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:  # an id of the context that was a number when it was written
        raw = msgspec.msgpack.decode(data)
        context = raw[0][_CONTEXT]
        for name, value in context.items():
            if value is not None and name not in ("tags", "hand_number"):
                context[name] = str(value)
        return msgspec.convert(raw, Entry, dec_hook=_made)


def rewritten(data: bytes) -> bytes | None:
    """The bytes of an entry as this version writes it; None: they are no entry."""
    try:
        entry = decode(data)
        return _encoder.encode(entry)
    except Exception:
        return None


def _presentable(call: CallRecord) -> CallRecord:
    context = call.context
    told: dict[str, Any] = {name: _text_or_none(getattr(context, name)) for name in context.__struct_fields__}
    told |= {
        "hand_number": _fitting(context.hand_number),
        "tags": tuple(_text(tag) for tag in context.tags or ()),
        "metadata": None,
    }
    changed: dict[str, Any] = {"context": msgspec.structs.replace(context, **told)}
    for name, expected in _KINDS.items():
        value = getattr(call, name)
        changed[name] = expected(value)
    return msgspec.structs.replace(call, **changed)


def _presentable_payload(payload: Payload) -> Payload:
    kept = {name: _text_or_none(getattr(payload, name)) for name in Payload.__struct_fields__ if name != "policy"}
    return msgspec.structs.replace(payload, **kept)


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _fitting(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < 2**63 else None


def _counted(value: Any) -> int:
    return _fitting(value) or 0


def _real(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("id", "provider", "model", "tenant"), _text),
    **dict.fromkeys(("call_type", "response_model", "price_source", "finish_reason"), _text_or_none),
    **dict.fromkeys(("error_code", "error_message", "image_size", "request_id"), _text_or_none),
    **dict.fromkeys(("cost", "reserved", "reported_cost", "max_tokens"), _fitting),
    **dict.fromkeys(("saved", "latency", "queued", "first_token", "image_count"), _counted),
    **dict.fromkeys(("created_at", "started_at", "completed_at"), _counted),
    "temperature": _real,
}


def next_entries(reader: JournalReader, position: int) -> tuple[LedgerBatch, int, int]:
    """The next entries of a journal, up to a batch of them; the number up to which it is read with them; and how many
    of them are no entries.
    """
    batch = LedgerBatch()
    through, unread = batch.fill(reader, position, BATCH_MAX, _BATCH_BYTES)
    damaged = 0
    for number, kind, data in unread:
        entry = rewritten(data)
        if entry is None or not batch.add(number, kind, entry):
            damaged += 1
    return batch, through, damaged
