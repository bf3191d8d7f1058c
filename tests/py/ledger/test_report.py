"""The report: the same from memory and from the database, with every call in exactly one place."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.making import MILLISECOND, NOW, SECOND, attempts, call
from llmcore._core import Usage
from llmcore.errors import LedgerError
from llmcore.ledger.report import MOST_PARTS, NO_CALL_TYPE, OTHERS, Report, ReportBuilder
from llmcore.ledger.stats import report
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallRecord, LLMCallStatusEnum, Outcome, Source


def from_memory(records: Sequence[CallRecord]) -> Report:
    builder = ReportBuilder()
    for record in records:
        builder.add(record)
    return builder.build()


def written(path: Path, records: Sequence[CallRecord]) -> str:
    tracker = UsageTracker(str(path))
    tracker.check()
    for record in records:
        tracker.record(record)
    tracker.close()
    assert tracker.stats().written == len(records)
    return str(path)


STATUS = LLMCallStatusEnum
ENDINGS = [
    ("ok", STATUS.SUCCESS, Source.PROVIDER, Outcome.OK),
    ("cached", STATUS.CACHED, Source.CACHE, Outcome.OK),
    ("joined", STATUS.CACHED, Source.JOINED, Outcome.OK),
    ("fallback", STATUS.FALLBACK, Source.PROVIDER, Outcome.OK),
    ("failed", STATUS.ERROR, Source.NONE, Outcome.SERVER_ERROR),
    ("failed", STATUS.TIMEOUT, Source.NONE, Outcome.TIMEOUT),
    ("failed", STATUS.RATE_LIMITED, Source.NONE, Outcome.RATE_LIMITED),
    ("failed", STATUS.LOST, Source.NONE, Outcome.CANCELLED),
    ("refused", STATUS.REFUSED, Source.NONE, Outcome.OVER_BUDGET),
    ("cancelled", STATUS.CANCELLED, Source.NONE, Outcome.CANCELLED),
    ("pending", STATUS.PENDING, Source.NONE, Outcome.OK),
]


@pytest.mark.parametrize(("ending", "status", "source", "outcome"), ENDINGS)
def test_a_call_is_counted_where_it_belongs_and_nowhere_else(
    ending: str, status: LLMCallStatusEnum, source: Source, outcome: Outcome, tmp_path: Path
) -> None:
    record = call(status=status, source=source, outcome=outcome)

    for found in (from_memory([record]), report(written(tmp_path / "calls.db", [record]))):
        counted = {name: getattr(found.total, name) for name in dict.fromkeys(name for name, *_ in ENDINGS)}
        assert counted.pop(ending) == found.total.calls == 1
        assert set(counted.values()) == {0}
        assert found.total.errors == ({} if outcome is Outcome.OK else {outcome.name.lower(): 1})


def test_every_status_has_an_ending() -> None:
    assert {status for _, status, *_ in ENDINGS} == set(STATUS)


def test_sums_are_exact(tmp_path: Path) -> None:
    usage = Usage(input_uncached=10, cache_read=5, output_text=3, reasoning=2)
    two = attempts(usage, [Outcome.OVERLOADED, Outcome.OK])
    records = [
        call(usage=usage, attempts=two, cost=2**52, saved=3, queued=5 * MILLISECOND),
        call(usage=usage, attempts=two, cost=1, saved=4, queued=7 * MILLISECOND),
        call(usage=usage, cost=None),
        call(usage=None, attempts=[], cost=0, status=STATUS.REFUSED, source=Source.NONE, outcome=Outcome.QUEUE_FULL),
    ]

    for found in (from_memory(records), report(written(tmp_path / "calls.db", records))):
        total = found.total
        assert (total.calls, total.ok, total.refused, total.attempts) == (4, 3, 1, 5)
        assert (total.input_tokens, total.cached_tokens, total.output_tokens) == (45, 15, 15)
        assert (total.reasoning_tokens, total.total_tokens) == (6, 60)
        assert (total.cost_nano_usd, total.unknown_cost_calls, total.saved_nano_usd) == (2**52 + 1, 1, 7)
        assert (total.queue_ms, total.queue_ms_max) == (12.0, 7.0)
        assert total.errors == {"queue_full": 1}


def test_latency_is_that_of_answers_from_providers(tmp_path: Path) -> None:
    records = [call(latency=n * 10 * MILLISECOND) for n in range(1, 101)]
    records += [call(latency=1000, status=STATUS.CACHED, source=Source.CACHE) for _ in range(1000)]
    records += [call(latency=60 * SECOND, status=STATUS.TIMEOUT, source=Source.NONE, outcome=Outcome.TIMEOUT)]

    for found in (from_memory(records), report(written(tmp_path / "calls.db", records))):
        latency = found.total.latency
        assert latency.count == 100
        assert latency.mean_ms == pytest.approx(505.0)
        assert latency.p50_ms == pytest.approx(500.0, rel=0.01)
        assert latency.p95_ms == pytest.approx(950.0, rel=0.01)
        assert latency.p99_ms == pytest.approx(990.0, rel=0.01)
        assert latency.max_ms == 1000.0


def test_calls_are_broken_down_by_type_and_by_model(tmp_path: Path) -> None:
    records = [
        call(call_type="chat", model="gpt-4o"),
        call(call_type="chat", model="gpt-4o-mini"),
        call(call_type="chat", model="gpt-4o-mini"),
        call(call_type="embedding", provider="mistral", model="mistral-embed"),
        call(call_type=None, provider="openrouter", model="openai/gpt-4o"),
    ]

    for found in (from_memory(records), report(written(tmp_path / "calls.db", records))):
        by_type = {name: section.calls for name, section in found.by_call_type.items()}
        by_model = {name: section.calls for name, section in found.by_model.items()}
        assert by_type == {"chat": 3, NO_CALL_TYPE: 1, "embedding": 1}
        assert next(iter(by_type)) == "chat"
        assert list(by_model) == [
            "openai/gpt-4o-mini",
            "mistral/mistral-embed",
            "openai/gpt-4o",
            "openrouter/openai/gpt-4o",
        ]


some_calls = st.lists(
    st.builds(
        lambda ending, kind, provider, latency, queued, cost, saved: call(
            call_type=kind,
            provider=provider,
            status=ending[1],
            source=ending[2],
            outcome=ending[3],
            latency=latency,
            queued=queued,
            cost=cost,
            saved=saved,
        ),
        st.sampled_from(ENDINGS),
        st.sampled_from(["chat", "rag_query", None]),
        st.sampled_from(["openai", "anthropic"]),
        st.integers(0, 10**12),
        st.integers(0, 10**12),
        st.none() | st.integers(0, 10**15),
        st.integers(0, 10**12),
    ),
    max_size=30,
)


@given(some_calls)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_database_report_the_same(tmp_path: Path, records: list[CallRecord]) -> None:
    for leftover in tmp_path.iterdir():
        leftover.unlink()
    remembered = from_memory(records).to_dict()
    asked = report(written(tmp_path / "calls.db", records)).to_dict()

    sections = [("total",), *(("by_call_type", name) for name in remembered["by_call_type"])]
    sections += [("by_model", name) for name in remembered["by_model"]]
    for keys in sections:
        one, other = remembered, asked
        for key in keys:
            one, other = one[key], other[key]
        assert one.pop("queue_ms") == pytest.approx(other.pop("queue_ms"))
    assert remembered == asked


def test_a_report_covers_the_time_asked_for_and_nothing_else(tmp_path: Path) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    ledger = written(tmp_path / "calls.db", [call(created_at=NOW + hour * 3600 * SECOND) for hour in range(5)])

    def calls(since: datetime | None = None, until: datetime | None = None) -> int:
        return report(ledger, since, until).total.calls

    hour = timedelta(hours=1)
    assert calls() == 5
    assert calls(since=noon + hour) == 4
    assert calls(until=noon + hour) == 1
    assert calls(noon + hour, noon + 3 * hour) == 2
    assert calls(since=noon + hour + timedelta(microseconds=1)) == 3
    assert calls(since=datetime(2026, 3, 1, 13)) == 4  # noqa: DTZ001 - naive means UTC
    assert calls(since=datetime(2026, 3, 1, 14, tzinfo=timezone(hour))) == 4
    assert report(ledger, since=datetime(2026, 3, 1, 14, tzinfo=timezone(hour))).since == noon + hour


def test_a_report_of_nothing_is_all_zeros(tmp_path: Path) -> None:
    empty = report(written(tmp_path / "calls.db", []))
    assert empty == from_memory([])
    assert (empty.total.calls, empty.total.latency.p99_ms, empty.by_model) == (0, 0.0, {})


def test_a_report_is_ready_for_json(tmp_path: Path) -> None:
    ledger = written(tmp_path / "calls.db", [call(cost=1_234_567_890_123)])
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)

    found = json.loads(json.dumps(report(ledger, since=noon).to_dict()))

    assert found["since"] == "2026-03-01T12:00:00+00:00"
    assert found["until"] is None
    assert found["total"]["cost_nano_usd"] == 1_234_567_890_123
    assert found["total"]["cost_usd"] == "1234.567890123"
    assert found["by_model"]["openai/gpt-4o-mini"]["latency"]["count"] == 1


def test_there_is_no_report_without_a_ledger_and_asking_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with pytest.raises(LedgerError, match=f"there is no ledger at {path} yet"):
        report(str(path))
    assert not path.exists()


def test_a_report_may_be_asked_for_while_calls_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    tracker = UsageTracker(str(path))
    tracker.check()
    for n in range(20):
        for _ in range(100):
            tracker.record(call())
        total = report(str(path)).total
        assert total.calls <= 100 * (n + 1)
        assert total.latency.count == total.ok == total.attempts == total.calls
    tracker.close()
    assert report(str(path)).total.calls == 2000


def test_names_without_end_are_told_apart_up_to_a_bound_and_no_call_is_missed() -> None:
    records = [call(call_type=f"type {number}") for number in range(MOST_PARTS + 500)]

    found = from_memory([*records, records[0]])

    assert len(found.by_call_type) == MOST_PARTS + 1
    assert found.by_call_type["type 0"].calls == 2
    assert found.by_call_type[OTHERS].calls == 500
    assert sum(section.calls for section in found.by_model.values()) == found.total.calls == len(records) + 1
