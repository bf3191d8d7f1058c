"""The views that show calls as the tables of other programs do."""

from pathlib import Path

import pytest

from ledger.making import ask, call
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, LLMCallStatusEnum, Outcome

COLUMNS = {
    "api_usage": (
        "id created_at game_id owner_id player_name hand_number call_type prompt_template provider model input_tokens "
        "output_tokens cached_tokens reasoning_tokens image_count image_size latency_ms status finish_reason "
        "error_code fallback_used"
    ),
    "llm_requests": (
        "id user_id provider model status tokens_used cost_estimate input_tokens output_tokens temperature max_tokens "
        "latency error created_at completed_at messages response"
    ),
    "llm_usage_records": (
        "id trackable_type trackable_id user_id llm request_type token_count micro_usd prompt created_at"
    ),
}


@pytest.mark.parametrize("view", sorted(COLUMNS))
def test_columns(view: str, path: Path) -> None:
    UsageTracker(str(path)).check()
    assert [row[1] for row in ask(path, f"PRAGMA table_info({view})")] == COLUMNS[view].split()


def test_api_usage_tells_ok_fallback_and_error_apart(path: Path) -> None:
    tracker = UsageTracker(str(path))
    for status in LLMCallStatusEnum:
        tracker.record(call(status=status, context=CallContext(game_id=status.value)))
    tracker.close()

    found = dict(ask(path, "SELECT game_id, status FROM api_usage"))
    assert found.pop("success") == found.pop("cached") == "ok"
    assert found.pop("fallback") == "fallback"
    assert "pending" not in found
    assert set(found.values()) == {"error"}
    assert len(found) == 6


def test_llm_requests_speaks_dollars(path: Path) -> None:
    tracker = UsageTracker(str(path))
    tracker.record(call(cost=1_234_567_890, error_message="no", outcome=Outcome.OK))
    tracker.record(call(cost=None))
    tracker.close()
    found = ask(path, "SELECT tokens_used, cost_estimate, error FROM llm_requests ORDER BY cost_estimate DESC")
    assert found == [(120, 1.23456789, "no"), (120, None, None)]


@pytest.mark.parametrize(
    ("nano", "micro"),
    [(None, None), (0, 0), (499, 0), (500, 0), (501, 1), (1499, 1), (1500, 2), (2500, 2), (2501, 3), (10**15, 10**12)],
)
def test_llm_usage_records_round_half_to_even(nano: int | None, micro: int | None, path: Path) -> None:
    tracker = UsageTracker(str(path))
    tracker.record(call(cost=nano, context=CallContext(trackable_type="Assignment", trackable_id="7", user_id="u")))
    tracker.close()
    query = "SELECT trackable_type, trackable_id, user_id, llm, request_type, token_count, micro_usd "
    found = ask(path, query + "FROM llm_usage_records")
    assert found == [("Assignment", "7", "u", "gpt-4o-mini", "chat", 120, micro)]
