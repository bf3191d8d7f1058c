"""Calls booked on the things they were made for."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ledger.making import ask, count
from llmcore import LLMClient
from llmcore.errors import UnknownModelError
from llmcore.ledger.costs import CostTracker
from llmcore.ledger.tracker import UsageTracker


@dataclass
class Assignment:
    id: int | None


class Base(DeclarativeBase):
    pass


class Rubric(Base):
    __tablename__ = "rubrics"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


ANSWER = SimpleNamespace(
    model="gpt-4o-mini",
    usage=SimpleNamespace(prompt_tokens=1001, completion_tokens=10),
    choices=[SimpleNamespace(message=SimpleNamespace(content="A rubric."))],
)
BOOKING: dict[str, Any] = {
    "trackable": Assignment(7),
    "user": "u1",
    "request_type": "generate_rubric",
    "prompt": "Make one.",
}


@pytest.fixture
def tracker(path: Path) -> Iterator[UsageTracker]:
    tracker = UsageTracker(str(path))
    yield tracker
    tracker.close()


def test_an_answer_of_another_client(path: Path, tracker: UsageTracker) -> None:
    record = CostTracker.record(llm_response=ANSWER, **BOOKING, tracker=tracker)
    tracker.flush(30)
    nano = 1001 * 150 + 10 * 600
    assert (record.nano_usd, record.micro_usd, record.dollars) == (nano, 156, Decimal("0.000156"))
    assert (record.llm, record.token_count, record.request_type) == ("gpt-4o-mini", 1011, "generate_rubric")
    query = "SELECT id, trackable_type, trackable_id, user_id, llm, request_type, token_count, micro_usd, prompt "
    assert ask(path, query + "FROM llm_usage_records") == [
        (record.id, "Assignment", "7", "u1", "gpt-4o-mini", "generate_rubric", 1011, 156, "Make one.")
    ]
    assert ask(path, "SELECT response FROM llm_payloads") == [("A rubric.",)]


def test_a_call_of_ours_is_booked_and_not_counted_again(path: Path) -> None:
    tracker = UsageTracker(str(path))
    with LLMClient("offline", tracker=tracker) as client:
        answer = client.complete([{"role": "user", "content": "Hi"}], game_id="g1")
        record = CostTracker.record(llm_response=answer, **BOOKING, tracker=tracker)
    tracker.close()
    assert record.id == answer.call_id
    query = "SELECT id, trackable_type, trackable_id, user_id, call_type, game_id, attempts FROM llm_calls"
    assert ask(path, query) == [(answer.call_id, "Assignment", "7", "u1", "generate_rubric", "g1", 1)]


THINGS = [
    (Assignment(7), ("Assignment", "7")),
    (Rubric(id=3), ("Rubric", "3")),
    (("Assignment", 7), ("Assignment", "7")),
    (("Assignment", Assignment(8)), ("Assignment", "8")),
]


@pytest.mark.parametrize(("thing", "meant"), THINGS)
def test_anything_with_an_id_can_be_booked_on(thing: Any, meant: tuple[str, str], tracker: UsageTracker) -> None:
    record = CostTracker.record(llm_response=ANSWER, **(BOOKING | {"trackable": thing}), tracker=tracker)
    assert (record.trackable_type, record.trackable_id) == meant


@pytest.mark.parametrize("name", ["trackable", "user", "request_type", "prompt"])
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_missing_is_named(name: str, value: Any, path: Path, tracker: UsageTracker) -> None:
    with pytest.raises(ValueError, match=f"{name} is missing"):
        CostTracker.record(llm_response=ANSWER, **(BOOKING | {name: value}), tracker=tracker)
    tracker.close()
    assert not path.exists()


def test_a_thing_without_an_id(tracker: UsageTracker) -> None:
    with pytest.raises(ValueError, match="trackable has no id yet: save it first"):
        CostTracker.record(llm_response=ANSWER, **(BOOKING | {"trackable": Assignment(None)}), tracker=tracker)


@pytest.mark.parametrize("answer", [SimpleNamespace(text="?"), {"usage": 3}])
def test_an_answer_that_is_none(answer: Any, tracker: UsageTracker) -> None:
    with pytest.raises(ValueError, match="llm_response has no model"):
        CostTracker.record(llm_response=answer, **BOOKING, tracker=tracker)


def test_a_model_without_a_price_is_not_booked(path: Path, tracker: UsageTracker) -> None:
    answer = {"model": "grandma-7b", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    with pytest.raises(UnknownModelError, match="no price is known for model 'grandma-7b'"):
        CostTracker.record(llm_response=answer, **BOOKING, tracker=tracker)
    tracker.close()
    assert not path.exists()


def test_a_booking_of_a_call_that_is_not_there_changes_nothing(
    path: Path, tmp_path: Path, tracker: UsageTracker
) -> None:
    elsewhere = UsageTracker(str(tmp_path / "other.db"))
    with LLMClient("offline", tracker=elsewhere) as client:
        answer = client.complete([{"role": "user", "content": "Hi"}])
    elsewhere.close()
    CostTracker.record(llm_response=answer, **BOOKING, tracker=tracker)
    tracker.flush(30)
    assert count(path) == 0
