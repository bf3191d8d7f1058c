"""Structured answers over real connections: what is asked, what is asked again, and who pays for it."""

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from llmcore.aclient import AsyncLLMClient
from llmcore.call_context import context
from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.errors import LLMAuthError, LLMConfigError, LLMServerError, LLMValidationError
from llmcore.hosts import HOSTS
from llmcore.json_schema import form_of
from llmcore.ledger.repo import LLMCallRepository
from llmcore.ledger.tracker import UsageTracker
from llmcore.runtime import Runtime
from llmcore.structured import Asking, StructuredResponse, mode_for
from llmcore.types import Money
from support.scripted import ListSink, settings_of
from support.server import Answer, ScriptedServer

CANARY = "sk-canary"
HELLO = [{"role": "user", "content": "Review: lovely, if dear."}]
BAD = '{"mood": "furious", "stars": 11}'
COST = 12 * 1000 + 5 * 2000  # nano-USD, of an answer
GOOD = '{"mood": "good", "stars": 4}'
PROBLEMS = ["mood: literal_error", "stars: less_than_equal"]


class Review(BaseModel):
    mood: Literal["good", "bad"]
    stars: int = Field(ge=1, le=5)


class Tree(BaseModel):
    children: list["Tree"] = []


def chat(text: str = "", gate: Any = None, **body: Any) -> Answer:
    return Answer.chat(text, body={"model": "m1", **body}, gate=gate)


def runtime_of(server: ScriptedServer, provider: str = "openai", sink: Any = None, **more: Any) -> Runtime:
    settings = settings_of(
        provider=provider,
        providers={provider: {"api_key": CANARY, "base_url": server.base_url}},
        prices={f"{provider}/m1": {"input": 1, "output": 2}},
        retry={"max_attempts": 1},
        **more,
    )
    return Runtime(settings, tracker=sink or ListSink())


