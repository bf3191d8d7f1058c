"""From a finished call to the rows of the ledger: one of ``llm_calls``, one of ``llm_attempts`` per attempt.

Rows are plain tuples of str, int, float, bool and None in the order of :data:`CALL_COLUMNS` and
:data:`ATTEMPT_COLUMNS`, because this runs once per call: a tuple that the database driver binds as it is costs a few
microseconds, anything cleverer a multiple. Times are text in UTC in the form in which SQLAlchemy keeps a DateTime in
SQLite and PostgreSQL reads a timestamp: ``2026-03-01 12:00:00.000000``.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from itertools import cycle
from typing import Any

from llmcore.ledger.entries import Payload, json_text
from llmcore.types import CallRecord, Outcome, Source, Usage

__all__ = [
    "ATTEMPT_COLUMNS",
    "CALL_COLUMNS",
    "PAYLOAD_COLUMNS",
    "TEXT_MAX",
    "add_attempt_rows",
    "call_row",
    "error_code",
    "payload_row",
    "repaired",
    "source_name",
    "utc_text",
]

Row = tuple[Any, ...]

CALL_COLUMNS = (
    *("id", "tenant", "call_type", "status", "source", "provider", "model", "response_model"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "total_tokens"),
    *(
        "cost_nano_usd",
        "reserved_nano_usd",
        "reported_cost_nano_usd",
        "saved_nano_usd",
        "price_source",
        "latency_ms",
        "queue_ms",
        "first_token_ms",
        "attempts",
    ),
    *("finish_reason", "error_code", "error_message", "fallback_used", "cache_hit"),
    *("temperature", "max_tokens", "image_count", "image_size"),
    *("user_id", "owner_id", "session_id", "task_id", "company_id", "review_id", "game_id", "player_name"),
    *("prompt_template", "trace_id", "parent_call_id", "trackable_type", "trackable_id", "hand_number"),
    *("tags", "metadata", "spool", "created_at", "started_at", "completed_at"),
)

ATTEMPT_COLUMNS = (
    *("call_id", "number", "provider", "model", "outcome"),
    *("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output_text", "reasoning"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_output", "images", "estimated"),
    *("cost_nano_usd", "latency_ms", "retry_after_ms", "request_id", "created_at", "started_at"),
)

PAYLOAD_COLUMNS = (
    *("call_id", "policy", "system_prompt", "prompt", "messages", "response", "tool_calls"),
    *("request_sha256", "response_sha256", "created_at"),
)

_NOTHING = Usage()
# Indexed by the enum's number: an attribute of an enum member costs more than all the rest of a column.
_OUTCOMES = tuple(outcome.name.lower() for outcome in Outcome)
_SOURCES = tuple(source.name.lower() for source in Source)

#: characters of a text that was refused once
TEXT_MAX = 500
_MESSAGE_MAX = 2000
_NUMBER_LIMIT = 2**63
# A NUL in JSON: the backslash before the u is none that another one escapes.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_JSON = frozenset({"tags", "metadata", "messages", "tool_calls"})
_LONG = frozenset({"system_prompt", "prompt", "response"})
_REAL = frozenset({"latency_ms", "queue_ms", "first_token_ms", "retry_after_ms", "temperature"})
_NUMBERS = _REAL.union(
    {
        "cost_nano_usd",
        "reserved_nano_usd",
        "reported_cost_nano_usd",
        "saved_nano_usd",
        "attempts",
        "number",
        "max_tokens",
        "image_count",
        "hand_number",
    },
    (column for column in CALL_COLUMNS if column.endswith("_tokens")),
    ATTEMPT_COLUMNS[ATTEMPT_COLUMNS.index("input_uncached") : ATTEMPT_COLUMNS.index("estimated")],
)


def source_name(source: Source) -> str:
    """The name of a source as the ledger writes it."""
    return _SOURCES[source]


def error_code(record: CallRecord) -> str | None:
    """Why a call has no answer: the provider's own code, else the outcome; None: it has one."""
    if record.error_code is None and record.outcome != 0:
        return _OUTCOMES[record.outcome]
    return record.error_code


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.")


