"""Tools and values of a type, with a model that calls functions because a server's grammar makes it."""

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from llmcore import CallRecord, Chunk, LLMValidationError, StructuredResponse, ToolRun
from llmcore.runtime import Runtime
from support.either import Either
from support.llama_server import LlamaServer

PROVIDERS = ("openai", "openai-responses", "anthropic", "llama")
ASKED = [{"role": "user", "content": "How is the weather?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Lisbon", "Rome"]}},
            "required": ["city"],
        },
    },
}


class Guess(BaseModel):
    """What there is no free text in: the model is random."""

    mood: Literal["good", "bad"]
    stars: int = Field(ge=1, le=5)
    topics: list[Literal["room", "food"]] = Field(max_length=3)
    pair: tuple[int, bool] | None


@pytest.fixture
def calling(runtimes: Callable[..., Runtime], calling_server: LlamaServer, kind: Literal["sync", "async"]) -> Either:
    """The client, for the server whose model calls tools."""
    return Either(kind, runtimes(dict.fromkeys(("openai", "anthropic", "llama"), calling_server)), "tiny")


def records(either: Either) -> list[CallRecord]:
    found: list[CallRecord] = either.runtime.sink.records  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_functions_are_called_and_their_results_understood(calling: Either, provider: str) -> None:
    asked: list[str] = []

    def get_weather(city: Literal["Lisbon", "Rome"]) -> str:
        """The weather of a city."""
        asked.append(city)
        return f"rain in {city}"

    ran = calling.call("run_tools", provider, ASKED, [get_weather], max_tokens=200, temperature=0.0)
    assert type(ran) is ToolRun
    assert asked in (["Lisbon"], ["Rome"])
    first, last = ran.calls
    assert [call.arguments for call in first.tool_calls] == [json.dumps({"city": asked[0]}, separators=(",", ":"))]
    assert (first.tool_calls[0].name, first.content) == ("get_weather", "")
    # As Responses this server tells of every answer that it is complete.
    assert first.finish_reason == "tool_calls"
    assert last.tool_calls == []
    assert last.content
    assert last.input_tokens > first.input_tokens  # it was told what it had called, and what came of it
    parent, child = records(calling)
    assert (parent.context.parent_call_id, child.context.parent_call_id) == (None, parent.id)
    assert (parent.id, child.id) == (first.call_id, last.call_id)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_calls_of_tools_come_in_pieces(calling: Either, provider: str) -> None:
    chunks: list[Chunk] = []
    options: Any = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 200, "temperature": 0.0}
    streamed = calling.read(provider, ASKED, chunks, **options)
    whole = calling.complete(provider, ASKED, **options)
    assert streamed.finish_reason == whole.finish_reason == "tool_calls"
    [call], [same] = streamed.tool_calls, whole.tool_calls
    assert (call.name, json.loads(call.arguments)) == (same.name, json.loads(same.arguments))
    assert json.loads(call.arguments)["city"] in ("Lisbon", "Rome")
    pieces = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert len(pieces) > 2
    assert "".join(delta.arguments for delta in pieces) == call.arguments
    assert [delta.name for delta in pieces if delta.name] == ["get_weather"]
    assert streamed.output_tokens == whole.output_tokens


@pytest.mark.parametrize("provider", ["llama", "openai"])
def test_a_grammar_gives_values_of_a_type(either: Either, provider: str) -> None:
    for seed in range(5):
        found = either.call("complete_structured", provider, ASKED, Guess, max_retries=0, max_tokens=200, seed=seed)
        assert type(found) is StructuredResponse
        assert type(found.value) is Guess


class Trip(BaseModel):
    city: Literal["Lisbon", "Rome"]
    stay: Literal["short", "long"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_tool_gives_values_of_a_type(calling: Either, provider: str) -> None:
    found = calling.call(
        "complete_structured", provider, ASKED, Trip, mode="tool", max_retries=0, max_tokens=200, temperature=0.0
    )
    assert type(found.value) is Trip
    assert len(found.calls) == 1


@pytest.mark.parametrize("provider", ["anthropic", "openai-responses"])
def test_schemas_that_a_server_ignores_end_in_a_typed_error(either: Either, provider: str) -> None:
    """It reads a schema in Chat Completions alone; what it says otherwise is letters without sense."""
    with pytest.raises(LLMValidationError) as caught:
        either.call("complete_structured", provider, ASKED, Trip, max_retries=2, max_tokens=20)
    error = caught.value
    assert error.answer == error.calls[-1].content
    assert error.problems
    parent, *children = records(either)
    assert len(children) == len(error.calls) - 1
    assert all(child.context.parent_call_id == parent.id for child in children)
    assert error.cost is not None
    assert error.cost.nano_usd == sum(record.cost or 0 for record in records(either)) > 0
