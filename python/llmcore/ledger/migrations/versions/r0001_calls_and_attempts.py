"""Calls, their attempts, their texts, sums by hour and day, and how far each spool is written.

In PostgreSQL the three tables that grow are partitioned by month, so that old months are dropped instead of deleted row
by row; a partitioned table's key holds what it is partitioned by. What refers to a call is not declared there: it would
keep a month from being dropped.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_PARTITIONED = ("llm_payloads", "llm_attempts", "llm_calls")
_MONTHLY = "RANGE (created_at)"
_VIEWS = ("api_usage", "llm_requests", "llm_usage_records")
_INDEXED_WHERE_SET = ("owner_id", "user_id", "company_id", "game_id", "trace_id", "parent_call_id", "call_type")
_INDEXED = ("created_at", "model")
_BUCKETS = (
    *("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output_text", "reasoning"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_output", "images"),
)

_SUMMED = (
    *("calls", "attempts", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("cost_nano_usd", "unpriced_calls", "saved_nano_usd", "queue_ns", "queue_ns_max"),
)


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


def _not_negative(*columns: str) -> str:
    return " AND ".join(f"{column} >= 0" for column in columns)


def _uuid(column: str) -> str:
    return f"length({column}) = 36 AND {column} LIKE '________-____-____-____-____________'"


def upgrade() -> None:
    postgresql = op.get_context().dialect.name == "postgresql"

    def key(*columns: str) -> sa.PrimaryKeyConstraint:
        return sa.PrimaryKeyConstraint(*columns, *(["created_at"] if postgresql else []))

    def of_a_call(table: str) -> list[sa.ForeignKeyConstraint]:
        if postgresql:
            return []
        name = f"fk_{table}_call"
        return [sa.ForeignKeyConstraint(["call_id"], ["llm_calls.id"], name=name, ondelete="CASCADE")]

    op.create_table(
        "llm_calls",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False, server_default="default"),
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
        _integer("reserved_nano_usd"),
        _integer("reported_cost_nano_usd"),
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
        _text("spool"),
        _time("created_at", nullable=False),
        _time("started_at"),
        _time("completed_at"),
        key("id"),
        _check("ck_llm_calls_id", _uuid("id")),
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
            _not_negative("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "total_tokens"),
        ),
        _check(
            "ck_llm_calls_money",
            _not_negative("cost_nano_usd", "reserved_nano_usd", "reported_cost_nano_usd", "saved_nano_usd"),
        ),
        _check("ck_llm_calls_times", _not_negative("latency_ms", "queue_ms", "first_token_ms")),
        _check("ck_llm_calls_counts", _not_negative("attempts", "image_count")),
        postgresql_partition_by=_MONTHLY,
    )
    for name in _INDEXED_WHERE_SET:
        condition = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_llm_calls_{name}", "llm_calls", [name], sqlite_where=condition, postgresql_where=condition)
    for name in _INDEXED:
        op.create_index(f"ix_llm_calls_{name}", "llm_calls", [name])
    # Who looks after a crash for calls that were begun and never ended finds only those.
    begun = sa.text("status = 'pending'")
    op.create_index("ix_llm_calls_pending", "llm_calls", ["spool"], sqlite_where=begun, postgresql_where=begun)

    op.create_table(
        "llm_attempts",
        sa.Column("call_id", sa.String(36), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        _text("provider", nullable=False),
        _text("model", nullable=False),
        _text("outcome", nullable=False),
        *(_count(bucket) for bucket in _BUCKETS),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        _integer("cost_nano_usd"),
        _real("latency_ms"),
        _real("retry_after_ms"),
        _text("request_id"),
        _time("created_at", nullable=False),
        _time("started_at", nullable=False),
        key("call_id", "number"),
        *of_a_call("llm_attempts"),
        _check("ck_llm_attempts_call_id", _uuid("call_id")),
        _check("ck_llm_attempts_number", "number >= 1"),
        _check("ck_llm_attempts_usage", _not_negative(*_BUCKETS)),
        _check("ck_llm_attempts_money", "cost_nano_usd >= 0"),
        _check("ck_llm_attempts_times", _not_negative("latency_ms", "retry_after_ms")),
        sqlite_with_rowid=False,
        postgresql_partition_by=_MONTHLY,
    )

    op.create_table(
        "llm_payloads",
        sa.Column("call_id", sa.String(36), nullable=False),
        _text("policy", nullable=False),
        sa.Column("system_prompt", sa.Text()),
        sa.Column("prompt", sa.Text()),
        _json("messages"),
        sa.Column("response", sa.Text()),
        _json("tool_calls"),
        _text("request_sha256"),
        _text("response_sha256"),
        _time("created_at", nullable=False),
        key("call_id"),
        *of_a_call("llm_payloads"),
        _check("ck_llm_payloads_call_id", _uuid("call_id")),
        _check("ck_llm_payloads_policy", "policy = 'full' OR policy = 'hash'"),
        postgresql_partition_by=_MONTHLY,
    )

    op.create_table(
        "llm_spools",
        sa.Column("id", sa.String(), nullable=False),
        _count("position"),
        _time("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        _check("ck_llm_spools_position", "position >= 0"),
    )

    names = ("name", "tenant", "call_type", "provider", "model", "status", "source", "error_code")
    op.create_table(
        "llm_sums",
        _text("scope", nullable=False),
        _time("start", nullable=False),
        *(_text(name, nullable=False) for name in names),
        *(_count(name) for name in _SUMMED),
        sa.Column("latency", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("scope", "start", *names),
        _check("ck_llm_sums_scope", "scope = 'hour' OR scope = 'day' OR scope = 'user' OR scope = 'company'"),
        _check("ck_llm_sums_amounts", _not_negative(*_SUMMED)),
        sqlite_with_rowid=False,
    )

    if postgresql:
        # What falls outside every month that was made ahead is kept too.
        for table in _PARTITIONED:
            op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    for view, query in _views().items():
        op.execute(f"CREATE VIEW {view} AS {query}")


def _views() -> dict[str, str]:
    # Integer division, so that exactly half a micro-dollar goes to the even one, as everywhere else.
    micro_usd = (
        "cost_nano_usd / 1000 + CASE WHEN cost_nano_usd % 1000 > 500 "
        "OR (cost_nano_usd % 1000 = 500 AND (cost_nano_usd / 1000) % 2 = 1) THEN 1 ELSE 0 END"
    )
    return {
        "api_usage": (
            "SELECT id, created_at, game_id, owner_id, player_name, hand_number, call_type, prompt_template, "
            "provider, model, input_tokens, output_tokens, cached_tokens, reasoning_tokens, image_count, image_size, "
            "latency_ms, CASE WHEN status = 'success' OR status = 'cached' THEN 'ok' "
            "WHEN status = 'fallback' THEN 'fallback' ELSE 'error' END AS status, "
            "finish_reason, error_code, fallback_used FROM llm_calls WHERE status <> 'pending'"
        ),
        "llm_requests": (
            "SELECT c.id, c.user_id, c.provider, c.model, c.status, c.total_tokens AS tokens_used, "
            "c.cost_nano_usd / 1000000000.0 AS cost_estimate, c.input_tokens, c.output_tokens, "
            "c.temperature, c.max_tokens, c.latency_ms AS latency, c.error_message AS error, "
            "c.created_at, c.completed_at, p.messages, p.response FROM llm_calls AS c "
            "LEFT JOIN llm_payloads AS p ON p.call_id = c.id AND p.created_at = c.created_at"
        ),
        "llm_usage_records": (
            "SELECT c.id, c.trackable_type, c.trackable_id, c.user_id, c.model AS llm, c.call_type AS request_type, "
            f"c.total_tokens AS token_count, {micro_usd.replace('cost_nano_usd', 'c.cost_nano_usd')} AS micro_usd, "
            "p.prompt, c.created_at FROM llm_calls AS c "
            "LEFT JOIN llm_payloads AS p ON p.call_id = c.id AND p.created_at = c.created_at "
            "WHERE c.status <> 'pending'"
        ),
    }


def downgrade() -> None:
    for view in _VIEWS:
        op.execute(f"DROP VIEW {view}")
    op.drop_table("llm_sums")
    op.drop_table("llm_spools")
    for table in _PARTITIONED:
        op.drop_table(table)
