"""The drop-in's ``create``: what the SDK makes of a call's arguments is made without it, and is the same."""

import asyncio
import inspect
from typing import Any

import openai
import pytest
from openai.resources.chat import AsyncCompletions, Completions
from openai.resources.responses import Responses

from llmcore import Settings
from llmcore.openai import AsyncOpenAI, OpenAI
from llmcore.openai_create import _CHAT, _RESPONSES
from support.scripted import ListSink
from support.server import Answer, ScriptedServer

MESSAGES: Any = [{"content": "Grüße", "role": "user"}, {"role": "assistant", "content": ""}]
PLAIN: Any = [
    {"model": "gpt-4o-mini", "messages": MESSAGES},
    {"messages": MESSAGES, "model": "gpt-4o-mini", "user": "ada", "temperature": 1, "n": 1, "seed": None},
    {"temperature": 1e-7, "messages": MESSAGES, "stream": False, "model": "o3", "store": True, "logprobs": False},
]
SPECIAL: Any = [
    {"model": "m", "messages": tuple(MESSAGES)},
    {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
    {"model": "m", "messages": [{"role": "user", "content": "Hi", "name": "ada"}]},
    {"model": "m", "messages": MESSAGES, "stop": ["\n"], "tools": []},
    {"model": "m", "messages": MESSAGES, "temperature": openai.NOT_GIVEN},
    {"model": "m", "messages": MESSAGES, "timeout": 9.5},
    {"model": "m", "messages": MESSAGES, "extra_headers": {"X-Mine": "1"}},
    {"model": "m", "messages": MESSAGES, "extra_body": {"top_k": 1}, "extra_query": {"a": "b"}},
]


def seen(server: ScriptedServer) -> list[Any]:
    connection = {"accept-encoding", "connection", "host", "x-stainless-async", "user-agent"}
    told = [
        (request.path, request.body, {k: v for k, v in request.headers.items() if k not in connection})
        for request in server.requests
    ]
    server.requests.clear()
    return told


@pytest.mark.parametrize("asked", [*PLAIN, *SPECIAL])
def test_what_is_sent_is_what_the_sdk_sends(client: OpenAI, server: ScriptedServer, asked: Any) -> None:
    with openai.OpenAI(api_key="sk-canary", base_url=server.base_url) as bare:
        bare.chat.completions.create(**asked)
    wanted = seen(server)
    for _ in range(2):  # the first of a form asks the SDK for it
        client.chat.completions.create(**asked)
        assert seen(server) == wanted


@pytest.mark.parametrize("asked", PLAIN)
def test_the_async_client_sends_the_same(server: ScriptedServer, asked: Any) -> None:
    async def calls() -> None:
        settings: Any = {"settings": Settings(ledger={"url": "none"}), "tracker": ListSink()}
        async with (
            openai.AsyncOpenAI(api_key="k", base_url=server.base_url) as bare,
            AsyncOpenAI(api_key="k", base_url=server.base_url, **settings) as client,
        ):
            await bare.chat.completions.create(**asked)
            await client.chat.completions.create(**asked)

    asyncio.run(calls())
    theirs, ours = seen(server)
    assert ours == theirs


def test_only_plain_arguments_take_the_short_way(client: OpenAI) -> None:
    assert all(_CHAT.options(Completions, client, asked) is not None for asked in PLAIN)
    assert all(_CHAT.options(Completions, client, asked) is None for asked in SPECIAL)
    assert _CHAT.options(Completions, client, {**PLAIN[0], "stream": True}) is None
    assert _RESPONSES.options(Responses, client, {"model": "m", "input": "Hi", "instructions": "Be brief."}) is not None
    assert _RESPONSES.options(Responses, client, {"model": "m", "input": MESSAGES}) is not None
    assert _RESPONSES.options(Responses, client, {"model": "m", "input": "Hi", "tools": []}) is None


def test_the_values_of_a_form_are_those_of_each_call(client: OpenAI) -> None:
    made = [_CHAT.options(Completions, client, {"model": name, "messages": MESSAGES}) for name in ("a", "b")]
    assert [one is not None and one[1].json_data["model"] for one in made] == ["a", "b"]


def test_responses_are_sent_as_the_sdk_sends_them(client: OpenAI, server: ScriptedServer) -> None:
    asked: Any = {"model": "gpt-4o-mini", "input": "Hi", "temperature": 0.5, "instructions": "Be brief."}
    answers = [Answer(body=b'{"id": "r", "object": "response", "output": [], "status": "completed"}')] * 3
    server.script(*answers)
    with openai.OpenAI(api_key="sk-canary", base_url=server.base_url) as bare:
        bare.responses.create(**asked)
    wanted = seen(server)
    for _ in range(2):
        client.responses.create(**asked)
        assert seen(server) == wanted


def test_wrong_arguments_are_refused_as_the_sdk_refuses_them(client: OpenAI, server: ScriptedServer) -> None:
    bare = openai.OpenAI(api_key="k", base_url=server.base_url)
    for asked in ({"model": "m"}, {"model": "m", "messages": MESSAGES, "no_such": 1}, {}):
        with pytest.raises(TypeError) as theirs:
            bare.chat.completions.create(**asked)
        for _ in range(2):
            with pytest.raises(TypeError) as ours:
                client.chat.completions.create(**asked)
            assert str(ours.value) == str(theirs.value)
    bare.close()
    assert server.requests == []


def test_whoever_wraps_the_sdk_sees_every_call(client: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    original = Completions.create

    def watched(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        return original(*arguments, **named)

    client.chat.completions.create(**PLAIN[0])
    monkeypatch.setattr(Completions, "create", watched)
    client.chat.completions.create(**PLAIN[0])
    assert count == 1
    monkeypatch.undo()
    monkeypatch.setattr(client, "post", watched)
    assert _CHAT.options(Completions, client, PLAIN[0]) is None


def test_signatures_are_the_sdks(client: OpenAI) -> None:
    assert inspect.signature(client.chat.completions.create) == inspect.signature(
        openai.OpenAI(api_key="k").chat.completions.create
    )
    assert isinstance(client.chat.completions, Completions)
    assert isinstance(AsyncOpenAI(api_key="k", runtime=client.runtime).chat.completions, AsyncCompletions)
