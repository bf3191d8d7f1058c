"""Statistics from the sums are those of the calls, for any time and any grouping."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ledger.making import MILLISECOND, NOW, SECOND, call
from ledger.test_rollups import HOUR, Ledger, begun, some_call
from llmcore.errors import LedgerError, LLMValidationError
from llmcore.ledger.entries import CLOSE, OPEN
from llmcore.ledger.report import ReportBuilder, Section
from llmcore.ledger.retention import cleanup
from llmcore.ledger.stats import GROUPS, get_cost_stats, get_performance_stats, report, statistics
from llmcore.ledger.sums import _spans
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source

asked: Callable[..., dict[tuple[str, ...], Section]] = statistics
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def calls() -> list[CallRecord]:
    luck = random.Random(7)
    return [some_call(luck, created_at=NOW + luck.randrange(5 * 24 * HOUR)) for _ in range(300)]


@pytest.fixture
def ledger(url: str, calls: list[CallRecord]) -> Iterator[Ledger]:
    found = Ledger(url)
    with closing(found.connection):
        found.write(*((CLOSE, record) for record in calls))
        found.write((OPEN, begun(call(created_at=NOW))))
        yield found


def remembered(records: list[CallRecord]) -> dict[str, Any]:
    builder = ReportBuilder()
    for record in records:
        builder.add(record)
    return builder.build().to_dict()


def same(one: Any, other: Any) -> None:
    """Equal but for the last bits of milliseconds."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    else:
        assert one == (pytest.approx(other) if isinstance(one, float) else other)


TIMES = [
    (None, None),
    (NOON, None),
    (NOON + timedelta(minutes=20), None),
    (None, NOON + 2 * DAY + timedelta(hours=3, minutes=1, microseconds=1)),
    (NOON + timedelta(hours=5, seconds=1), NOON + 4 * DAY + timedelta(hours=7, minutes=59)),
    (NOON + timedelta(minutes=1), NOON + timedelta(minutes=59)),
    (NOON + timedelta(minutes=30), NOON + timedelta(hours=20)),
    (NOON + DAY, NOON + DAY),
]


def within(records: list[CallRecord], since: datetime | None, until: datetime | None) -> list[CallRecord]:
    def made(record: CallRecord) -> datetime:
        return datetime.fromtimestamp(record.created_at // SECOND, UTC) + timedelta(
            microseconds=record.created_at % SECOND // 1000
        )

    return [
        record
        for record in records
        if (since is None or made(record) >= since) and (until is None or made(record) < until)
    ]


