"""The repository of requests, in both databases: rows as the view has them, pages, a tree of calls."""

import uuid
from contextlib import closing
from typing import Any

import pytest

from ledger.making import call
from llmcore._core import now, uuid7
from llmcore.errors import LLMValidationError
from llmcore.ledger.repo import LLMCallRepository
from llmcore.ledger.requests import LLMRequestRepo
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, CallRecord, Texts

MESSAGES = [{"role": "user", "content": "Grüß Gott 🗼"}]


def made(number: int, **context: Any) -> CallRecord:
    wall = now()[1] + number * 1_000_000
    record = call(id=uuid7(wall), context=CallContext(**context))
    record.created_at = wall
    return record


def test_requests_come_as_the_view_has_them(url: str) -> None:
    ann = uuid.uuid4()
    records = [made(number, user_id=str(ann) if number % 2 else "bob") for number in range(10)]
    with closing(UsageTracker(url)) as tracker:
        for record in records:
            tracker.record(record, Texts(MESSAGES, "Hello!"))
        repo = LLMRequestRepo(tracker)
        found = repo.by_id(uuid.UUID(records[1].id))
        assert found is not None
        assert (found.id, found.user_id, found.status) == (records[1].id, str(ann), records[1].status.value)
        assert (found.messages, found.response) == (MESSAGES, "Hello!")
        assert records[1].cost is not None
        assert found.cost_estimate == pytest.approx(records[1].cost / 1e9)
        assert found.tokens_used == found.input_tokens + found.output_tokens
        assert found.created_at.timestamp() == pytest.approx(records[1].created_at / 1e9, abs=1e-3)
        newest_first = [record.id for record in reversed(records) if record.context.user_id == str(ann)]
        assert [row.id for row in repo.by_user(ann)] == newest_first
        assert [row.id for row in repo.by_user(ann, 2, 1)] == newest_first[1:3]
        assert repo.by_user("' OR 1=1 --") == []
        assert repo.by_id("no id at all\x00\ud800") is None
        with pytest.raises(LLMValidationError, match="limit"):
            repo.by_user(ann, 10**9)


def test_a_call_and_all_that_was_made_inside_it(url: str) -> None:
    root = made(0, trace_id="t")
    children = [made(number, parent_call_id=root.id) for number in (1, 3)]
    grandchild = made(2, parent_call_id=children[0].id)
    stranger = made(4, parent_call_id=str(uuid.uuid4()))
    with closing(UsageTracker(url)) as tracker:
        for record in (grandchild, stranger, *children, root):
            tracker.record(record)
        found = [each.id for each in LLMCallRepository.get_tree_sync(tracker, root.id)]
        assert found == [root.id, children[0].id, grandchild.id, children[1].id]
        assert [each.id for each in LLMCallRepository.get_tree_sync(tracker, grandchild.id)] == [grandchild.id]
        assert LLMCallRepository.get_tree_sync(tracker, str(uuid.uuid4())) == []


def test_whoever_is_his_own_grandfather_is_in_the_tree_once(url: str) -> None:
    first = made(0)
    second = made(1, parent_call_id=first.id)
    first.context = CallContext(parent_call_id=second.id)
    with closing(UsageTracker(url)) as tracker:
        tracker.record(first)
        tracker.record(second)
        assert [each.id for each in LLMCallRepository.get_tree_sync(tracker, second.id)] == [second.id, first.id]
