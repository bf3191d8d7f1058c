"""Functions that a model calls: what it is told of them, and the rounds."""

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from llmcore import AsyncLLMClient, LLMClient, LLMTimeoutError, LLMValidationError, Runtime, Settings, tool
from llmcore.call_context import current_context
from llmcore.clock import ManualClock
from support.scripted import ListSink
from support.server import Answer, Request, ScriptedServer, chat_body

ASKED = [{"role": "user", "content": "How many chips has Bob?"}]


def calling(*calls: tuple[str, Any], content: str | None = None) -> Answer:
    """An answer that calls functions; arguments that are text go out as they are."""
    made = [
        {
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for n, (name, given) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": content, "tool_calls": made}
    return Answer(body=chat_body(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Answer.chat("1,250 chips")) as running:
        yield running


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def runtime(server: ScriptedServer, sink: ListSink) -> Iterator[Runtime]:
    made = Settings(provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url)
    with Runtime(made, tracker=sink) as running:
        yield running


def chips_of(player: str, street: Literal["flop", "turn", "river"] = "river") -> int:
    """The chips that a player
    has in front of him.

    More that the model need not know.

    :param player: his name,
        as it stands at the table
    """
    return len(player) * 100


# --- what the model is told -------------------------------------------------------------------------------------------


def test_a_function_is_told_by_its_signature_and_docstring() -> None:
    assert tool(chips_of).schema == {
        "type": "function",
        "function": {
            "name": "chips_of",
            "description": "The chips that a player has in front of him.",
            "parameters": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "player": {"type": "string", "description": "his name, as it stands at the table"},
                    "street": {"type": "string", "enum": ["flop", "turn", "river"], "default": "river"},
                },
                "required": ["player"],
            },
        },
    }


def test_annotations_say_more() -> None:
    def fold(
        reason: Annotated[str, Field(description="in a word", max_length=10)], *, quietly: bool = False
    ) -> None: ...

    shown = tool(fold, "give_up").schema["function"]
    assert shown["name"] == "give_up"
    assert "description" not in shown
    assert shown["parameters"]["properties"]["reason"] == {
        "type": "string",
        "description": "in a word",
        "maxLength": 10,
    }


def _unnamed() -> Callable[..., Any]:
    return lambda: None


def _untyped(player) -> None:  # type: ignore[no-untyped-def]
    ...


def _many(*players: str) -> None: ...


def _strange(player: threading.Thread) -> None: ...


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_unnamed(), "no name of a tool"),
        (_untyped, "player of _untyped has no type"),
        (_many, r"takes \*players"),
        (_strange, "cannot be said in JSON"),
        (print, "takes"),
    ],
)
def test_a_function_that_cannot_be_told_is_refused(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(LLMValidationError, match=told):
        tool(function)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"functions": []}, "nothing for the model to call"),
        ({"functions": chips_of}, "a list of functions"),
        ({"functions": [chips_of, tool(chips_of)]}, "the same name"),
        ({"functions": [chips_of], "tools": [{}]}, "functions= stands for it"),
        ({"functions": [chips_of], "max_rounds": 0}, "max_rounds"),
        ({"functions": [chips_of], "on_error": "hide"}, "on_error"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], told: str, runtime: Runtime) -> None:
    with pytest.raises(LLMValidationError, match=told):
        LLMClient(runtime=runtime).run_tools(ASKED, **options)


# --- the rounds -------------------------------------------------------------------------------------------------------


def test_each_round_is_a_child_of_the_first(server: ScriptedServer, sink: ListSink, runtime: Runtime) -> None:
    server.script(
        calling(("chips_of", {"player": "Bob"})),
        calling(("chips_of", {"player": "Al"}), ("chips_of", {"player": "Eve"})),
    )
    run = LLMClient(runtime=runtime).run_tools(ASKED, [chips_of], call_type="player_decision", user_id="ada")

    assert run.content == "1,250 chips"
    first, second, third = sink.records
    assert [call.call_id for call in run.calls] == [first.id, second.id, third.id]
    assert run.call_id == first.id
    assert [record.context.parent_call_id for record in sink.records] == [None, first.id, first.id]
    assert {record.context.user_id for record in sink.records} == {"ada"}
    assert run.cost is not None
    assert run.cost.nano_usd == sum(record.cost or 0 for record in sink.records)
    said = server.requests[2].json["messages"]
    assert said[0] == ASKED[0]
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "assistant", "tool", "tool"]
    assert [message["content"] for message in said if message["role"] == "tool"] == ["300", "200", "300"]
    assert [message["tool_call_id"] for message in said[4:]] == ["call_0", "call_1"]
    assert run.messages == [*said, {"role": "assistant", "content": "1,250 chips"}]
    assert len(ASKED) == 1  # the caller's list is left as it was


async def test_async_functions_of_a_round_run_at_once(server: ScriptedServer, runtime: Runtime) -> None:
    both = asyncio.Barrier(2)
    seen: list[str] = []

    async def look(at: str) -> dict[str, str]:
        await asyncio.wait_for(both.wait(), 10)
        return {"at": at}

    def listen(to: str) -> str:
        seen.append(threading.current_thread().name)
        return to

    server.script(calling(("look", {"at": "a"}), ("look", {"at": "b"}), ("listen", {"to": "c"})))
    run = await AsyncLLMClient(runtime=runtime).run_tools(ASKED, {"look": look, "listen": listen})

    assert [message["content"] for message in run.messages[2:5]] == ['{"at":"a"}', '{"at":"b"}', "c"]
    assert seen != [threading.main_thread().name]


