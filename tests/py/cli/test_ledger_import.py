"""``llmcore ledger import``: what a game wrote down becomes rows. The C++ client wrote tests/data/game_spool."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcore._core import JournalWriter

Run = Callable[..., Any]
WRITTEN = Path(__file__).parents[2] / "data" / "game_spool"


@pytest.fixture
def spool() -> Path:
    shutil.copytree(WRITTEN, "spool", ignore=shutil.ignore_patterns("README.md"))
    return Path("spool")


def rows(query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect("calls.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_the_calls_of_a_game_become_rows_once(run: Run, spool: Path) -> None:
    for _ in range(2):
        ran = run("ledger", "import", spool, "--database", "calls.db")
        assert (ran.code, ran.err) == (0, "")
        found = rows(
            "SELECT status, provider, model, player_name, game_id, input_tokens, output_tokens, cost_nano_usd, "
            "attempts FROM llm_calls ORDER BY created_at, id"
        )
        assert [row[0] for row in found] == ["success", "cached", "fallback", "fallback", "cancelled", "lost"]
        assert found[0] == ("success", "p1", "m1", "ann", "village", 10, 20, 230_000, 1)
        assert found[2][1:3] == ("offline", "offline")
        assert found[2][8] == 2
    assert rows("SELECT response FROM llm_payloads WHERE response IS NOT NULL ORDER BY call_id")[0] == ("Good day.",)
    assert rows("SELECT count(*) FROM llm_attempts") == [(5,)]


def test_a_spool_that_is_being_written_is_imported_again_later(run: Run, spool: Path) -> None:
    writer = JournalWriter(spool)
    ran = run("ledger", "import", spool, "--database", "calls.db", "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert found == {"entries": 9, "calls": 5, "refused": 0, "damaged": 0, "running": True}
    assert rows("SELECT count(*) FROM llm_calls WHERE status = 'pending'") == [(1,)]
    writer.close()
    assert run("ledger", "import", spool, "--database", "calls.db").code == 0
    assert rows("SELECT count(*) FROM llm_calls WHERE status = 'lost'") == [(1,)]


def test_what_is_damaged_is_said_and_the_rest_is_there(run: Run, spool: Path) -> None:
    (segment,) = spool.glob("*.journal")
    data = bytearray(segment.read_bytes())
    data[200] ^= 0xFF
    segment.write_bytes(data)
    ran = run("ledger", "import", segment, "--database", "calls.db")
    assert ran.code == 1
    assert "damaged in the spool" in ran.out
    assert rows("SELECT count(*) FROM llm_calls")[0][0] >= 4


def test_where_there_is_no_spool_it_says_so(run: Run) -> None:
    ran = run("ledger", "import", "nowhere", "--database", "calls.db")
    assert ran.code == 2
    assert "there is no spool at nowhere" in ran.err