def utc_text(wall_ns: int) -> str:
    """A time in nanoseconds since the Unix epoch as the ledger writes it, cut to microseconds."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return _second_text(seconds) + str(1_000_000 + rest // 1000)[1:]


def call_row(record: CallRecord, metadata: str | None = None, spool: str | None = None) -> Row:
    """The row of ``llm_calls``.

    :param metadata: the context's, as JSON
    :param spool: who will write the end of a call that was only begun
    """
    context = record.context
    usage = record.usage or _NOTHING
    input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
    message = record.error_message
    if message is not None and len(message) > _MESSAGE_MAX:
        message = message[:_MESSAGE_MAX]
    created, started, completed = record.created_at, record.started_at, record.completed_at
    first_token = record.first_token
    tags = context.tags
    return (
        record.id,
        record.tenant,
        record.call_type,
        record.status._value_,
        _SOURCES[record.source],
        record.provider,
        record.model,
        record.response_model,
        input_tokens,
        output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        input_tokens + output_tokens,
        record.cost,
        record.reserved,
        record.reported_cost,
        record.saved,
        record.price_source,
        record.latency / 1_000_000,
        record.queued / 1_000_000,
        first_token / 1_000_000 if first_token else None,
        len(record.attempts),
        record.finish_reason,
        error_code(record),
        message,
        record.fallback_used,
        record.cache_hit,
        record.temperature,
        record.max_tokens,
        record.image_count,
        record.image_size,
        context.user_id,
        context.owner_id,
        context.session_id,
        context.task_id,
        context.company_id,
        context.review_id,
        context.game_id,
        context.player_name,
        context.prompt_template,
        context.trace_id,
        context.parent_call_id,
        context.trackable_type,
        context.trackable_id,
        context.hand_number,
        json_text(tags) if tags else None,
        metadata,
        spool,
        utc_text(created),
        utc_text(started) if started else None,
        utc_text(completed) if completed else None,
    )


def add_attempt_rows(values: list[Any], record: CallRecord) -> None:
    """Appends the rows of ``llm_attempts``, one after the other, to a flat list of values.

    The record knows the provider's id of its last request only, so the last attempt gets it.
    """
    attempts = record.attempts
    last = len(attempts) - 1
    created = utc_text(record.created_at) if attempts else ""
    for i, attempt in enumerate(attempts):
        retry_after = attempt.retry_after
        values += (record.id, attempt.number, attempt.provider, attempt.model, _OUTCOMES[attempt.outcome])
        # What a Usage pickles: its buckets in order. Asking for them by name would cost more than the rest of the row.
        buckets: Any = attempt.usage.__getstate__()
        values += buckets
        values += (
            attempt.cost,
            attempt.latency / 1_000_000,
            retry_after / 1_000_000 if retry_after else None,
            record.request_id if i == last else None,
            created,
            utc_text(attempt.started),
        )


def payload_row(record: CallRecord, payload: Payload) -> Row:
    """The row of ``llm_payloads``."""
    return (
        record.id,
        payload.policy,
        payload.system_prompt,
        payload.prompt,
        payload.messages,
        payload.response,
        payload.tool_calls,
        payload.request_sha256,
        payload.response_sha256,
        utc_text(record.created_at),
    )


def repaired(columns: tuple[str, ...], values: list[Any]) -> list[Any]:
    """The same rows, in a flat list, with what a database may refuse made acceptable: text that is no Unicode or too
    long for an index, numbers that come as something else or do not fit 64 bits. For rows that were refused once: a
    stray character in a player's name must not cost the record of a paid call.
    """
    return [_repaired_value(column, value) for column, value in zip(cycle(columns), values, strict=False)]


def _repaired_value(column: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if column in _NUMBERS:
        try:
            number = float(value) if column in _REAL else int(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if abs(number) < _NUMBER_LIMIT else None
    text = str(value).encode("utf-8", "replace").decode().replace("\x00", "")
    if column in _JSON:
        return _NUL.sub(r"\1", text)
    if column in _LONG:
        return text
    return text[:_MESSAGE_MAX] if column == "error_message" else text[:TEXT_MAX]
