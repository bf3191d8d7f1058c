"""Finding calls: the examples of the documents, every filter, page after page, with whatever session there is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from ledger.making import NOW, SECOND, batch_of, call
from ledger.test_rollups import Ledger, some_call
from llmcore._core import now, uuid7
from llmcore.errors import LedgerError, LLMValidationError
from llmcore.ledger.content import Content
from llmcore.ledger.entries import CLOSE
from llmcore.ledger.filters import FILTERS
from llmcore.ledger.logger import LLMLogger
from llmcore.ledger.repo import LLMCall, LLMCallRepository
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, LLMCallTypeEnum, Outcome, Source, Texts

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
find: Callable[..., list[LLMCall]] = LLMCallRepository.list_by_filters_sync


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    found = Ledger(url)
    with closing(found.connection):
        yield found


def failed_rag(n: int, **changes: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "call_type": "rag_query",
        "status": LLMCallStatusEnum.ERROR,
        "source": Source.NONE,
        "outcome": Outcome.SERVER_ERROR,
        "error_message": "the provider failed",
        "context": CallContext(company_id="comp_123", trace_id="trace-1", tags=("rag", "production")),
        "created_at": NOW + n * SECOND,
    }
    return call(**(fields | changes))


async def test_the_examples_of_the_logging_guide(url: str, tmp_path: Path) -> None:
    wall = now()[1]
    tracker = UsageTracker(url, spool_dir=tmp_path)
    said = Texts(messages=[{"role": "user", "content": "Classify query intent"}], response="a question")
    tracker.record(failed_rag(0, created_at=wall), said)
    tracker.record(call(created_at=wall, context=CallContext(trace_id="trace-1")), said)
    tracker.record(call(created_at=wall - 100 * 86400 * SECOND))
    tracker.close()
    trace_id = "trace-1"
    printed: list[str] = []
    engine = create_async_engine(url.replace("sqlite://", "sqlite+aiosqlite://"))

    async with AsyncSession(engine) as db:
        calls = await LLMCallRepository.get_calls_by_trace(db, trace_id)

        for call_ in calls:
            assert call_.call_type is not None
            printed.append(f"{call_.call_type.value}: {call_.model}")
            printed.append(f"  Status: {call_.status.value}")
            printed.append(f"  Latency: {call_.latency_ms}ms")
            printed.append(f"  Cost: ${call_.estimated_cost}")
            if call_.error_message:
                printed.append(f"  ERROR: {call_.error_message}")

        failed = await LLMCallRepository.list_by_filters(
            db,
            call_type=LLMCallTypeEnum.RAG_QUERY,
            status=LLMCallStatusEnum.ERROR,
            company_id="comp_123",
            start_date=datetime.now(UTC) - timedelta(days=7),
            limit=50,
        )
        for call_ in failed:
            printed.append(f"Failed at: {call_.created_at}")
            printed.append(f"Error: {call_.error_message}")
            printed.append(f"Prompt preview: {call_.prompt[:100]}")

        deleted = await LLMCallRepository.cleanup_old_logs(db, days_old=90)
        await db.commit()
        printed.append(f"Cleaned up {deleted} old logs")
    await engine.dispose()

    text = "\n".join(printed)
    assert "rag_query: gpt-4o-mini\n  Status: error\n" in text
    assert "chat: gpt-4o-mini\n  Status: success\n  Latency: 500.0ms\n  Cost: $" in text
    assert "Prompt preview: Classify query intent\n" in text
    assert text.endswith("Cleaned up 1 old logs")
    assert len(find(url)) == 2


async def test_a_ledger_is_asked_by_url_engine_session_or_tracker(url: str, tmp_path: Path) -> None:
    tracker = UsageTracker(url, spool_dir=tmp_path)
    record = call(context=CallContext(trace_id="t"))
    tracker.record(record)
    assert [found.id for found in find(tracker)] == [record.id]  # what was recorded before is found
    engine = create_engine(url.replace("+asyncpg", ""))
    with engine.connect() as connection, Session(engine) as session:
        for where in (url, engine, connection, session, tracker):
            assert [found.id for found in find(where)] == [record.id]
            assert [found.id for found in await LLMCallRepository.list_by_filters(where)] == [record.id]
            assert [found.id for found in await LLMCallRepository.get_calls_by_trace(where, "t")] == [record.id]
            found = await LLMCallRepository.get(where, record.id)
            assert found is not None
            assert found == LLMCallRepository.get_sync(where, record.id)
            assert await LLMCallRepository.get(where, uuid7()) is None
    with pytest.raises(LedgerError, match="int is none of them"):
        find(7)
    tracker.close()
    engine.dispose()


def test_cleaning_up_on_a_session_of_the_host_is_the_hosts_to_commit(ledger: Ledger, url: str) -> None:
    ledger.write((CLOSE, call()))
    engine = create_engine(url)
    with Session(engine) as session:
        assert LLMCallRepository.cleanup_old_logs_sync(session, 1) == 1
        assert find(session) == []
        session.rollback()
        assert len(find(session)) == 1
    engine.dispose()
    with pytest.raises(LLMValidationError, match="days_old is a whole number"):
        LLMCallRepository.cleanup_old_logs_sync(url, -1)


def test_a_call_comes_back_as_it_was_recorded(ledger: Ledger, url: str) -> None:
    context = CallContext(
        **{name: f"the {name}" for name in ("user_id", "owner_id", "session_id", "task_id", "company_id", "review_id")},
        game_id="g",
        player_name="Ann",
        hand_number=7,
        prompt_template="p",
        trace_id="t",
        parent_call_id="c",
        trackable_type="Game",
        trackable_id="7",
        tags=("a", "b"),
        metadata={"depth": 3},
    )
    record = call(
        context=context, call_type="my own", temperature=0.5, max_tokens=99, cost=1_500_000_000, first_token=SECOND
    )
    said = Texts(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], response="Ho"
    )
    payload = Content("full", None).of(said, "my own")
    ledger.inserts.write(ledger.connection, "one", batch_of((CLOSE, record, payload)), 1)

    found = LLMCallRepository.get_sync(url, record.id)

    assert found is not None
    assert found.call_type is not None
    assert (found.call_type.value, found.status) == ("my own", LLMCallStatusEnum.SUCCESS)
    assert (found.prompt_tokens, found.completion_tokens, found.total_tokens) == (100, 20, 120)
    assert (found.estimated_cost, found.cost and found.cost.nano_usd) == (1.5, 1_500_000_000)
    assert (found.prompt, found.system_prompt, found.response) == ("Hi", "Be brief.", "Ho")
    assert found.messages == said.messages
    assert (found.created_at, found.first_token_ms) == (NOON, 1000.0)
    assert (found.tags, found.metadata, found.hand_number) == (["a", "b"], {"depth": 3}, 7)
    for name in ("user_id", "owner_id", "session_id", "task_id", "company_id", "review_id"):
        assert getattr(found, name) == f"the {name}"
    assert "Hi" not in repr(found)
    assert found.to_dict()["created_at"] == "2026-03-01T12:00:00+00:00"
    assert "prompt" not in found.to_dict()
    assert found.to_dict(texts=True)["prompt"] == "Hi"


def test_every_column_is_a_filter(ledger: Ledger, url: str) -> None:
    odd = failed_rag(
        1,
        provider="mistral",
        model="m",
        tenant="acme",
        cost=5,
        reserved=9,
        fallback_used=True,
        temperature=0.25,
        context=CallContext(user_id="alice", hand_number=3),
    )
    ledger.write((CLOSE, call()), (CLOSE, odd))
    row = LLMCallRepository.get_sync(url, odd.id)
    assert row is not None
    for name in FILTERS:
        if name == "spool":
            continue
        wanted = getattr(row, name)
        if wanted is not None:
            assert odd.id in [found.id for found in find(url, **{name: wanted})], name
            assert odd.id in [found.id for found in find(url, **{name: [wanted]})], name
    assert [found.id for found in find(url, provider=["mistral", "groq"], cost_nano_usd=5)] == [odd.id]
    assert find(url, provider="groq") == []
    assert len(find(url, provider=None)) == 2
    assert find(url, status=[]) == []


def test_tags_must_all_be_there(ledger: Ledger, url: str) -> None:
    tagged = {
        name: failed_rag(0, context=CallContext(tags=tags))
        for name, tags in {"one": ("a",), "two": ("a", "b"), "none": (), "odd": ('a"b%_\\', "ä")}.items()
    }
    ledger.write(*((CLOSE, record) for record in tagged.values()))

    def having(tags: Any) -> set[str]:
        ids = {record.id: name for name, record in tagged.items()}
        return {ids[found.id] for found in find(url, tags=tags)}

    assert having("a") == having(["a"]) == {"one", "two"}
    assert having(["a", "b"]) == {"two"}
    assert having('a"b%_\\') == having(["ä"]) == {"odd"}
    assert having("a%") == having("A") == having("") == set()
    assert having([]) == set(tagged)


def test_a_time_is_from_and_before(ledger: Ledger, url: str) -> None:
    ledger.write(*((CLOSE, failed_rag(n)) for n in range(5)))
    second = timedelta(seconds=1)

    def seconds(start: datetime | None, end: datetime | None) -> list[int]:
        return [round((found.created_at - NOON).total_seconds()) for found in find(url, start_date=start, end_date=end)]

    assert seconds(NOON + second, None) == [4, 3, 2, 1]
    assert seconds(None, NOON + 2 * second) == [1, 0]
    assert seconds(NOON + second, NOON + 3 * second) == [2, 1]
    assert seconds((NOON + 3 * second).replace(tzinfo=None), None) == [4, 3]


@pytest.mark.parametrize(
    "sort", ["-created_at", "created_at", "-cost_nano_usd", "cost_nano_usd", "started_at", "-latency_ms"]
)
def test_pages_hold_every_call_once_and_in_order(ledger: Ledger, url: str, sort: str) -> None:
    import random

    luck = random.Random(1)
    records = [some_call(luck, created_at=NOW + luck.randrange(5), started_at=luck.choice([0, NOW])) for _ in range(53)]
    ledger.write(*((CLOSE, record) for record in records))
    whole = find(url, sort=sort, limit=100)

    pages: list[LLMCall] = []
    while page := find(
        url, sort=sort, limit=10, after=(pages[-1] if len(pages) % 20 else pages[-1].id) if pages else None
    ):
        pages += page

    assert pages == whole
    assert {found.id for found in pages} == {record.id for record in records}
    column = sort.removeprefix("-")
    values = [getattr(found, column) for found in whole]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=sort.startswith("-"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"tags": [7]},
        {"limit": 0},
        {"limit": 10**9},
        {"limit": "10"},
        {"sort": "colour"},
        {"sort": "prompt; DROP TABLE llm_calls"},
        {"sort": None},
        {"status": "happy"},
        {"source": "moon"},
        {"user_id": 7},
        {"hand_number": "seven"},
        {"fallback_used": "yes"},
        {"temperature": "hot"},
        {"start_date": "yesterday"},
        {"created_at": 7},
        {"after": "no such call"},
        {"after": 7},
        {"model": ["m"] * 501},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(ledger: Ledger, url: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(LLMValidationError):
        find(url, **wrong)


def test_the_process_s_own_ledger_is_asked_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UsageTracker, "_default", UsageTracker(str(tmp_path / "calls.db")))
    tracker = UsageTracker.default()
    record = call(context=CallContext(trace_id="t"))
    tracker.record(record)
    assert [found.id for found in asyncio.run(LLMCallRepository.get_calls_by_trace("t"))] == [record.id]
    assert LLMCallRepository.get_sync(record.id) is not None
    tracker.close()


async def test_the_statistics_of_the_logging_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UsageTracker, "_default", UsageTracker(str(tmp_path / "calls.db")))
    tracker = UsageTracker.default()
    wall = now()[1]
    tracker.record(call(created_at=wall, cost=2_500_000_000, context=CallContext(user_id="user_123")))
    tracker.record(call(created_at=wall, context=CallContext(user_id="another")))

    stats = await LLMLogger.get_cost_stats(user_id="user_123", days=30)
    assert f"Total cost: ${stats['total_cost']}" == "Total cost: $2.5"
    assert (stats["total_calls"], list(stats["by_call_type"]), list(stats["by_model"])) == (
        1,
        ["chat"],
        ["openai/gpt-4o-mini"],
    )
    perf = await LLMLogger.get_performance_stats(provider="openai", model="gpt-4o-mini", days=7)
    assert f"{perf['avg_latency_ms']}ms {perf['p95_latency_ms']}ms" == "500.0ms 500.0ms"
    assert LLMLogger.get_performance_stats_sync("openai", where=tracker)["total_calls"] == 2
    tracker.close()
