"""TokenTracker under any sequence of calls, against the list of them: see token_tracker.hpp."""

from collections import defaultdict
from dataclasses import dataclass
from math import ceil
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from llmcore._core import Outcome, TokenTracker, Usage

HOUR = 3600 * 1_000_000_000

names = st.sampled_from(["", "gpt", "claude", "Größe"])
counts = st.integers(0, 50) | st.integers(0, 2**40)
usages = st.builds(Usage, counts, cache_read=counts, output_text=counts, reasoning=counts) | st.just(Usage())


@dataclass
class Call:
    model: str
    call_type: str
    hour: int
    outcome: Outcome
    cache_hit: bool
    attempts: int
    usage: Usage
    cost: int | None
    saved: int
    latency: int


def check(row: Any, calls: list[Call]) -> None:
    """That these totals are those of these calls."""
    assert row["calls"] == len(calls)
    assert row["errors"] == sum(call.outcome is not Outcome.OK for call in calls)
    assert row["cache_hits"] == sum(call.cache_hit for call in calls)
    assert row["attempts"] == sum(call.attempts for call in calls)
    assert row["input_tokens"] == sum(call.usage.input_tokens for call in calls)
    assert row["output_tokens"] == sum(call.usage.output_tokens for call in calls)
    assert row["cached_tokens"] == sum(call.usage.cached_tokens for call in calls)
    assert row["reasoning_tokens"] == sum(call.usage.reasoning_tokens for call in calls)
    assert row["total_tokens"] == row["input_tokens"] + row["output_tokens"]
    assert row["cost_nano_usd"] == sum(call.cost or 0 for call in calls)
    assert row["unpriced_calls"] == sum(call.cost is None and call.usage.total_tokens > 0 for call in calls)
    assert row["saved_nano_usd"] == sum(call.saved for call in calls)
    latencies = sorted(call.latency for call in calls)
    latency = row["latency"]
    assert latency["max_ns"] == max(latencies, default=0)
    for name, p in (("p50_ns", 50), ("p95_ns", 95), ("p99_ns", 99)):
        true = latencies[ceil(len(calls) * p / 100) - 1] if calls else 0
        assert abs(latency[name] - true) * 100 <= true


class TokenTrackerMachine(RuleBasedStateMachine):
    @initialize(hours_kept=st.integers(1, 5), wall=st.integers(-3 * HOUR, 3 * HOUR))
    def make(self, hours_kept: int, wall: int) -> None:
        self.tracker, self.hours_kept, self.wall = TokenTracker(hours_kept), hours_kept, wall
        self.newest: int | None = None
        self.calls: list[Call] = []
        self.hours: dict[int, list[Call]] = defaultdict(list)

    @rule(
        model=names,
        call_type=names,
        usage=usages,
        cost=st.none() | st.integers(0, 2**40),
        latency=st.integers(0, 10**6) | st.integers(0, 2**50),
        outcome=st.sampled_from(Outcome),
        cache_hit=st.booleans(),
        attempts=st.integers(0, 5),
        saved=st.integers(0, 2**40),
        step=st.sampled_from([0, 0, 0, HOUR, 3 * HOUR, -HOUR, -4 * HOUR]) | st.integers(-HOUR, 2 * HOUR),
    )
    def record(
        self,
        model: str,
        call_type: str,
        usage: Usage,
        cost: int | None,
        latency: int,
        outcome: Outcome,
        cache_hit: bool,
        attempts: int,
        saved: int,
        step: int,
    ) -> None:
        self.wall += step
        self.tracker.record(model, call_type, usage, cost, latency, outcome, cache_hit, attempts, saved, wall=self.wall)
        hour = self.wall // HOUR
        call = Call(model, call_type, hour, outcome, cache_hit, attempts, usage, cost, saved, latency)
        self.calls.append(call)
        self.newest = hour if self.newest is None else max(self.newest, hour)
        # An hour no longer kept takes nothing more, whether it has just been left or long ago.
        self.hours = {h: calls for h, calls in self.hours.items() if h > self.newest - self.hours_kept}
        if hour > self.newest - self.hours_kept:
            self.hours.setdefault(hour, []).append(call)

    @invariant()
    def adds_up(self) -> None:
        check(self.tracker.totals(), self.calls)

    @invariant()
    def has_the_rows(self) -> None:
        by_key: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in self.calls:
            by_key[call.model, call.call_type].append(call)
        rows = self.tracker.by_model_and_type()
        assert [(row["model"], row["call_type"]) for row in rows] == sorted(by_key, key=in_bytes)
        for row in rows:
            check(row, by_key[row["model"], row["call_type"]])

    @invariant()
    def has_the_hours(self) -> None:
        by_hour: dict[tuple[int, str, str], list[Call]] = defaultdict(list)
        for hour, calls in self.hours.items():
            for call in calls:
                by_hour[hour, call.model, call.call_type].append(call)
        rows = self.tracker.by_hour()
        expected = sorted(by_hour, key=lambda key: (key[0], in_bytes(key[1:])))
        assert [(row["hour"], row["model"], row["call_type"]) for row in rows] == expected
        for row in rows:
            check(row, by_hour[row["hour"], row["model"], row["call_type"]])


def in_bytes(key: tuple[str, ...]) -> list[bytes]:
    """The core sorts text by its UTF-8."""
    return [part.encode() for part in key]


TestTokenTracker = TokenTrackerMachine.TestCase
