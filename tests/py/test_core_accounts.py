"""The parts of the engine that count, and the one that writes, each used alone: see docs/components/."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import (
    Backoff,
    BackoffConfig,
    Budget,
    BudgetRule,
    ErrorRecovery,
    ErrorRecoveryConfig,
    LatencySketch,
    OfflineGenerator,
    Outcome,
    Period,
    RateLimiter,
    RateLimiterConfig,
    RequestQueue,
    RequestQueueConfig,
    ResponseCache,
    ResponseCacheConfig,
    TokenTracker,
    Usage,
    offline_problem,
)

MS = 1_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND


# --- Budget -----------------------------------------------------------------------------------------------------------


def test_money_is_set_aside_in_every_rule_or_in_none() -> None:
    budget = Budget([BudgetRule("global", limit=1000), BudgetRule("user=ada", limit=100)])
    ada, bob = [("user", "ada")], [("user", "bob")]
    first = budget.reserve(ada, 60, wall=0)
    assert first is not None
    assert first.amount == 60
    assert budget.reserve(ada, 41, wall=0) is None
    refusal = budget.refusal(ada, 41, wall=0)
    assert refusal is not None
    assert (refusal.scope, refusal.limit, refusal.spent, refusal.reserved) == ("user=ada", 100, 0, 60)
    assert (refusal.rule, refusal.needed, refusal.period, refusal.price_unknown) == (1, 41, Period.TOTAL, False)
    assert budget.reserve(bob, 940, wall=0) is not None
    assert [account["reserved_nano_usd"] for account in budget.accounts()] == [1000, 60]


def test_a_call_is_charged_what_it_cost_and_alerts_come_once() -> None:
    budget = Budget([BudgetRule(limit=100, alert_percent=[50, 80])])
    percents = []
    for cost in (40, 30, 5, 10):
        held = budget.reserve([], cost + 5, wall=0)
        assert held is not None
        percents.append([alert.percent for alert in budget.settle(held, cost, wall=0)])
    assert percents == [[], [50], [], [80]]
    (account,) = budget.accounts()
    assert account == {
        "scope": "global",
        "period": "total",
        "limit_nano_usd": 100,
        "spent_nano_usd": 85,
        "reserved_nano_usd": 0,
    }


def test_a_reservation_of_money_ends_once_and_where_it_was_made() -> None:
    rules = [BudgetRule(limit=100)]
    budget, other = Budget(rules), Budget(rules)
    held = budget.reserve([], 10, wall=0)
    assert held is not None
    with pytest.raises(ValueError, match="another object"):
        other.settle(held, 10, wall=0)
    budget.release(held)
    assert budget.reserved() == 0
    with pytest.raises(ValueError, match="ended already"):
        budget.settle(held, 10, wall=0)
    assert budget.accounts() == other.accounts() == []


def test_a_new_hour_starts_from_nothing_and_every_value_has_its_own_account() -> None:
    budget = Budget([BudgetRule("user=*", Period.HOUR, limit=100)])
    for name in ("ada", "bob"):
        held = budget.reserve([("user", name)], 100, wall=HOUR - 1)
        assert held is not None
        budget.settle(held, 100, wall=HOUR - 1)
    assert [account["scope"] for account in budget.accounts()] == ["user=ada", "user=bob"]
    assert budget.refusal([("user", "ada")], 1, wall=HOUR - 1) is not None
    assert budget.refusal([("user", "ada")], 100, wall=HOUR) is None
    assert budget.refusal([("company", "ada")], None, wall=HOUR) is None, "nobody watches"


def test_an_unknown_price_is_refused_where_a_budget_watches() -> None:
    refusal = Budget([BudgetRule(limit=10**18)]).refusal([], None, wall=0)
    assert refusal is not None
    assert refusal.price_unknown


@pytest.mark.parametrize(
    ("period", "span"), [(Period.HOUR, HOUR), (Period.DAY, 24 * HOUR), (Period.MONTH, 31 * 24 * HOUR)]
)
def test_a_threshold_alerts_once_per_period_and_account(period: Period, span: int) -> None:
    budget = Budget([BudgetRule("user=*", period, 100, alert_percent=[50, 80])])

    def spend(user: str, amount: int, wall: int) -> list[int]:
        held = budget.reserve([("user", user)], amount, wall)
        assert held is not None
        return [alert.percent for alert in budget.settle(held, amount, wall)]

    assert [spend("ada", 30, 0), spend("ada", 30, 1), spend("ada", 10, 2), spend("ada", 20, 3)] == [[], [50], [], [80]]
    assert spend("bob", 90, 4) == [50, 80]
    assert spend("ada", 60, span) == [50]
    stats = budget.stats()
    assert (stats["reserved"], stats["settled"], stats["alerts"], stats["accounts"]) == (6, 6, 5, 1)
    assert budget.refusal([("user", "ada")], 50, span) is not None
    assert budget.stats()["refused"] == 1


# --- TokenTracker and LatencySketch -----------------------------------------------------------------------------------


def test_usage_is_kept_per_model_type_and_hour_and_in_all() -> None:
    tracker = TokenTracker(hours_kept=2)
    usage = Usage(100, 20, output_text=30, reasoning=7)
    tracker.record("m", "chat", usage, 5, 10 * MS, wall=0)
    tracker.record("m", "chat", usage, None, 20 * MS, wall=HOUR)
    tracker.record("n", "", Usage(), None, 0, Outcome.TIMEOUT, attempts=3, wall=2 * HOUR)
    tracker.record("m", "chat", Usage(), 0, 0, cache_hit=True, attempts=0, saved=4, wall=2 * HOUR)
    totals = tracker.totals()
    assert (totals["calls"], totals["errors"], totals["cache_hits"], totals["attempts"]) == (4, 1, 1, 5)
    assert (totals["input_tokens"], totals["cached_tokens"], totals["output_tokens"]) == (240, 40, 74)
    assert (totals["reasoning_tokens"], totals["total_tokens"]) == (14, 314)
    assert (totals["cost_nano_usd"], totals["unpriced_calls"], totals["saved_nano_usd"]) == (5, 1, 4)
    assert totals["latency"]["max_ns"] == 20 * MS
    assert [(row["model"], row["call_type"], row["calls"]) for row in tracker.by_model_and_type()] == [
        ("m", "chat", 3),
        ("n", "", 1),
    ]
    assert [(row["hour"], row["model"], row["calls"]) for row in tracker.by_hour()] == [
        (1, "m", 1),
        (2, "m", 1),
        (2, "n", 1),
    ]


def test_quantiles_are_within_a_percent_and_merging_loses_nothing() -> None:
    rng = random.Random(1)
    durations = [int(rng.lognormvariate(18, 1.5)) for _ in range(5000)]
    whole, even, odd = LatencySketch(), LatencySketch(), LatencySketch()
    for place, duration in enumerate(durations):
        whole.add(duration)
        (odd if place % 2 else even).add(duration)
    even.merge(odd)
    durations.sort()
    for p in (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0):
        true = durations[max(0, -(-int(p * 1000) * len(durations) // 1000) - 1)]
        assert abs(whole.quantile(p) - true) <= 0.01 * true
        assert even.quantile(p) == whole.quantile(p)
    assert (even.count, even.sum, even.min, even.max) == (5000, sum(durations), durations[0], durations[-1])
    even.merge(even)
    assert even.count == 10_000
    assert even.quantile(0.5) == whole.quantile(0.5)


def test_a_sketch_of_nothing_says_nothing_and_time_never_runs_backwards() -> None:
    sketch = LatencySketch()
    assert (sketch.quantile(0.5), sketch.count, sketch.min, sketch.max) == (0, 0, 0, 0)
    sketch.add(-5)
    assert (sketch.count, sketch.max) == (1, 0)
    for p in (-0.01, 1.01, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            sketch.quantile(p)


# --- OfflineGenerator -------------------------------------------------------------------------------------------------


def test_texts_are_those_of_the_table_that_cpp_reads_too() -> None:
    table = Path(__file__).parents[1] / "data" / "offline" / "texts.jsonl"
    generator = OfflineGenerator()
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        asked = row["problem"], row["severity"], row["seed"], row["placeholders"], row["json"]
        assert generator.generate(*asked) == row["text"]
        assert not row["json"] or json.loads(row["text"])["problem"] == row["problem"]
    stats = generator.stats()
    assert (stats["generated"], stats["json"]) == (len(rows), sum(row["json"] for row in rows))
    assert set(stats["by_problem"].values()) == {len(rows) // 8}


def test_offline_text_is_the_same_as_that_of_the_cpp_tests() -> None:
    placeholders = {"name": "Mira", "place": "Oakford", "topic": "the harvest"}
    text = OfflineGenerator().generate("dialogue", 100, 1, placeholders)
    assert text == "I have been thinking about the harvest, and I would like to hear what you make of it."


def test_graver_problems_get_longer_texts() -> None:
    generator = OfflineGenerator()
    lengths = [
        sum(len(generator.generate("danger", severity, seed)) for seed in range(50)) for severity in (0, 500, 1000)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]


@given(st.text(max_size=30), st.integers(-10, 2000), st.integers(0, 2**64 - 1))
def test_json_mode_answers_json_whatever_the_placeholders(topic: str, severity: int, seed: int) -> None:
    answer = OfflineGenerator().generate("analysis", severity, seed, {"topic": topic}, json=True)
    said = json.loads(answer)
    assert said["problem"] == "analysis"
    assert said["severity"] == min(max(severity, 0), 1000)
    assert said["text"] == OfflineGenerator().generate("analysis", severity, seed, {"topic": topic})


def test_an_unknown_problem_is_an_error_that_names_the_known_ones() -> None:
    assert offline_problem("summarization") == "summary"
    with pytest.raises(ValueError, match="'weather': use general, dialogue"):
        OfflineGenerator().generate("weather")


# --- configurations ---------------------------------------------------------------------------------------------------


def test_a_component_refuses_a_configuration_that_makes_no_sense() -> None:
    queue, recovery = RequestQueueConfig(), ErrorRecoveryConfig()
    queue.total_capacity, recovery.max_attempts = -1, 0
    with pytest.raises(ValueError, match="total_capacity"):
        RequestQueue(queue)
    with pytest.raises(ValueError, match="max_attempts"):
        ErrorRecovery(recovery)
    with pytest.raises(ValueError, match="requests_per_minute"):
        RateLimiter(RateLimiterConfig(-1))
    with pytest.raises(ValueError, match="max_bytes"):
        ResponseCache(ResponseCacheConfig(max_bytes=-1))
    with pytest.raises(ValueError, match="cap"):
        Backoff(BackoffConfig(cap=-1))
    with pytest.raises(ValueError, match="budget rule 1"):
        Budget([BudgetRule("user")])
    with pytest.raises(ValueError, match="hours_kept"):
        TokenTracker(0)
    assert "neither" in BudgetRule("user").problem()
    assert not BudgetRule("user=*").problem()
