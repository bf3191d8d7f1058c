"""TokenTracker from Python: reports that are byte for byte those of C++, samples as NumPy arrays, scopes, merging."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcore import TokenTracker, Usage
from llmcore._core import Budget, BudgetRule, Config, Engine, LatencySketch, Outcome, Period, Priority, Send, Target

DATA = Path(__file__).parents[1] / "data" / "usage"
MS = 1_000_000
HOUR = 3600 * 1_000_000_000
BUCKETS = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output_text",
    "reasoning",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "image_output",
    "images",
)
START = 19_782 * 24 * HOUR + 23 * HOUR


def recorded() -> TokenTracker:
    """What usage_report_test.cpp records too, call by call."""
    tracker = TokenTracker()
    for i in range(40):
        tracker.record(
            "gpt-4o" if i % 4 == 0 else "gpt-4o-mini",
            "" if i % 3 == 0 else "chat",
            Usage(1000 + i, 10 * i, i, output_text=100, reasoning=i % 5),
            165_000 * (i + 1) if i % 20 else None,
            (100 + i * i) * MS,
            Outcome.TIMEOUT if i % 10 == 9 else Outcome.OK,
            cache_hit=i % 8 == 7,
            attempts=1 + i % 2,
            saved=5000 if i % 8 == 7 else 0,
            wall=START + i * 6 * 60_000 * MS,
            scopes=("user=ada", 'company="Größe"') if i % 2 == 0 else (),
        )
    return tracker


def charged() -> Budget:
    budget = Budget(
        [
            BudgetRule("global", Period.MONTH, 100 * 10**9),
            BudgetRule("user=*", Period.DAY, 10**9),
        ]
    )
    held = budget.reserve([("user", "ada")], 300_000_000, START)
    assert held is not None
    budget.settle(held, 250_000_000, START)
    assert budget.reserve([("user", "bob")], 1500, START) is not None
    return budget


def test_reports_are_those_of_cpp() -> None:
    tracker, budget = recorded(), charged()
    assert tracker.report_json(budget) + "\n" == (DATA / "report.json").read_text()
    assert tracker.report_text(budget, rows=3) == (DATA / "report.txt").read_text()


def test_the_report_says_what_the_rows_say() -> None:
    tracker = recorded()
    report = json.loads(tracker.report_json())
    assert report["totals"] == tracker.totals()
    unscoped = [row for row in report["all"] if row.pop("scope") is None]
    assert unscoped == tracker.by_model_and_type()
    assert len(report["all"]) - len(unscoped) == len(tracker.by_scope())
    assert {row["scope"] for row in tracker.by_scope()} == {"user=ada", 'company="Größe"'}
    assert [row["day"] for row in tracker.by_day()] == [19_782] * 4 + [19_783] * 4
    assert sum(row["calls"] for row in tracker.by_day(scoped=True)) == 2 * 20
    assert report["budgets"] == []
    with pytest.raises(ValueError, match="rows must be 0 or more"):
        tracker.report_text(rows=-1)


def test_merging_adds_the_other_and_leaves_it_alone() -> None:
    here, there = recorded(), recorded()
    there.record("new", "chat", Usage(1), wall=START)
    here.merge(there)
    assert here.totals()["calls"] == 81
    assert there.totals()["calls"] == 41
    assert [row["calls"] for row in here.by_model_and_type() if row["model"] == "new"] == [1]
    here.merge(here)
    assert here.totals()["calls"] == 162


def test_what_is_no_scope_is_refused() -> None:
    tracker = TokenTracker()
    wrong: tuple[Any, ...] = ("user=ada", [1], 5)
    for scopes in wrong:
        with pytest.raises(TypeError):
            tracker.record("m", "chat", Usage(), scopes=scopes)
    with pytest.raises(ValueError, match="at most 16 scopes"):
        tracker.record("m", "chat", Usage(), scopes=[str(i) for i in range(17)])
    with pytest.raises(UnicodeEncodeError):
        tracker.record("m", "chat", Usage(), scopes=["\ud800"])
    assert tracker.totals()["calls"] == 0


@pytest.mark.parametrize(
    "bounds", [{"hours_kept": 0}, {"days_kept": 0}, {"recent_kept": -1}, {"max_keys": 0}, {"max_rows": 1}]
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"token tracker: {next(iter(bounds))} must be"):
        TokenTracker(**bounds)


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_are_a_structured_array_of_the_newest_calls() -> None:
    tracker = TokenTracker(recent_kept=3)
    assert tracker.samples().shape == (0,)
    for i in range(5):
        counts: dict[str, Any] = {name: 100 * i + place for place, name in enumerate(BUCKETS)}
        usage = Usage(**counts, estimated=i == 4)
        tracker.record(f"m{i % 2}", "chat", usage, i or None, i * MS, Outcome(i), i == 3, i, 7 * i, wall=i)
    samples = tracker.samples()
    names = np.array(tracker.names())
    assert samples["wall"].tolist() == [2, 3, 4]
    assert names[samples["model"]].tolist() == ["m0", "m1", "m0"]
    assert names[samples["call_type"]].tolist() == ["chat"] * 3
    assert [Outcome(value) for value in samples["outcome"]] == [Outcome(2), Outcome(3), Outcome(4)]
    assert samples["cache_hit"].tolist() == [False, True, False]
    assert samples["estimated"].tolist() == [False, False, True]
    assert samples["attempts"].tolist() == [2, 3, 4]
    assert samples["latency"].tolist() == [2 * MS, 3 * MS, 4 * MS]
    assert samples["cost"].tolist() == [2, 3, 4]
    assert samples["saved"].tolist() == [14, 21, 28]
    for place, bucket in enumerate(BUCKETS):
        assert samples[bucket].tolist() == [200 + place, 300 + place, 400 + place]

    samples["cost"] = 0  # it is one's own
    assert tracker.samples()["cost"].tolist() == [2, 3, 4]


def test_a_cost_that_nobody_knows_is_less_than_nothing() -> None:
    tracker = TokenTracker()
    tracker.record("m", "chat", Usage(1), None)
    assert tracker.samples()["cost"].tolist() == [-1]


def test_no_samples_are_kept_where_none_are_wanted() -> None:
    tracker = TokenTracker(recent_kept=0)
    tracker.record("m", "chat", Usage(1))
    assert len(tracker.samples()) == 0


def test_without_numpy_one_sentence_says_what_to_install() -> None:
    code = """
