"""Costs that are computed again."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.making import NOW, SECOND, ask, attempts, call
from llmcore._core import PriceCard, Rates, Usage
from llmcore.ledger.repricing import reprice
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, Outcome

START = datetime.fromtimestamp(NOW / SECOND, UTC)
DEARER = PriceCard(Rates(input=1_000_000_000, output=2_000_000_000), source="new")


def card(provider: str, model: str, at: int) -> PriceCard | None:
    return DEARER if model.startswith("gpt-4o-mini") else None


@pytest.fixture
def ledger(path: Path) -> Path:
    twice = attempts(Usage(input_uncached=100, output_text=20), [Outcome.OVERLOADED, Outcome.OK])
    tracker = UsageTracker(str(path))
    tracker.record(call(cost=None, price_source=None, context=CallContext(metadata={"n": 1})))
    tracker.record(call(cost=140_000, price_source="new"))
    tracker.record(call(cost=7, attempts=twice, usage=twice[-1].usage))
    tracker.record(call(cost=None, model="grandma", response_model="grandma"))
    tracker.record(call(cost=3, created_at=NOW - SECOND))
    tracker.close()
    return path


def test_looking_changes_nothing(ledger: Path) -> None:
    before = ask(ledger, "SELECT * FROM llm_calls ORDER BY id")
    found = reprice(str(ledger), START, card)
    assert (found.looked_at, len(found.changes), found.unknown) == (4, 2, 1)
    assert (found.before, found.after) == (7, 280_000)
    assert ask(ledger, "SELECT * FROM llm_calls ORDER BY id") == before


def test_what_changes_keeps_its_old_figure_and_sums_follow(ledger: Path) -> None:
    reprice(str(ledger), START, card, apply=True)
    rows = ask(ledger, "SELECT cost_nano_usd, price_source, metadata FROM llm_calls ORDER BY rowid")
    assert [row[:2] for row in rows] == [
        (140_000, "new"),
        (140_000, "new"),
        (140_000, "new"),
        (None, None),
        (3, None),
    ]
    assert json.loads(rows[0][2]) == {"n": 1, "repriced": {"cost_nano_usd": None, "price_source": None}}
    assert json.loads(rows[2][2]) == {"repriced": {"cost_nano_usd": 7, "price_source": None}}
    assert rows[1][2] is None
    assert ask(ledger, "SELECT sum(cost_nano_usd), sum(calls) FROM llm_sums WHERE scope = 'day'") == [(420_003, 5)]
    again = reprice(str(ledger), START, card, apply=True)
    assert again.changes == []
