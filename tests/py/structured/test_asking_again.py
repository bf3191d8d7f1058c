"""What does not fit is asked again: how often, for how much, for how long, and who finds it in the ledger."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.call_context import context
from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.errors import LLMServerError, LLMValidationError
from llmcore.ledger.repo import LLMCallRepository
from llmcore.ledger.tracker import UsageTracker
from llmcore.runtime import Runtime
from llmcore.structured import Asking
from llmcore.types import Money
from support.reviews import BAD, COST, GOOD, HELLO, PROBLEMS, Ask, Review, as_said, chat, runtime_of
from support.scripted import ListSink, settings_of
from support.server import Answer, ScriptedServer


def test_it_is_asked_again_as_a_child_of_the_first_call(ask: Ask) -> None:
    sink = ListSink()
    with ScriptedServer() as server, context(trace_id="t1", parent_call_id="outer"):
        server.script(chat(BAD), chat("Sorry!"), chat(GOOD))
        found = ask(runtime_of(server, sink=sink), user_id="u1", call_type="sentiment_analysis")
    assert found.value.stars == 4
    assert [call.content for call in found.calls] == [BAD, "Sorry!", GOOD]
    assert found.cost == Money(3 * COST)
    first, *more = sink.records
    assert [record.id for record in sink.records] == [call.call_id for call in found.calls]
    assert first.context.parent_call_id == "outer"
    assert {record.context.parent_call_id for record in more} == {first.id}
    assert {(record.context.trace_id, record.context.user_id, record.call_type) for record in sink.records} == {
        ("t1", "u1", "sentiment_analysis")
    }
    second, third = (request.json["messages"] for request in server.requests[1:])
    assert second[:-1] == [*HELLO, {"role": "assistant", "content": BAD}]
    assert "- mood: Input should be 'good' or 'bad'" in second[-1]["content"]
    assert "- stars: " in second[-1]["content"]
    # The answer before is not repeated: the prompt does not grow with every try.
    assert third[:-1] == [*HELLO, {"role": "assistant", "content": "Sorry!"}]
    assert server.requests[2].json["response_format"] == server.requests[0].json["response_format"]


def test_an_answer_that_never_fits_is_an_error_with_everything_that_came(ask: Ask) -> None:
    with ScriptedServer(lambda request: chat(BAD)) as server, pytest.raises(LLMValidationError) as caught:
        ask(runtime_of(server), max_retries=1)
    error = caught.value
    assert str(error) == (
        "openai/m1: the answer is no Review (mood: literal_error; stars: less_than_equal), after 1 of 1 re-asks"
    )
    assert error.answer == BAD
    assert [str(problem) for problem in error.problems] == PROBLEMS
    assert len(error.calls) == error.attempts == len(server.requests) == 2
    assert error.call_id == error.calls[0].call_id
    assert error.cost == Money(2 * COST)
    assert error.__cause__ is None
    assert error.__context__ is None  # which would repeat the answer in a traceback


def test_no_re_asks_no_second_call(ask: Ask) -> None:
    with ScriptedServer(lambda request: chat("{}")) as server, pytest.raises(LLMValidationError) as caught:
        ask(runtime_of(server), max_retries=0)
    assert len(server.requests) == 1
    assert [str(problem) for problem in caught.value.problems] == ["mood: missing", "stars: missing"]


def test_the_re_asks_may_cost_only_so_much(ask: Ask) -> None:
    with ScriptedServer(lambda request: chat(BAD)) as server:
        runtime = runtime_of(server)
        worst = LLMClient(model="m1", runtime=runtime).estimate_cost(HELLO, max_tokens=100).worst_case
        assert worst is not None
        with pytest.raises(LLMValidationError, match="asking again could cost more than max_retry_cost") as caught:
            # A re-ask has a longer prompt than the first call: there is no room for six, and some for one.
            ask(runtime, max_retries=9, max_tokens=100, max_retry_cost=worst + Money(6 * COST))
        asked = len(caught.value.calls)
        assert 1 < asked < 7
        assert asked == len(server.requests)
        with pytest.raises(LLMValidationError, match="max_retry_cost=\\$0"):
            ask(runtime, max_tokens=100, max_retry_cost=0)
        assert len(server.requests) == asked + 1


def test_an_unknown_price_meets_no_cap(ask: Ask) -> None:
    with (
        ScriptedServer(lambda request: chat(BAD, model="unheard-of")) as server,
        pytest.raises(LLMValidationError, match="the model's price is unknown"),
    ):
        ask(runtime_of(server), model="unheard-of", max_retry_cost=5)
    assert len(server.requests) == 1


def test_the_deadline_is_of_all_calls_together() -> None:
    clock, seconds = ManualClock(), itertools.count(6, 6)

    def late(request: Any) -> Answer:
        clock.set(next(seconds) * 10**9)
        return chat(BAD)

    with ScriptedServer(late) as server:
        runtime = Runtime(runtime_of(server).settings, tracker=ListSink(), clock=clock)
        with pytest.raises(LLMValidationError, match="its deadline of 10 s is over") as caught:
            LLMClient(model="m1", runtime=runtime).complete_structured(HELLO, Review, deadline=10.0)
        assert len(caught.value.calls) == 2


def test_a_re_ask_has_the_time_that_is_left() -> None:
    clock = ManualClock()
    runtime = Runtime(settings_of(provider="offline"), tracker=ListSink(), clock=clock)
    client = LLMClient(runtime=runtime)
    asking: Asking[Review] = Asking(client, HELLO, Review, deadline=10.0)
    assert asking.call(HELLO, {})["deadline"] == 10.0
    asking.calls.append(client.complete(HELLO))
    clock.set(6 * 10**9)
    assert asking.call(HELLO, {})["deadline"] == 4.0
    assert asking.why_not_again(HELLO) is None
    clock.set(10 * 10**9)
    assert asking.why_not_again(HELLO) == "and its deadline of 10 s is over"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (as_said("stop", "", refusal="I would rather not."), "refusal"),
        (as_said("length", '{"mood": "go'), "length"),
        (as_said("content_filter"), "content_filter"),
    ],
)
def test_what_no_re_ask_would_help_ends_it(ask: Ask, answer: Answer, what: str) -> None:
    with ScriptedServer(lambda request: answer) as server, pytest.raises(LLMValidationError) as caught:
        ask(runtime_of(server))
    assert len(server.requests) == 1
    assert [str(problem) for problem in caught.value.problems] == [what]
    assert "rather not" not in str(caught.value)


def test_a_value_that_ends_with_the_limit_is_a_value(ask: Ask) -> None:
    with ScriptedServer(lambda request: as_said("length", GOOD)) as server:
        assert ask(runtime_of(server)).value.stars == 4


def test_an_error_of_a_call_is_its_own(ask: Ask) -> None:
    with ScriptedServer() as server:
        server.script(chat(BAD), Answer.error(500))
        with pytest.raises(LLMServerError):
            ask(runtime_of(server))


def test_the_ledger_finds_the_re_asks_and_what_they_cost_by_the_first(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        server.script(chat(BAD), chat(GOOD))
        tracker = UsageTracker(str(tmp_path / "ledger.db"))
        found = LLMClient(model="m1", runtime=runtime_of(server, sink=tracker)).complete_structured(HELLO, Review)
        calls = LLMCallRepository.get_tree_sync(tracker, found.call_id)
        tracker.close()
    assert [call.id for call in calls] == [call.call_id for call in found.calls]
    assert found.cost is not None
    assert sum(call.cost_nano_usd or 0 for call in calls) == found.cost.nano_usd


def test_cancelling_gives_everything_back() -> None:
    async def cancelled(server: ScriptedServer, runtime: Runtime) -> None:
        client = AsyncLLMClient(model="m1", runtime=runtime)
        task = asyncio.create_task(client.complete_structured(HELLO, Review))
        await asyncio.to_thread(server.wait_for, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ScriptedServer() as server:
        server.script(chat(BAD), chat(GOOD, gate=server.gate()))
        sink = ListSink()
        runtime = runtime_of(server, sink=sink)
        asyncio.run(cancelled(server, runtime))
        assert runtime.stats()["in_flight"] == 0
        assert [record.status.value for record in sink.records] == ["success", "cancelled"]