import sys
sys.modules["numpy"] = None
from llmcore import TokenTracker
assert "numpy" not in [name for name, module in sys.modules.items() if module]
try:
    TokenTracker().samples()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "TokenTracker.samples() answers a NumPy array: pip install 'llmcore[numpy]'\n"


# --- latencies against NumPy ------------------------------------------------------------------------------------------

spreads = st.one_of(
    st.builds(lambda value, n: [value] * n, st.integers(0, 2**62), st.integers(1, 200)),  # constant
    st.lists(st.sampled_from([3, 10**9]), min_size=1, max_size=300),  # bimodal
    st.lists(st.integers(0, 62).map(lambda bits: 1 << bits), min_size=1, max_size=300),  # heavy tail
    st.lists(st.integers(0, 300), min_size=1, max_size=300),  # tiny
    st.lists(st.integers(2**61, 2**63 - 1), min_size=1, max_size=300),  # huge
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=300),
)


@settings(max_examples=200, deadline=None)
@given(spreads, st.integers(1, 5))
def test_quantiles_are_those_of_numpy_within_a_percent_however_it_is_split(durations: list[int], parts: int) -> None:
    sketches = [LatencySketch() for _ in range(parts)]
    for place, duration in enumerate(durations):
        sketches[place % parts].add(duration)
    merged = LatencySketch()
    for sketch in sketches:
        merged.merge(sketch)
    values = np.array(durations, dtype=np.int64)
    for p in (0.0, 0.5, 0.95, 0.99, 1.0):
        true = int(np.percentile(values, p * 100, method="inverted_cdf"))
        assert abs(merged.quantile(p) - true) * 100 <= true
    assert (merged.count, merged.min, merged.max) == (len(durations), min(durations), max(durations))


@pytest.mark.parametrize("shape", ["lognormal", "pareto", "exponential", "bimodal", "uniform"])
def test_quantiles_of_many_are_those_of_numpy_within_a_percent(shape: str) -> None:
    rng = np.random.default_rng(7)
    scale = {
        "lognormal": lambda: rng.lognormal(18, 1.5, 50_000),
        "pareto": lambda: (rng.pareto(0.7, 50_000) + 1) * 1e6,
        "exponential": lambda: rng.exponential(3e8, 50_000),
        "bimodal": lambda: np.where(rng.random(50_000) < 0.95, 2e6, 4e10) * rng.uniform(0.9, 1.1, 50_000),
        "uniform": lambda: rng.uniform(0, 5e9, 50_000),
    }
    values = np.minimum(scale[shape](), 2**62).astype(np.int64)
    tracker = TokenTracker()
    usage = Usage()
    for value in values.tolist():
        tracker.record("m", "chat", usage, 0, value, wall=0)
    latency: Any = tracker.by_model_and_type()[0]["latency"]
    for name, p in (("p50_ns", 50), ("p95_ns", 95), ("p99_ns", 99)):
        true = int(np.percentile(values, p, method="inverted_cdf"))
        assert abs(latency[name] - true) * 100 <= true
    assert latency["max_ns"] == int(values.max())


# --- the engine's own -------------------------------------------------------------------------------------------------


def test_the_engine_tells_users_companies_and_tenants_apart() -> None:
    config = Config.server()
    config.budgets = [BudgetRule("user=*", Period.DAY, 10**9)]
    engine = Engine(config)
    for tenant, user in (("default", "ada"), ("default", "bob"), ("acme", "ada")):
        scopes = [("user", user), ("session", "not tracked"), ("company", "c")]
        engine.submit(
            tenant, "chat", Priority.MEDIUM, 0, None, [Target("offline", "o", always_answers=True)], scopes, 0, 0
        )
        while actions := engine.drain():
            for action in actions:
                if isinstance(action, Send):
                    engine.replied(action.attempt, Usage(10, output_text=5), None, b"text", 0, 0)
    rows = {row["scope"]: row["calls"] for row in engine.tracker().by_scope()}
    assert rows == {"user=ada": 2, "user=bob": 1, "company=c": 3, "tenant=acme": 1}
    report = json.loads(engine.report_json())
    assert report["totals"]["calls"] == 3
    assert engine.report_text().startswith("3 calls, 0 errors")


def test_the_engine_tracks_as_it_is_told() -> None:
    config = Config.server()
    config.usage_scopes = []
    config.tracker.recent_kept = 0
    assert config.problems() == []
    config.tracker.max_rows = 0
    assert config.problems() == ["tracker: max_rows must be between 2 and 1,000,000,000"]
    assert config.usage_scopes == []
