"""Whatever text comes in a filter, a context field or a prompt: nothing else changes, nothing is an error of the
database, and what was recorded is found again by the same text.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine

from ledger.making import NOW, call
from ledger.test_rollups import expected, kept
from llmcore.errors import LLMValidationError
from llmcore.ledger.check import check
from llmcore.ledger.database import Database
from llmcore.ledger.filters import FILTERS
from llmcore.ledger.repo import LLMCall, LLMCallRepository
from llmcore.ledger.stats import get_cost_stats, get_performance_stats, report, statistics
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Texts

find: Callable[..., list[LLMCall]] = LLMCallRepository.list_by_filters_sync
context_of: Callable[..., CallContext] = CallContext

PIECES = (
    *(
        "'",
        '"',
        "`",
        "\\",
        ";",
        "--",
        "/*",
        "*/",
        "#",
        "%",
        "_",
        "%s",
        "%(id)s",
        ":id",
        "?",
        "$1",
        "{0}",
        "{{",
        "}}",
        "\x00",
    ),
    *("' OR '1'='1", "'; DROP TABLE llm_calls; --", "1); DELETE FROM llm_calls; --", "') UNION SELECT 1 --", "' || '"),
    *("0x27", "NULL", "null", "None", "TRUE", "NaN", "Infinity", "-1", "1e309", "99999999999999999999999999"),
    *(
        "\n",
        "\r\n",
        "\t",
        "\x1b[2J",
        "\x07",
        "\x7f",
        "\x85",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\u200b",
        "\ud800",
        "\udfff\ud800",
    ),
    *("é", "e\u0301", "ß", "İ", "你好", "🙂", "👩\u200d👩\u200d👧", "\U0010ffff", "\ufffe", "a" * 2000, "x y", " ", ""),
    *(
        "[]",
        "{}",
        '{"$ne": null}',
        '["a"',
        "\\u0000",
        "\\x27",
        "../../etc/passwd",
        "${jndi:ldap://x}",
        "<script>",
        "=1+1",
    ),
)


def hostile(count: int = 600) -> list[str]:
    luck = random.Random(20260301)
    found = dict.fromkeys(PIECES)
    while len(found) < count:
        found["".join(luck.choice(PIECES) for _ in range(luck.randrange(2, 5)))] = None
    return list(found)


TEXT_COLUMNS = [
    name
    for name in FILTERS
    if name.endswith("_id")
    or name in ("call_type", "model", "provider", "tenant", "player_name", "prompt_template", "id")
]
CONTEXT = ("user_id", "owner_id", "session_id", "task_id", "company_id", "review_id", "game_id", "player_name",
           "prompt_template", "trace_id", "parent_call_id", "trackable_type", "trackable_id")  # fmt: skip


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    Database(url).connect().close()
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_there_are_600() -> None:
    assert len(set(hostile())) == 600


@pytest.mark.slow
def test_no_text_in_a_filter_does_anything_but_filter(url: str, connection: Connection, tmp_path: Path) -> None:
    tracker = UsageTracker(url, spool_dir=tmp_path)
    context = context_of(**dict.fromkeys(CONTEXT, "plain"), tags=("plain",))
    tracker.record(call(context=context))
    tracker.close()
    for number, text in enumerate(hostile()):
        column = TEXT_COLUMNS[number % len(TEXT_COLUMNS)]
        assert find(connection, **{column: text}) == [], (column, text)
        assert find(connection, **{column: [text, text + "'"]}) == []
        assert find(connection, tags=text, **dict.fromkeys(TEXT_COLUMNS, text)) == []
        assert LLMCallRepository.get_sync(connection, text) is None
        assert LLMCallRepository.get_calls_by_trace_sync(connection, text) == []
        for wrong in (
            {"sort": text},
            {"status": text},
            {"after": text},
            {text: "x"},
            {"start_date": text},
            {"limit": text},
        ):
            with pytest.raises(LLMValidationError):
                find(connection, **wrong)
        if number % 5 == 0:
            assert statistics(connection, ["model"], tenant=text, model=text, user_id=text) == {}
            assert get_cost_stats(connection, company_id=text, provider=text)["total_calls"] == 0
            assert get_performance_stats(connection, call_type=f"{text}!")["total_calls"] == 0
            with pytest.raises(LLMValidationError):
                statistics(connection, [text])
    assert len(find(connection, tags="plain", user_id="plain")) == 1
    assert check(url).problems == []


@pytest.mark.slow
def test_what_is_recorded_with_any_text_is_found_by_it(url: str, connection: Connection, tmp_path: Path) -> None:
    tracker = UsageTracker(url, spool_dir=tmp_path)
    texts = hostile()
    records: dict[str, CallRecord] = {}
    for text in texts:
        context = context_of(**dict.fromkeys(CONTEXT, text), tags=(text, "all"), metadata={text: text, "n": [text]})
        records[text] = call(call_type=text, model=text, provider=text, error_message=text, context=context)
        tracker.record(records[text], Texts(messages=[{"role": "user", "content": text}], response=text))
    tracker.close()
    stats = tracker.stats()
    assert (stats.written, stats.lost) == (len(texts), 0)

    for number, text in enumerate(texts):
        column = CONTEXT[number % len(CONTEXT)]
        found = find(connection, limit=10_000, **{column: text})
        assert records[text].id in [one.id for one in found], (column, text)
        tagged = find(connection, limit=10_000, tags=[text, "all"], model=text)
        assert "\x00" in text or records[text].id in [one.id for one in tagged], text
    assert report(url).total.calls == len(texts)
    connection.rollback()
    with closing(Database(url).connect()) as own:
        assert kept(own).keys() >= {key for key in expected(own) if max(map(len, key)) < 60}
    assert check(url).problems == []


def test_long_text_and_half_characters_come_back(url: str, tmp_path: Path) -> None:
    luck = random.Random(1)
    long = "".join(chr(luck.randrange(0x20, 0xD7FF)) for _ in range(100_000)) * 18
    assert len(long.encode()) > 5_000_000
    # Longer than what an index of PostgreSQL holds, and nothing to be compressed.
    name = long[:5000]
    tracker = UsageTracker(url, spool_dir=tmp_path)
    wordy = call(context=CallContext(user_id=name, trace_id=name, company_id=name, metadata={"long": name}), model=name)
    odd = call()
    tracker.record(wordy, Texts(messages=[{"role": "user", "content": long}], response=long))
    tracker.record(odd, Texts(messages=[{"role": "user", "content": "half \ud800"}], response="nul \x00 end"))
    tracker.close()
    assert tracker.stats().lost == 0

    found = LLMCallRepository.get_sync(url, wordy.id)
    assert found is not None
    assert (found.prompt, found.response) == (long, long)
    assert found.user_id in (name, name[:500])
    found = LLMCallRepository.get_sync(url, odd.id)
    assert found is not None
    assert found.prompt == "half ?"
    assert found.response == ("nul \x00 end" if url.startswith("sqlite") else "nul  end")
    assert check(url).problems == []


def test_numbers_beyond_64_bits_are_refused_as_filters_and_not_known_as_figures(url: str, tmp_path: Path) -> None:
    tracker = UsageTracker(url, spool_dir=tmp_path)
    record = call(context=CallContext(hand_number=10**30), cost=10**30, max_tokens=-(10**30))
    tracker.record(record)
    tracker.close()
    assert tracker.stats().lost == 0
    found = LLMCallRepository.get_sync(url, record.id)
    assert found is not None
    assert (found.hand_number, found.cost_nano_usd, found.max_tokens) == (None, None, None)
    for number in (2**63, -(2**64), 10**300):
        assert find(url, hand_number=number, attempts=number) == []
    for real in (float("inf"), float("nan"), 10**400):
        assert find(url, latency_ms=real) == []


def test_times_at_the_ends_of_time_are_times(url: str, tmp_path: Path) -> None:
    tracker = UsageTracker(url, spool_dir=tmp_path)
    tracker.record(call(created_at=NOW))
    tracker.close()
    first, last = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - naive on purpose
    for utc in (None, UTC):
        span = {"start_date": first.replace(tzinfo=utc), "end_date": last.replace(tzinfo=utc)}
        assert len(find(url, **span)) == 1
        assert report(url, span["start_date"], span["end_date"]).total.calls == 1
        assert len(statistics(url, ["day"], since=span["start_date"], until=span["end_date"])) == 1


def test_a_call_that_never_ends_well_is_no_secret(url: str, tmp_path: Path) -> None:
    """What is pending has no part in sums, and is found by its status."""
    tracker = UsageTracker(url, spool_dir=tmp_path)
    pending = call(status=LLMCallStatusEnum.PENDING)
    tracker.record(pending)
    tracker.close()
    assert statistics(url, []) == {}
    assert report(url).total.pending == 1
    found = find(url, status="pending")
    assert [one.id for one in found] == [pending.id]
