"""Answers that are values of a type: what is asked, as each model can be, and what is refused at once."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from llmcore.client import LLMClient
from llmcore.errors import LLMValidationError
from llmcore.hosts import HOSTS
from llmcore.json_schema import form_of
from llmcore.runtime import Runtime
from llmcore.structured import mode_for
from llmcore.types import Money
from support.reviews import BAD, COST, GOOD, HELLO, Ask, Review, as_called, chat, runtime_of
from support.scripted import ListSink, settings_of
from support.server import Answer, ScriptedServer


class Tree(BaseModel):
    children: list["Tree"] = []


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
