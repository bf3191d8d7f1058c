"""What docs/ledger.md says of the ledger is so."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ledger.making import SECOND, attempts, call
from llmcore._core import Usage, now
from llmcore.ledger import models
from llmcore.ledger.rows import ATTEMPT_COLUMNS, CALL_COLUMNS
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, LLMCallStatusEnum, Outcome, Source

PAGE = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text()
QUERIES = re.findall(r"^([^\n]+\?)\n\n```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

TABLES = [
    ("llm_calls", CALL_COLUMNS),
    ("llm_attempts", ATTEMPT_COLUMNS),
    ("llm_payloads", tuple(models.llm_payloads.c.keys())),
    ("llm_sums", tuple(models.llm_sums.c.keys())),
]
Row = dict[str, object]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three users; twenty answers of 1 to 20 s, one retried; one from the cache, one joined, one refused."""
    path = tmp_path_factory.mktemp("ledger") / "calls.db"
    wall = now()[1]
    tracker = UsageTracker(str(path))
    alice = CallContext(user_id="alice", trace_id="trace-1")
    for n in range(1, 21):
        tracker.record(
            call(context=alice if n == 1 else CallContext(user_id="bob"), latency=n * SECOND, created_at=wall)
        )
    retried = attempts(Usage(input_uncached=100, output_text=20), [Outcome.OVERLOADED, Outcome.OK])
    tracker.record(call(context=alice, attempts=retried, created_at=wall + 1, request_id="req_1", latency=SECOND))
    hit = {"status": LLMCallStatusEnum.CACHED, "attempts": [], "cost": 0, "saved": 2 * 10**9, "created_at": wall}
    tracker.record(call(source=Source.CACHE, **hit))
    tracker.record(call(source=Source.JOINED, **hit))
    refused = {"status": LLMCallStatusEnum.REFUSED, "source": Source.NONE, "outcome": Outcome.OVER_BUDGET}
    tracker.record(call(context=CallContext(user_id="carol"), cost=None, attempts=[], created_at=wall, **refused))
    tracker.close()
    return path


def answer(ledger: Path, words: str) -> list[Row]:
    """The rows of the query whose question holds these words."""
    ((_, query),) = [found for found in QUERIES if words in found[0]]
    with closing(sqlite3.connect(ledger)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query)]


def test_there_are_five_questions() -> None:
    assert len(QUERIES) == 5


def test_what_each_user_cost(ledger: Path) -> None:
    rows = {row["user_id"]: row for row in answer(ledger, "each user cost")}
    assert set(rows) == {"alice", "bob", "carol", None}
    one = call().cost
    assert one is not None
    assert rows["bob"]["usd"] == pytest.approx(19 * one / 1e9)
    assert (rows["bob"]["calls"], rows["bob"]["unknown_cost"]) == (19, 0)
    assert (rows["carol"]["usd"], rows["carol"]["unknown_cost"]) == (None, 1)


def test_how_fast_each_model_is(ledger: Path) -> None:
    (row,) = answer(ledger, "How fast")
    assert (row["provider"], row["model"], row["calls"]) == ("openai", "gpt-4o-mini", 21)
    assert (row["p50_ms"], row["p95_ms"]) == (10_000.0, 19_000.0)


def test_which_calls_have_no_answer(ledger: Path) -> None:
    (row,) = answer(ledger, "no answer")
    assert (row["error_code"], row["calls"]) == ("over_budget", 1)


def test_what_happened_in_one_request(ledger: Path) -> None:
    rows = answer(ledger, "one request")
    found = [(row["number"], row["outcome"], row["request_id"]) for row in rows]
    assert found == [(1, "ok", None), (1, "overloaded", None), (2, "ok", "req_1")]


def test_what_the_cache_saves(ledger: Path) -> None:
    (row,) = answer(ledger, "cache and joining save")
    assert (row["calls"], row["from_cache"], row["joined"], row["usd_saved"]) == (24, 1, 1, 4.0)


@pytest.mark.parametrize(("table", "columns"), TABLES)
def test_every_column_is_explained(table: str, columns: tuple[str, ...]) -> None:
    section = PAGE.partition(f"### {table}\n")[2].partition("\n#")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == columns
