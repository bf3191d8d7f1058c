"""Calls of the bare openai client, recorded without being changed."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

import llmcore
from llmcore import UsageTracker, instrument
from llmcore.errors import LLMConfigError
from support.server import Answer, Request, ScriptedServer

MESSAGES: Any = [{"role": "user", "content": "Hi"}]


def events(*chunks: dict[str, Any], end: bool = True) -> bytes:
    lines = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return b"".join(lines) + (b"data: [DONE]\n\n" if end else b"")


def chunk(text: str | None = None, finish: str | None = None, usage: dict[str, int] | None = None) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]
    body: dict[str, Any] = {"id": "c1", "object": "chat.completion.chunk", "created": 1_772_366_400}
    return body | {"model": "gpt-4o-mini-2024-07-18", "choices": choices if usage is None else [], "usage": usage}


STREAM = events(
    chunk("Hel"),
    chunk("lo."),
    chunk(finish="stop"),
    chunk(usage={"prompt_tokens": 1000, "completion_tokens": 2, "total_tokens": 1002}),
)


def answer(request: Request) -> Answer:
    asked = json.loads(request.body or b"{}")
    if request.path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        body = {"object": "list", "model": "text-embedding-3-small", "data": data, "usage": usage}
        return Answer(body=json.dumps(body).encode())
    if asked.get("model") == "missing":
        error = {"error": {"message": "no such model: Hi", "type": "invalid_request_error", "code": "model_not_found"}}
        return Answer(status=404, body=json.dumps(error).encode())
    if asked.get("stream"):
        return Answer(headers={"Content-Type": "text/event-stream"}, body=STREAM)
    return Answer.chat("Hello.", body={"model": "gpt-4o-mini-2024-07-18"})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answer) as running:
        yield running


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[UsageTracker]:
    tracker = UsageTracker(str(tmp_path / "calls.db"))
    yield tracker
    tracker.close()


@pytest.fixture
def client(server: ScriptedServer, tracker: UsageTracker) -> Iterator[openai.OpenAI]:
    made = openai.OpenAI(api_key="sk-canary", base_url=server.base_url, max_retries=0)
    with instrument(made, tracker=tracker) as client:
        yield client


def rows(tracker: UsageTracker, columns: str) -> list[tuple[Any, ...]]:
    assert tracker.flush(30)
    with closing(sqlite3.connect(tracker.location)) as database:
        return database.execute(f"SELECT {columns} FROM llm_calls ORDER BY id").fetchall()


def test_a_call_is_as_before_and_recorded(client: openai.OpenAI, tracker: UsageTracker) -> None:
    with llmcore.context(user_id="ada"):
        made = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.5, max_tokens=9)

    assert type(made).__name__ == "ChatCompletion"
    assert made.choices[0].message.content == "Hello."
    assert made.usage is not None
    used = made.usage.prompt_tokens, made.usage.completion_tokens
    wanted = "call_type, status, provider, model, response_model, user_id, temperature, max_tokens, finish_reason"
    assert rows(tracker, wanted) == [
        ("chat", "success", "openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "ada", 0.5, 9, "stop")
    ]
    assert rows(tracker, "input_tokens, output_tokens, cost_nano_usd") == [(*used, used[0] * 150 + used[1] * 600)]
    with closing(sqlite3.connect(tracker.location)) as database:
        assert database.execute("SELECT prompt, response FROM llm_payloads").fetchall() == [("Hi", "Hello.")]


def test_a_stream_is_as_before_and_recorded_when_it_ends(client: openai.OpenAI, tracker: UsageTracker) -> None:
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    said = [piece.choices[0].delta.content or "" for piece in stream if piece.choices]
    assert "".join(said) == "Hello."
    assert rows(tracker, "status, input_tokens, output_tokens, cost_nano_usd") == [("success", 1000, 2, 151_200)]


def test_a_stream_that_is_left_counts_what_came(client: openai.OpenAI, tracker: UsageTracker) -> None:
    with client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True) as stream:
        next(iter(stream))
    ((status, output, cost),) = rows(tracker, "status, output_tokens, cost_nano_usd")
    assert status == "success"
    assert output > 0
    assert cost > 0


def test_what_a_call_raises_is_the_librarys_own(client: openai.OpenAI, tracker: UsageTracker) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="missing", messages=MESSAGES)
    found = rows(tracker, "status, error_code, error_message, cost_nano_usd")
    assert found == [("error", "model_not_found", "NotFoundError: HTTP 404", None)]


def test_embeddings(client: openai.OpenAI, tracker: UsageTracker) -> None:
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert rows(tracker, "call_type, input_tokens, cost_nano_usd") == [("embedding", 8, 160)]


def test_recording_twice_records_once(client: openai.OpenAI, tracker: UsageTracker) -> None:
    assert instrument(client, tracker=tracker) is client
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert rows(tracker, "count(*)") == [(1,)]


async def test_async_calls_and_streams(server: ScriptedServer, tracker: UsageTracker) -> None:
    made = openai.AsyncOpenAI(api_key="sk-canary", base_url=server.base_url, max_retries=0)
    async with instrument(made, tracker=tracker) as client:
        await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        said = [piece.choices[0].delta.content or "" async for piece in stream if piece.choices]
    assert "".join(said) == "Hello."
    assert rows(tracker, "status, output_tokens > 0, cost_nano_usd > 0") == [("success", 1, 1)] * 2


def test_a_ledger_that_fails_lets_calls_be(client: openai.OpenAI, tracker: UsageTracker) -> None:
    tracker.close()
    assert client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES).choices


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(LLMConfigError, match="takes a client of the openai or the anthropic package, not int"):
        instrument(3)


def test_the_key_is_nowhere(client: openai.OpenAI, tracker: UsageTracker, tmp_path: Path) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    tracker.flush(30)
    assert all(b"sk-canary" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