def as_called(text: str) -> Answer:
    call = {"id": "call_1", "type": "function", "function": {"name": "Review", "arguments": text}}
    choice = {"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    return chat(choices=[choice])


def as_said(finish_reason: str, text: str = "", **message: Any) -> Answer:
    choice = {"index": 0, "message": {"content": text, **message}, "finish_reason": finish_reason}
    return chat(choices=[choice])


Ask = Callable[..., StructuredResponse[Review]]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Makes the call with one of the two clients."""

    def sync(runtime: Runtime, *arguments: Any, **options: Any) -> StructuredResponse[Review]:
        client = LLMClient(model="m1", runtime=runtime)
        return client.complete_structured(*(arguments or (HELLO, Review)), **options)

    def asynchronous(runtime: Runtime, *arguments: Any, **options: Any) -> StructuredResponse[Review]:
        client = AsyncLLMClient(model="m1", runtime=runtime)
        return asyncio.run(client.complete_structured(*(arguments or (HELLO, Review)), **options))

    return sync if request.param == "sync" else asynchronous


def test_the_model_is_held_to_the_schema(ask: Ask) -> None:
    with ScriptedServer() as server:
        server.script(chat(GOOD))
        found = ask(runtime_of(server), user_id="u1", call_type="sentiment_analysis", seed=7)
    assert found.value == Review(mood="good", stars=4)
    assert type(found.value) is Review
    assert found.calls == (found.response,)
    assert found.call_id == found.response.call_id
    assert found.cost == found.response.cost == Money(COST)
    sent = server.requests[0].json
    assert sent["seed"] == 7
    assert sent["messages"] == HELLO
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "Review",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {
                    "mood": {"type": "string", "enum": ["good", "bad"]},
                    "stars": {"type": "integer", "minimum": 1, "maximum": 5},
                },
                "required": ["mood", "stars"],
                "additionalProperties": False,
            },
        },
    }


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


# --- tools
# ----------------------------------------------------------------------------------------------------------------------


def test_older_models_are_given_a_tool(ask: Ask) -> None:
    with ScriptedServer() as server:
        server.script(as_called(BAD), as_called(GOOD))
        found = ask(runtime_of(server), model="gpt-4-turbo")
    assert found.value.stars == 4
    first, second = (request.json for request in server.requests)
    assert "response_format" not in first
    assert first["tool_choice"] == {"type": "function", "function": {"name": "Review"}}
    assert first["tools"][0]["function"]["parameters"]["required"] == ["mood", "stars"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][1]["tool_calls"][0]["function"]["arguments"] == BAD
    assert "- stars: " in second["messages"][2]["content"]


def test_an_answer_beside_the_tool_is_read_too(ask: Ask) -> None:
    with ScriptedServer() as server:
        server.script(chat("No."), as_called("{"), chat(GOOD))
        found = ask(runtime_of(server), mode="tool")
    assert found.value.stars == 4
    roles = [[message["role"] for message in request.json["messages"]] for request in server.requests]
    assert roles[1:] == [["user", "assistant", "user"]] * 2  # arguments that are no JSON are repeated as text


@pytest.mark.parametrize(
    ("provider", "model", "mode"),
    [
        ("openai", "gpt-4o", "schema"),
        ("openai", "gpt-4.1-mini", "schema"),
        ("openai", "gpt-5", "schema"),
        ("openai", "gpt-4", "tool"),
        ("openai", "gpt-3.5-turbo", "tool"),
        ("openai-responses", "gpt-5-mini", "schema"),
        ("anthropic", "claude-sonnet-4-5", "schema"),
        ("anthropic", "claude-opus-4-1-20250805", "schema"),
        ("anthropic", "claude-sonnet-4-20250514", "tool"),
        ("anthropic", "claude-3-5-haiku-latest", "tool"),
        ("groq", "openai/gpt-oss-120b", "schema"),
        ("groq", "llama-3.3-70b-versatile", "tool"),
        ("deepseek", "deepseek-chat", "instructor"),
        ("llama", "default", "schema"),
        ("ollama", "llama3.2", "schema"),
        ("offline", "offline", "schema"),
    ],
)
def test_each_model_is_asked_as_it_can_be(provider: str, model: str, mode: str) -> None:
    settings = settings_of(provider=provider, providers={name: {"api_key": "k"} for name in HOSTS if name != "offline"})
    client = LLMClient(provider, model, runtime=Runtime(settings, tracker=ListSink()))
    assert mode_for(client, form_of(Review), None) == mode


def test_a_chain_is_asked_as_its_weakest_can_be() -> None:
    settings = settings_of(providers={name: {"api_key": "k"} for name in ("openai", "anthropic", "deepseek")})
    runtime = Runtime(settings, tracker=ListSink())
    for fallbacks, mode in (
        (("offline",), "schema"),
        (("anthropic/claude-3-haiku", "offline"), "tool"),
        (("anthropic/claude-3-haiku", "deepseek"), "instructor"),
    ):
        client = LLMClient("openai", "gpt-4o", runtime=runtime, fallbacks=fallbacks)
        assert mode_for(client, form_of(Review), None) == mode
    client = LLMClient("anthropic", "claude-sonnet-4-5", runtime=runtime)
    assert mode_for(client, form_of(Tree), None) == "tool"  # whose schema would contain itself


def test_anthropic_gets_a_schema_of_its_own_kind(ask: Ask) -> None:
    with ScriptedServer() as server:
        said = {"type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn"}
        usage = {"input_tokens": 10, "output_tokens": 5}
        body = {**said, "content": [{"type": "text", "text": GOOD}], "usage": usage}
        server.script(Answer(body=json.dumps(body).encode()))
        found = ask(runtime_of(server, "anthropic"), model="claude-sonnet-4-5")
    assert found.value.stars == 4
    sent = server.requests[0].json["output_config"]["format"]
    assert sent["type"] == "json_schema"
    assert sent["schema"]["properties"]["stars"] == {"type": "integer", "description": "(maximum: 5, minimum: 1)"}


# --- instructor
# ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def instructor() -> None:
    pytest.importorskip("instructor", reason="instructor is not installed (the extra structured)")


@pytest.mark.usefixtures("instructor")
def test_instructor_asks_through_our_client(ask: Ask) -> None:
    sink = ListSink()
    with ScriptedServer() as server:
        server.script(chat(BAD), chat(GOOD))
        found = ask(runtime_of(server, "deepseek", sink=sink), user_id="u1")
    assert found.value == Review(mood="good", stars=4)
    assert type(found.value) is Review
    assert [record.context.parent_call_id for record in sink.records] == [None, found.call_id]
    assert {record.context.user_id for record in sink.records} == {"u1"}
    assert found.cost == Money(2 * COST)
    first, second = (request.json for request in server.requests)
    assert first["response_format"] == {"type": "json_object"}
    assert "stars" in json.dumps(first["messages"])
    assert BAD in [message["content"] for message in second["messages"]]


@pytest.mark.usefixtures("instructor")
@pytest.mark.parametrize("kind", [list[int], dict[str, int]])
def test_instructor_gives_other_types_too(ask: Ask, kind: Any) -> None:
    value = [1, 2] if kind == list[int] else {"a": 1}
    with ScriptedServer(lambda request: chat(json.dumps({"value": value}))) as server:
        found: StructuredResponse[Any] = ask(runtime_of(server), HELLO, kind, mode="instructor")
        assert found.value == value


@pytest.mark.usefixtures("instructor")
def test_instructor_is_held_to_our_limits(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(lambda request: chat(f'{{"mood": "{CANARY}", "stars": 11}}')) as server:
        runtime = runtime_of(server, "deepseek")
        with caplog.at_level(logging.DEBUG), pytest.raises(LLMValidationError, match="after 1 of 1 re-asks") as caught:
            ask(runtime, max_retries=1)
        assert [str(problem) for problem in caught.value.problems] == PROBLEMS
        assert len(caught.value.calls) == len(server.requests) == 2
        assert caught.value.__context__ is None
        with pytest.raises(LLMValidationError, match="asking again could cost more"):
            ask(runtime, max_retry_cost=0)
        assert len(server.requests) == 3
    assert CANARY not in caplog.text


@pytest.mark.usefixtures("instructor")
def test_errors_pass_through_instructor_as_they_are(ask: Ask) -> None:
    with ScriptedServer() as server:
        runtime = runtime_of(server, "deepseek")
        server.script(Answer.error(401))
        with pytest.raises(LLMAuthError):
            ask(runtime)
        server.script(as_said("stop", "", refusal="No."))
        with pytest.raises(LLMValidationError, match="refused"):
            ask(runtime)
        assert len(server.requests) == 2


def test_without_instructor_it_says_what_to_install(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "instructor", None)
    with ScriptedServer() as server:
        with pytest.raises(LLMConfigError, match=r"pip install 'llmcore\[structured\]'"):
            ask(runtime_of(server, "deepseek"))
        assert not server.requests


# --- arguments, ledger
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_format": {"type": "json_object"}},
        {"json_format": True},
        {"tools": [{}]},
        {"mode": "prayer"},
        {"max_retries": -1},
        {"max_retries": True},
        {"max_retry_cost": -1},
        {"max_retry_cost": "much"},
        {"max_retry_cost": float("nan")},
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(ask: Ask, wrong: dict[str, Any]) -> None:
    with ScriptedServer() as server:
        with pytest.raises(LLMValidationError, match=next(iter(wrong))):
            ask(runtime_of(server), **wrong)
        assert not server.requests


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