def test_the_report_of_any_time_is_that_of_its_calls(ledger: Ledger, calls: list[CallRecord], url: str) -> None:
    everything = [*calls, begun(call(created_at=NOW))]
    for since, until in TIMES:
        found = report(url, since, until).to_dict()
        told = remembered(within(everything, since, until))
        for part in ("total", "by_model", "by_call_type"):
            same(found[part], told[part])


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_that_of_its_calls(ledger: Ledger, calls: list[CallRecord], url: str, group: str) -> None:
    def of(record: CallRecord) -> str | None:
        made = datetime.fromtimestamp(record.created_at // SECOND, UTC)
        names: dict[str, str | None] = {
            "call_type": record.call_type or "",
            "provider": record.provider,
            "model": record.model,
            "tenant": record.tenant,
            "status": record.status.value,
            "source": record.source.name.lower(),
            "error_code": "" if record.outcome is Outcome.OK else record.outcome.name.lower(),
            "user": record.context.user_id,
            "company": record.context.company_id,
            "day": f"{made:%Y-%m-%d}",
            "hour": f"{made:%Y-%m-%dT%H}",
        }
        return names[group]

    for since, until in TIMES:
        expected: dict[tuple[str, ...], list[CallRecord]] = {}
        for record in within(calls, since, until):
            name = of(record)
            if name is not None:
                expected.setdefault((name,), []).append(record)
        found = statistics(url, [group], since=since, until=until)
        assert {key: section.calls for key, section in found.items()} == {
            key: len(part) for key, part in expected.items()
        }
        for key, part in expected.items():
            same(found[key].to_dict(), remembered(part)["total"])


@pytest.mark.parametrize(
    ("by", "filters"),
    [
        (("user", "company"), {}),
        (("user", "hour"), {"tenant": "acme"}),
        (("company", "day"), {"user_id": "alice"}),
        (("model", "day"), {"company_id": "acme", "status": "success"}),
        ((), {"call_type": "", "provider": "openai"}),
        (("tenant",), {"model": "no such model"}),
    ],
)
def test_groups_and_filters_go_together(
    ledger: Ledger, calls: list[CallRecord], url: str, by: tuple[str, ...], filters: dict[str, str]
) -> None:
    def meets(record: CallRecord) -> bool:
        told = {
            "tenant": record.tenant,
            "user_id": record.context.user_id,
            "company_id": record.context.company_id,
            "status": record.status.value,
            "call_type": record.call_type or "",
            "provider": record.provider,
            "model": record.model,
        }
        named = ("user" not in by or told["user_id"] is not None) and (
            "company" not in by or told["company_id"] is not None
        )
        return named and all(told[name] == value for name, value in filters.items())

    for since, until in TIMES:
        expected = [record for record in within(calls, since, until) if meets(record)]
        found = asked(url, by, since=since, until=until, **filters)
        assert sum(section.calls for section in found.values()) == len(expected)
        cost = sum(record.cost or 0 for record in expected)
        assert sum(section.cost_nano_usd for section in found.values()) == cost


def test_spans_leave_no_gap_and_read_as_few_calls_as_possible() -> None:
    luck = random.Random(3)
    for _ in range(500):
        since = NOON + timedelta(microseconds=luck.randrange(10**12))
        until = since + timedelta(microseconds=luck.randrange(1, 10**12))
        spans = list(_spans(since, until, ("day", "hour")))
        assert spans[0][1] == since
        assert spans[-1][2] == until
        assert all(one[2] == other[1] for one, other in pairwise(spans))
        read = [end - start for scope, start, end in spans if scope == "rows" and start and end]
        assert len(read) <= 2
        assert all(length < timedelta(hours=1) for length in read) or len(spans) == 1


def test_what_a_user_cost(ledger: Ledger, calls: list[CallRecord], url: str) -> None:
    stats = get_cost_stats(url, user_id="alice", since=NOON - DAY)

    mine = [record for record in calls if record.context.user_id == "alice"]
    cost = sum(record.cost or 0 for record in mine)
    assert (stats["total_calls"], stats["total_cost_nano_usd"]) == (len(mine), cost)
    assert stats["total_cost"] == pytest.approx(cost / 1e9)
    assert set(stats["by_call_type"]) == {"chat", "rag_query", "(none)"}
    assert sum(part["cost"] for part in stats["by_model"].values()) == pytest.approx(cost / 1e9)
    assert set(stats["by_model"]) == {"openai/gpt-4o", "openai/gpt-4o-mini"}
    assert get_cost_stats(url, user_id="nobody")["total_calls"] == 0
    assert get_cost_stats(url, user_id="alice", days=0)["total_calls"] == 0


def test_how_fast_and_reliable_a_model_is(url: str) -> None:
    ledger = Ledger(url)
    with closing(ledger.connection):
        status = LLMCallStatusEnum
        records = [call(latency=n * 10 * MILLISECOND, model="m") for n in range(1, 101)]
        records += [call(model="m", status=status.CACHED, source=Source.CACHE, latency=1) for _ in range(50)]
        failed = {"status": status.TIMEOUT, "source": Source.NONE, "outcome": Outcome.TIMEOUT}
        records += [call(model="m", **failed) for _ in range(30)]
        records += [call(model="m", **(failed | {"status": status.CANCELLED})) for _ in range(20)]
        records += [call(model="other")]
        ledger.write(*((CLOSE, record) for record in records))

    stats = get_performance_stats(url, provider="openai", model="m", since=NOON)

    assert stats["total_calls"] == 200
    assert stats["avg_latency_ms"] == pytest.approx(505.0)
    assert stats["p50_latency_ms"] == pytest.approx(500.0, rel=0.01)
    assert stats["p95_latency_ms"] == pytest.approx(950.0, rel=0.01)
    assert stats["p99_latency_ms"] == pytest.approx(990.0, rel=0.01)
    assert (stats["error_rate"], stats["cache_rate"]) == (pytest.approx(30 / 180), 0.25)
    assert stats["tokens_per_second"] == pytest.approx(100 * 20 / 50.5)
    assert stats["errors"] == {"timeout": 50}
    assert set(stats["by_model"]) == {"openai/m"}
    assert get_performance_stats(url, days=0)["avg_latency_ms"] == 0.0


def test_sums_beyond_64_bits_are_right(url: str) -> None:
    most = 2**63 - 1
    ledger = Ledger(url)
    with closing(ledger.connection):
        for hour in range(4):
            ledger.write((CLOSE, call(cost=most, created_at=NOW + hour * HOUR)))
    hours = statistics(url, ["provider"], since=NOON, until=NOON + timedelta(hours=3, minutes=30))
    assert hours["openai",].cost_nano_usd == 4 * most


@pytest.mark.parametrize("wrong", [{"by": ["colour"]}, {"colour": "red"}, {"days": -1}, {"days": 10**9}, {"model": 7}])
def test_what_makes_no_sense_is_refused(ledger: Ledger, url: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(LLMValidationError):
        statistics(url, **wrong)


def test_asking_a_ledger_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        get_cost_stats(str(tmp_path / "none.db"))


def test_cleanup_removes_what_is_old_and_its_sums(ledger: Ledger, calls: list[CallRecord], url: str) -> None:
    now = NOON + 100 * DAY + timedelta(minutes=7)
    limit = now - 98 * DAY
    ledger.connection.rollback()

    removed = cleanup(ledger.connection, 98, commit=True, now=now)

    kept = within(calls, limit, None)
    assert 0 < removed == len(calls) + 1 - len(kept)
    same(report(url).to_dict()["total"], remembered(kept)["total"])
    users = {key: section.calls for key, section in statistics(url, ["user"]).items()}
    assert sum(users.values()) == sum(record.context.user_id is not None for record in kept)
    assert cleanup(ledger.connection, 98, commit=True, now=now) == 0
    attempts = ledger.connection.exec_driver_sql("SELECT count(*) FROM llm_attempts").scalar()
    ledger.connection.rollback()
    assert attempts == sum(len(record.attempts) for record in kept)


def test_cleanup_drops_whole_months(url: str) -> None:
    ledger = Ledger(url)
    month = 31 * 24 * HOUR
    with closing(ledger.connection):
        context = CallContext(user_id="alice")
        ledger.write(*((CLOSE, call(created_at=NOW - n * month, context=context)) for n in range(-2, 4)))
        ledger.connection.rollback()
        assert cleanup(ledger.connection, 20, commit=True, now=NOON) == 3
    assert report(url).total.calls == 3
    assert statistics(url, ["user"])["alice",].calls == 3
