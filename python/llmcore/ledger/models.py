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
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import JSONB

from llmcore.types import LLMCallStatusEnum, Source

__all__ = ["UtcDateTime", "llm_attempts", "llm_calls", "metadata"]


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


_json: Any = JSON().with_variant(JSONB(), "postgresql")

metadata = MetaData()

#: one row per logical call
llm_calls = Table(
    "llm_calls",
    metadata,
    Column("id", String(36), primary_key=True),
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
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    CheckConstraint("length(id) = 36", name="ck_llm_calls_id"),
    CheckConstraint(_one_of("status", (status.value for status in LLMCallStatusEnum)), name="ck_llm_calls_status"),
    CheckConstraint(_one_of("source", (source.name.lower() for source in Source)), name="ck_llm_calls_source"),
    CheckConstraint(
        _not_negative("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "total_tokens"),
        name="ck_llm_calls_tokens",
    ),
    CheckConstraint(_not_negative("cost_nano_usd", "saved_nano_usd"), name="ck_llm_calls_money"),
    CheckConstraint(_not_negative("latency_ms", "queue_ms", "first_token_ms"), name="ck_llm_calls_times"),
    CheckConstraint(_not_negative("attempts", "image_count"), name="ck_llm_calls_counts"),
)

# Most calls have few of these set, and what is not set needs no place in an index.
for _name in ("owner_id", "user_id", "company_id", "game_id", "trace_id", "call_type"):
    _set = llm_calls.c[_name].is_not(None)
    Index(f"ix_llm_calls_{_name}", llm_calls.c[_name], sqlite_where=_set, postgresql_where=_set)
for _name in ("created_at", "model"):
    Index(f"ix_llm_calls_{_name}", llm_calls.c[_name])

#: one row per physical attempt
llm_attempts = Table(
    "llm_attempts",
    metadata,
    Column(
        "call_id",
        String(36),
        ForeignKey("llm_calls.id", name="fk_llm_attempts_call", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _text("provider", nullable=False),
    _text("model", nullable=False),
    _text("outcome", nullable=False),
    _count("input_uncached"),
    _count("cache_read"),
    _count("cache_write_5m"),
    _count("cache_write_1h"),
    _count("output_text"),
    _count("reasoning"),
    _count("audio_input"),
    _count("audio_cache_read"),
    _count("audio_output"),
    _count("image_input"),
    _count("image_output"),
    _count("images"),
    Column("estimated", Boolean, nullable=False),
    Column("cost_nano_usd", BigInteger),
    Column("latency_ms", Double),
    Column("retry_after_ms", Double),
    _text("request_id"),
    Column("started_at", UtcDateTime, nullable=False),
    CheckConstraint("length(call_id) = 36", name="ck_llm_attempts_call_id"),
    CheckConstraint("number >= 1", name="ck_llm_attempts_number"),
    CheckConstraint(
        _not_negative(
            *("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output_text", "reasoning"),
            *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_output", "images"),
        ),
        name="ck_llm_attempts_usage",
    ),
    CheckConstraint(_not_negative("cost_nano_usd"), name="ck_llm_attempts_money"),
    CheckConstraint(_not_negative("latency_ms", "retry_after_ms"), name="ck_llm_attempts_times"),
    # The rows of a call lie together and there is no second tree for the key.
    sqlite_with_rowid=False,
)
