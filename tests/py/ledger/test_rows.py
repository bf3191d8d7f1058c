"""What the rows of a call hold."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.making import MILLISECOND, NOW, SECOND, attempts, batch_of, call
from llmcore._core import Usage, ledger_time
from llmcore.ledger import models
from llmcore.ledger.entries import CLOSE, Payload
from llmcore.ledger.rows import ATTEMPT_COLUMNS, CALL_COLUMNS, PAYLOAD_COLUMNS, error_code, repaired
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source

USAGE = Usage(
    input_uncached=1,
    cache_read=2,
    cache_write_5m=4,
    cache_write_1h=8,
    output_text=16,
    reasoning=32,
    audio_input=64,
    audio_cache_read=128,
    audio_output=256,
    image_input=512,
    image_output=1024,
    images=3,
    estimated=True,
)


def rows_of(record: CallRecord, kind: int = CLOSE, payload: Payload | None = None) -> tuple[list[Any], ...]:
    batch = batch_of((kind, record, payload))
    batch.choose(0)
    return batch.rows("spool")


def row_of(record: CallRecord) -> dict[str, Any]:
    return dict(zip(CALL_COLUMNS, rows_of(record)[1], strict=True))


def attempt_rows_of(record: CallRecord) -> list[dict[str, Any]]:
    values = rows_of(record)[2]
    width = len(ATTEMPT_COLUMNS)
    assert len(values) % width == 0
    rows = [values[start : start + width] for start in range(0, len(values), width)]
    return [dict(zip(ATTEMPT_COLUMNS, row, strict=True)) for row in rows]


def test_the_columns_are_those_of_the_tables_in_their_order() -> None:
    assert tuple(models.llm_calls.c.keys()) == CALL_COLUMNS
    assert tuple(models.llm_attempts.c.keys()) == ATTEMPT_COLUMNS


def test_a_row_holds_all_of_a_call() -> None:
    context = CallContext(
        user_id="user",
        owner_id="owner",
        session_id="session",
        task_id="task",
        company_id="company",
        review_id="review",
        game_id="game",
        player_name="player",
        hand_number=7,
        prompt_template="template",
        trace_id="trace",
        parent_call_id="parent",
        trackable_type="Review",
        trackable_id="12",
        tags=("a", "b"),
        metadata={"environment": "production", "n": 1},
    )
    tries = attempts(USAGE, [Outcome.SERVER_ERROR, Outcome.OK])
    record = CallRecord(
        id="0190a8e5-0000-7000-8000-000000000001",
        call_type="rag_query",
        status=LLMCallStatusEnum.FALLBACK,
        outcome=Outcome.OK,
        source=Source.PROVIDER,
        provider="openai",
        model="gpt-4o",
        context=context,
        response_model="gpt-4o-2024-08-06",
        usage=USAGE,
        cost=123_456_789,
        saved=42,
        price_source="genai-prices",
        latency=1234 * MILLISECOND + 567_000,
        queued=5 * MILLISECOND,
        first_token=250 * MILLISECOND,
        attempts=tries,
        finish_reason="length",
        error_code=None,
        error_message=None,
        fallback_used=True,
        cache_hit=False,
        temperature=0.5,
        max_tokens=100,
        image_count=3,
        image_size="1024x1024",
        created_at=NOW,
        started_at=NOW + SECOND,
        completed_at=NOW + 2 * SECOND + 1_999,
        request_id="req_1",
        tenant="acme",
        reserved=200_000_000,
        reported_cost=123_000_000,
    )

    row = row_of(record)

    for name in CallContext.__struct_fields__:
        if name not in ("tags", "metadata"):
            assert row.pop(name) == getattr(context, name)
    assert json.loads(row.pop("tags")) == ["a", "b"]
    assert json.loads(row.pop("metadata")) == {"environment": "production", "n": 1}
    assert row == {
        "id": "0190a8e5-0000-7000-8000-000000000001",
        "call_type": "rag_query",
        "tenant": "acme",
        "status": "fallback",
        "source": "provider",
        "provider": "openai",
        "model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "input_tokens": 1 + 2 + 4 + 8 + 64 + 128 + 512,
        "output_tokens": 16 + 32 + 256 + 1024,
        "cached_tokens": 2 + 128,
        "reasoning_tokens": 32,
        "total_tokens": USAGE.total_tokens,
        "cost_nano_usd": 123_456_789,
        "reserved_nano_usd": 200_000_000,
        "reported_cost_nano_usd": 123_000_000,
        "saved_nano_usd": 42,
        "price_source": "genai-prices",
        "latency_ms": 1234.567,
        "queue_ms": 5.0,
        "first_token_ms": 250.0,
        "attempts": 2,
        "finish_reason": "length",
        "error_code": None,
        "error_message": None,
        "fallback_used": True,
        "cache_hit": False,
        "temperature": 0.5,
        "max_tokens": 100,
        "image_count": 3,
        "image_size": "1024x1024",
        "spool": None,
        "created_at": "2026-03-01 12:00:00.000000",
        "started_at": "2026-03-01 12:00:01.000000",
        "completed_at": "2026-03-01 12:00:02.000001",
    }


def test_every_attempt_has_a_row_with_the_buckets_under_their_names() -> None:
    tries = attempts(USAGE, [Outcome.RATE_LIMITED, Outcome.OK], retry_after=2 * SECOND)
    record = call(attempts=tries, request_id="req_1")

    first, second = attempt_rows_of(record)

    assert (first["call_id"], first["number"], first["outcome"]) == (record.id, 1, "rate_limited")
    assert (first["provider"], first["model"]) == ("openai", "gpt-4o-mini")
    assert (first["retry_after_ms"], first["latency_ms"], first["cost_nano_usd"]) == (2000.0, 500.0, 0)
    assert first["started_at"] == "2026-03-01 12:00:00.000000"
    assert first["request_id"] is None
    assert (second["number"], second["outcome"], second["request_id"]) == (2, "ok", "req_1")
    assert second["retry_after_ms"] is None
    assert second["cost_nano_usd"] == tries[1].cost
    buckets = ATTEMPT_COLUMNS[ATTEMPT_COLUMNS.index("input_uncached") : ATTEMPT_COLUMNS.index("cost_nano_usd")]
    assert len(buckets) == 13
    for name in buckets:
        assert second[name] == getattr(USAGE, name), name


def test_what_is_not_known_is_null() -> None:
    record = call(usage=None, cost=None, attempts=[], first_token=0, started_at=0, completed_at=0, call_type=None)

    row = row_of(record)

    unknown = ("cost_nano_usd", "first_token_ms", "started_at", "completed_at", "call_type", "tags", "metadata")
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert (row["total_tokens"], row["attempts"]) == (0, 0)
    assert attempt_rows_of(record) == []


def test_a_call_without_an_answer_always_has_an_error_code() -> None:
    assert error_code(call()) is None
    assert error_code(call(outcome=Outcome.QUEUE_FULL, status=LLMCallStatusEnum.REFUSED)) == "queue_full"
    assert error_code(call(outcome=Outcome.BAD_REQUEST, error_code="unsupported_value")) == "unsupported_value"


def test_values_are_of_the_types_that_drivers_bind_as_they_are() -> None:
    record = call(context=CallContext(user_id="u", tags=("x",), metadata={"k": "v"}), attempts=attempts(USAGE))
    rows = rows_of(record, payload=Payload("full", prompt="hi"))

    assert [len(values) for values in rows] == [0, len(CALL_COLUMNS), len(ATTEMPT_COLUMNS), len(PAYLOAD_COLUMNS)]
    assert {type(value) for values in rows for value in values} == {str, int, float, bool, type(None)}


def test_metadata_that_json_cannot_hold_does_not_cost_the_row() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop

    moment = datetime(2026, 3, 1, tzinfo=UTC)
    assert json.loads(row_of(call(context=CallContext(metadata={"at": moment, "o": 1j})))["metadata"])["o"] == "1j"
    assert "unwritable" in json.loads(row_of(call(context=CallContext(metadata=loop)))["metadata"])


def test_a_long_error_message_is_cut() -> None:
    assert len(row_of(call(error_message="x" * 100_000))["error_message"]) == 2000


@given(st.integers(min_value=0, max_value=4_102_444_800 * SECOND))
def test_times_read_back_as_the_moment_they_were(wall: int) -> None:
    text = ledger_time(wall)
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall // 1000)

    assert datetime.fromisoformat(text).replace(tzinfo=UTC) == expected
    assert len(text) == 26
    with closing(sqlite3.connect(":memory:")) as database:
        assert database.execute("SELECT unixepoch(?)", (text[:19],)).fetchone() == (wall // SECOND,)


strange = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.complex_numbers(),
    st.lists(st.integers()),
)


@given(st.lists(strange, min_size=len(CALL_COLUMNS), max_size=len(CALL_COLUMNS)))
def test_a_repaired_row_can_always_be_bound(values: list[Any]) -> None:
    bound = repaired(CALL_COLUMNS, values)

    assert len(bound) == len(CALL_COLUMNS)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"SELECT {', '.join('?' * len(bound))}", bound)
    for column, value in zip(CALL_COLUMNS, bound, strict=True):
        if column.endswith("_tokens"):
            assert value is None or isinstance(value, int)
        if isinstance(value, str):
            value.encode()


def test_repairing_changes_no_sound_row() -> None:
    record = call(context=CallContext(user_id="u", hand_number=3, tags=("x",), metadata={"k": "v"}))
    row = rows_of(record)[1]

    assert repaired(CALL_COLUMNS, row) == row


@pytest.mark.parametrize("status", LLMCallStatusEnum)
def test_every_status_has_its_own_name_in_the_row(status: LLMCallStatusEnum) -> None:
    assert row_of(call(status=status))["status"] == status.value
