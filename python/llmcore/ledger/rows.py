"""The columns of the ledger's rows, and what to do with values that a database refuses.

:class:`llmcore._core.LedgerBatch` makes rows of these columns from a spool's entries: plain str, int, float, bool and
None, because that runs once per call, and what a driver binds as it is costs a few microseconds. Times are text in UTC
in the form in which SQLAlchemy keeps a DateTime in SQLite and PostgreSQL reads a timestamp:
``2026-03-01 12:00:00.000000``.
"""

import re
from itertools import cycle
from typing import Any

from llmcore.types import CallRecord, Outcome, Source

__all__ = [
    "ATTEMPT_COLUMNS",
    "CALL_COLUMNS",
    "PAYLOAD_COLUMNS",
    "TEXT_MAX",
    "error_code",
    "repaired",
    "source_name",
]

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
    *("cost_nano_usd", "latency_ms", "retry_after_ms", "request_id", "created_at", "started_at", "web_searches"),
)

PAYLOAD_COLUMNS = (
    *("call_id", "policy", "system_prompt", "prompt", "messages", "response", "tool_calls"),
    *("request_sha256", "response_sha256", "created_at"),
)

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
