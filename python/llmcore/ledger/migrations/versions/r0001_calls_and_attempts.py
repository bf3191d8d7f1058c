"""Calls and their attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INDEXED_WHERE_SET = ("owner_id", "user_id", "company_id", "game_id", "trace_id", "call_type")
_INDEXED = ("created_at", "model")


def _text(name: str, *, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger())


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double())


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON().with_variant(JSONB(), "postgresql"))


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=name)


def upgrade() -> None:
    op.create_table(
        "llm_calls",
        sa.Column("id", sa.String(36), primary_key=True),
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
        _integer("cost_nano_usd"),
        _count("saved_nano_usd"),
        _text("price_source"),
        _real("latency_ms"),
        _real("queue_ms"),
        _real("first_token_ms"),
        _count("attempts"),
        _text("finish_reason"),
        _text("error_code"),
        sa.Column("error_message", sa.Text()),
        sa.Column("fallback_used", sa.Boolean(), nullable=False),
        sa.Column("cache_hit", sa.Boolean(), nullable=False),
        _real("temperature"),
        _integer("max_tokens"),
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
        _integer("hand_number"),
        _json("tags"),
        _json("metadata"),
        _time("created_at", nullable=False),
        _time("started_at"),
        _time("completed_at"),
        _check("ck_llm_calls_id", "length(id) = 36"),
        _check(
            "ck_llm_calls_status",
            "status = 'pending' OR status = 'success' OR status = 'cached' OR status = 'fallback' OR status = 'error' "
            "OR status = 'timeout' OR status = 'rate_limited' OR status = 'refused' OR status = 'cancelled' "
            "OR status = 'lost'",
        ),
        _check(
            "ck_llm_calls_source", "source = 'none' OR source = 'provider' OR source = 'cache' OR source = 'joined'"
        ),
        _check(
            "ck_llm_calls_tokens",
            "input_tokens >= 0 AND output_tokens >= 0 AND cached_tokens >= 0 AND reasoning_tokens >= 0 "
            "AND total_tokens >= 0",
        ),
        _check("ck_llm_calls_money", "cost_nano_usd >= 0 AND saved_nano_usd >= 0"),
        _check("ck_llm_calls_times", "latency_ms >= 0 AND queue_ms >= 0 AND first_token_ms >= 0"),
        _check("ck_llm_calls_counts", "attempts >= 0 AND image_count >= 0"),
    )
    for name in _INDEXED_WHERE_SET:
        condition = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_llm_calls_{name}", "llm_calls", [name], sqlite_where=condition, postgresql_where=condition)
    for name in _INDEXED:
        op.create_index(f"ix_llm_calls_{name}", "llm_calls", [name])

    op.create_table(
        "llm_attempts",
        sa.Column("call_id", sa.String(36), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
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
        sa.Column("estimated", sa.Boolean(), nullable=False),
        _integer("cost_nano_usd"),
        _real("latency_ms"),
        _real("retry_after_ms"),
        _text("request_id"),
        _time("started_at", nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["llm_calls.id"], name="fk_llm_attempts_call", ondelete="CASCADE"),
        _check("ck_llm_attempts_call_id", "length(call_id) = 36"),
        _check("ck_llm_attempts_number", "number >= 1"),
        _check(
            "ck_llm_attempts_usage",
            "input_uncached >= 0 AND cache_read >= 0 AND cache_write_5m >= 0 AND cache_write_1h >= 0 "
            "AND output_text >= 0 AND reasoning >= 0 AND audio_input >= 0 AND audio_cache_read >= 0 "
            "AND audio_output >= 0 AND image_input >= 0 AND image_output >= 0 AND images >= 0",
        ),
        _check("ck_llm_attempts_money", "cost_nano_usd >= 0"),
        _check("ck_llm_attempts_times", "latency_ms >= 0 AND retry_after_ms >= 0"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("llm_attempts")
    op.drop_table("llm_calls")