def test_calls_that_functions_make_are_children_too(server: ScriptedServer, sink: ListSink, runtime: Runtime) -> None:
    client = LLMClient(runtime=runtime)

    def think(about: str) -> str:
        """Thinks."""
        return client.complete([{"role": "user", "content": about}]).content

    server.script(calling(("think", {"about": "x"})))
    run = client.run_tools(ASKED, [think])
    assert [record.context.parent_call_id for record in sink.records] == [None, run.call_id, run.call_id]
    assert current_context().parent_call_id is None


@pytest.mark.parametrize(
    ("called", "told"),
    [
        (("chips_at", {}), "error: there is no function 'chips_at'; known are chips_of"),
        (("chips_of", {"gambler": "Bob"}), "error: these arguments do not fit: player: Field required; gambler: "),
        (("chips_of", {"player": "Bob", "street": "preflop"}), "street: Input should be 'flop', 'turn' or 'river'"),
        (("chips_of", "{no json"), "error: these arguments do not fit: arguments: Invalid JSON"),
        (("chips_of", "[]"), "error: these arguments do not fit: arguments: Input should be an object"),
    ],
)
def test_the_model_is_told_what_is_wrong_with_a_call(
    called: tuple[str, Any], told: str, server: ScriptedServer, runtime: Runtime
) -> None:
    server.script(calling(called))
    run = LLMClient(runtime=runtime).run_tools(ASKED, [chips_of])

    assert told in run.messages[2]["content"]
    assert run.content == "1,250 chips"
    json.loads(run.messages[1]["tool_calls"][0]["function"]["arguments"])  # what is sent back is JSON


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("given", "told"), [(None, "null"), ("as it is", "as it is"), ([Point(1)], '[{"x":1}]'), (1.5, "1.5")]
)
def test_what_a_function_gives_is_told_as_json(given: Any, told: str, server: ScriptedServer, runtime: Runtime) -> None:
    server.script(calling(("give", "")))
    run = LLMClient(runtime=runtime).run_tools(ASKED, {"give": _giving(given)})
    assert run.messages[2]["content"] == told


def _giving(value: Any) -> Callable[[], Any]:
    def give() -> Any:
        return value

    return give


def test_what_json_cannot_say_is_the_programs_error(server: ScriptedServer, runtime: Runtime) -> None:
    server.script(calling(("give", {})))
    with pytest.raises(LLMValidationError, match="the function give returned cannot be said in JSON"):
        LLMClient(runtime=runtime).run_tools(ASKED, {"give": _giving(threading.Lock())})


@pytest.mark.parametrize("on_error", ["tell", "raise"])
def test_an_exception_is_told_or_raised(on_error: Any, server: ScriptedServer, runtime: Runtime) -> None:
    def fail(player: str) -> int:
        raise KeyError(player)

    server.script(calling(("fail", {"player": "Bob"})))
    client = LLMClient(runtime=runtime)
    if on_error == "raise":
        with pytest.raises(KeyError, match="Bob"):
            client.run_tools(ASKED, [fail], on_error=on_error)
    else:
        assert client.run_tools(ASKED, [fail]).messages[2]["content"] == "error: KeyError: 'Bob'"


def test_rounds_are_counted(sink: ListSink) -> None:
    with ScriptedServer(lambda _: calling(("chips_of", {"player": "Bob"}))) as server:
        made = Settings(provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url)
        with (
            Runtime(made, tracker=sink) as runtime,
            pytest.raises(LLMValidationError, match="still calls chips_of after 3 rounds") as caught,
        ):
            LLMClient(runtime=runtime).run_tools(ASKED, [chips_of], max_rounds=3)
    assert len(server.requests) == 3
    assert len(caught.value.calls) == 3
    assert caught.value.call_id == sink.records[0].id
    assert caught.value.cost is not None
    assert caught.value.cost.nano_usd == sum(record.cost or 0 for record in sink.records)


def test_there_is_one_deadline_for_all_rounds(sink: ListSink) -> None:
    clock = ManualClock()

    def late(player: str) -> int:
        clock.set(10 * 10**9)
        return 0

    def answer(_: Request) -> Answer:
        return calling(("late", {"player": "Bob"}))

    with ScriptedServer(answer) as server:
        made = Settings(provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url)
        with (
            Runtime(made, tracker=sink, clock=clock) as runtime,
            pytest.raises(LLMTimeoutError, match="no answer after 1 rounds of tools within the deadline of 5 s"),
        ):
            LLMClient(runtime=runtime).run_tools(ASKED, [late], deadline=5.0)


def test_a_choice_that_insists_holds_for_the_first_round(server: ScriptedServer, runtime: Runtime) -> None:
    server.script(calling(("chips_of", {"player": "Bob"})))
    LLMClient(runtime=runtime).run_tools(ASKED, [chips_of], tool_choice="required")
    assert [request.json["tool_choice"] for request in server.requests] == ["required", "auto"]


def test_context_variables_reach_functions(server: ScriptedServer, runtime: Runtime) -> None:
    table: contextvars.ContextVar[str] = contextvars.ContextVar("table")

    def where() -> str:
        return table.get()

    async def run() -> str:
        table.set("final")
        found = await AsyncLLMClient(runtime=runtime).run_tools(ASKED, [where])
        said: str = found.messages[2]["content"]
        return said

    server.script(calling(("where", "{}")))
    assert asyncio.run(run()) == "final"
