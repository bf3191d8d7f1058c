"""The tables of the ledger, for SQLite and PostgreSQL.

The writer does not pass through this file (see rows.py); readers do. What is written here is what the newest migration
leaves behind: a test compares the two.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import JSONB

from llmcore.types import LLMCallStatusEnum, Source

__all__ = [
    "PARTITIONED",
    "UtcDateTime",
    "llm_attempts",
    "llm_calls",
    "llm_payloads",
    "llm_spools",
    "llm_sums",
    "metadata",
]

#: what PostgreSQL keeps a table for every month of, by ``created_at``
PARTITIONED = ("llm_calls", "llm_attempts", "llm_payloads")


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. Takes aware and naive datetimes (naive means UTC) and always gives aware ones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _one_of(column: str, values: Iterable[str]) -> str:
    # Not `IN (...)`: SQLite builds such a list anew for every row that it inserts, a fifth of the cost of the row.
    return " OR ".join(f"{column} = '{value}'" for value in values)


def _not_negative(*columns: str) -> str:
    return " AND ".join(f"{column} >= 0" for column in columns)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _text(name: str, *, nullable: bool = True) -> Column[str]:
    return Column(name, String, nullable=nullable)


def _uuid(column: str) -> str:
    return f"length({column}) = 36 AND {column} LIKE '________-____-____-____-____________'"


def _call_id(table: str) -> Column[str]:
    # In SQLite only: a month that others refer to could not be dropped in PostgreSQL.
    call = ForeignKey("llm_calls.id", name=f"fk_{table}_call", ondelete="CASCADE")
    return Column("call_id", String(36), call, primary_key=True)


_json: Any = JSON().with_variant(JSONB(), "postgresql")

metadata = MetaData()

#: one row per logical call
llm_calls = Table(
    "llm_calls",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String, nullable=False, server_default="default"),
    _text("call_type"),
    _text("status", nullable=False),
    _text("source", nullable=False),
    _text("provider", nullable=False),
    _text("model", nullable=False),
    _text("response_model"),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("cached_tokens"),
    _count("reasoning_tokens"),
    _count("total_tokens"),
    Column("cost_nano_usd", BigInteger),
    Column("reserved_nano_usd", BigInteger),
    Column("reported_cost_nano_usd", BigInteger),
    _count("saved_nano_usd"),
    _text("price_source"),
    Column("latency_ms", Double),
    Column("queue_ms", Double),
    Column("first_token_ms", Double),
    _count("attempts"),
    _text("finish_reason"),
    _text("error_code"),
    Column("error_message", Text),
    Column("fallback_used", Boolean, nullable=False),
    Column("cache_hit", Boolean, nullable=False),
    Column("temperature", Double),
    Column("max_tokens", BigInteger),
    _count("image_count"),
    _text("image_size"),
    _text("user_id"),
    _text("owner_id"),
    _text("session_id"),
    _text("task_id"),
    _text("company_id"),
    _text("review_id"),
    _text("game_id"),
    _text("player_name"),
    _text("prompt_template"),
    _text("trace_id"),
    _text("parent_call_id"),
    _text("trackable_type"),
    _text("trackable_id"),
    Column("hand_number", BigInteger),
    Column("tags", _json),
    Column("metadata", _json),
    _text("spool"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    CheckConstraint(_uuid("id"), name="ck_llm_calls_id"),
    CheckConstraint(_one_of("status", (status.value for status in LLMCallStatusEnum)), name="ck_llm_calls_status"),
    CheckConstraint(_one_of("source", (source.name.lower() for source in Source)), name="ck_llm_calls_source"),
    CheckConstraint(
        _not_negative("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "total_tokens"),
        name="ck_llm_calls_tokens",
    ),
    CheckConstraint(
        _not_negative("cost_nano_usd", "reserved_nano_usd", "reported_cost_nano_usd", "saved_nano_usd"),
        name="ck_llm_calls_money",
    ),
    CheckConstraint(_not_negative("latency_ms", "queue_ms", "first_token_ms"), name="ck_llm_calls_times"),
    CheckConstraint(_not_negative("attempts", "image_count"), name="ck_llm_calls_counts"),
)

# Most calls have few of these set, and what is not set needs no place in an index.
for _name in ("owner_id", "user_id", "company_id", "game_id", "trace_id", "parent_call_id", "call_type"):
    _set = llm_calls.c[_name].is_not(None)
    Index(f"ix_llm_calls_{_name}", llm_calls.c[_name], sqlite_where=_set, postgresql_where=_set)
for _name in ("created_at", "model"):
    Index(f"ix_llm_calls_{_name}", llm_calls.c[_name])
_begun = llm_calls.c.status == "pending"
Index("ix_llm_calls_pending", llm_calls.c.spool, sqlite_where=_begun, postgresql_where=_begun)

_BUCKETS = (
    *("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output_text", "reasoning"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_output", "images"),
)

#: one row per physical attempt
llm_attempts = Table(
    "llm_attempts",
    metadata,
    _call_id("llm_attempts"),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _text("provider", nullable=False),
    _text("model", nullable=False),
    _text("outcome", nullable=False),
    *(_count(bucket) for bucket in _BUCKETS),
    Column("estimated", Boolean, nullable=False),
    Column("cost_nano_usd", BigInteger),
    Column("latency_ms", Double),
    Column("retry_after_ms", Double),
    _text("request_id"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column(
        "web_searches",
        BigInteger,
        CheckConstraint("web_searches >= 0", name="ck_llm_attempts_web_searches"),
        nullable=False,
        server_default="0",
    ),
    CheckConstraint(_uuid("call_id"), name="ck_llm_attempts_call_id"),
    CheckConstraint("number >= 1", name="ck_llm_attempts_number"),
    CheckConstraint(_not_negative(*_BUCKETS), name="ck_llm_attempts_usage"),
    CheckConstraint(_not_negative("cost_nano_usd"), name="ck_llm_attempts_money"),
    CheckConstraint(_not_negative("latency_ms", "retry_after_ms"), name="ck_llm_attempts_times"),
    # The rows of a call lie together and there is no second tree for the key.
    sqlite_with_rowid=False,
)

#: what was said in a call, apart from the figures: as much of it as the content policy lets through
llm_payloads = Table(
    "llm_payloads",
    metadata,
    _call_id("llm_payloads"),
    _text("policy", nullable=False),
    Column("system_prompt", Text),
    Column("prompt", Text),
    Column("messages", _json),
    Column("response", Text),
    Column("tool_calls", _json),
    _text("request_sha256"),
    _text("response_sha256"),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint(_uuid("call_id"), name="ck_llm_payloads_call_id"),
    CheckConstraint(_one_of("policy", ("full", "hash")), name="ck_llm_payloads_policy"),
)

#: how far each process's spool has been written; moved in the transaction that writes
llm_spools = Table(
    "llm_spools",
    metadata,
    Column("id", String, primary_key=True),
    _count("position"),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint(_not_negative("position"), name="ck_llm_spools_position"),
)

_SUMMED = (
    *("calls", "attempts", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("cost_nano_usd", "unpriced_calls", "saved_nano_usd", "queue_ns", "queue_ns_max"),
)

#: what the calls of an hour or a day come to, apart by all that tells them apart; see rollups.py
llm_sums = Table(
    "llm_sums",
    metadata,
    Column("scope", String, primary_key=True),
    Column("start", UtcDateTime, primary_key=True),
    *(
        Column(name, String, primary_key=True)
        for name in ("name", "tenant", "call_type", "provider", "model", "status", "source", "error_code")
    ),
    *(_count(name) for name in _SUMMED),
    Column("latency", LargeBinary),
    CheckConstraint(_one_of("scope", ("hour", "day", "user", "company")), name="ck_llm_sums_scope"),
    CheckConstraint(_not_negative(*_SUMMED), name="ck_llm_sums_amounts"),
    sqlite_with_rowid=False,
)
