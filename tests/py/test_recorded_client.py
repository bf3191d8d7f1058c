"""Real provider traffic, served back over loopback, through both clients: text, tool calls, finish, usage and cost are
right, for answers and streams of every API, and a stream's response is what complete() makes of the same message.

The independent readers are plain JSON and genai-prices. Without the recordings these tests are skipped.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from llmcore import AsyncLLMClient, LLMClient, LLMError, LLMResponse, Runtime, Settings, ToolCall
from llmcore._core import outcome_of_status
from llmcore.hosts import HOSTS
from llmcore.types import Chunk
from support.recorded import (
    Json,
    Row,
    broken_in_the_middle,
    differs,
    needs_recordings,
    price_of,
    provider_name,
    read_independently,
    rows,
    told,
    told_usage,
    when,
)
from support.scripted import ListSink
from support.server import Answer, Request, ScriptedServer
from support.whole import whole

pytestmark = needs_recordings

KINDS = ("chat", "responses", "messages", "ollama")


@pytest.fixture(scope="module")
def seen(pytestconfig: pytest.Config) -> Iterator[Counter[str]]:
    """What was compared, in words; said at the end."""
    found = Counter[str]()
    yield found
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        sys.stdout.write("\nrecorded lines: " + ", ".join(f"{count} {what}" for what, count in found.items()) + "\n")


def answered(kind: str, stream: bool) -> list[Row]:
    """The lines of a file that are answers, in one piece or as streams."""
    return [row for row in rows(kind) if row["status"] == 200 and bool(row["stream"]) is stream]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """Answers POST /<id>/... with the recorded bytes of <id>, and POST /<id>.whole/... with a stream's message in one
    piece.
    """
    by_id = {row["id"]: (kind, row) for kind in KINDS for row in rows(kind)}

    def answer(request: Request) -> Answer:
        name, _, form = request.path.split("/")[1].partition(".")
        kind, row = by_id[name]
        if form:
            headers = {name: value for name, value in row["headers"].items() if name != "content-type"}
            return Answer(headers=headers, body=json.dumps(whole(kind, row)).encode())
        return Answer(status=row["status"], headers=row["headers"], body=row["body"].encode())

    with ScriptedServer(answer, record=False) as running:
        yield running


def spoken(kind: str, row: Row) -> str:
    """The provider that speaks a line's API: Ollama's server has OpenAI's too."""
    return "openai" if kind == "chat" and row["provider"] == "ollama" else provider_name(kind, row)


# --- the same call again ----------------------------------------------------------------------------------------------


def runtime_for(server: ScriptedServer, kind: str, row: Row, sink: ListSink, form: str = "") -> Runtime:
    """One for each line: a provider's limits, as its headers tell them, are not for the next line."""
    name = spoken(kind, row)
    below = {"ollama": "/api", "azure": "", "anthropic": ""}.get(name, "/v1")
    own = {"base_url": f"http://127.0.0.1:{server.port}/{row['id']}{form}{below}", "api_key": "sk-recorded"}
    return Runtime(Settings(provider=name, providers={name: own}, retry={"max_attempts": 1}), tracker=sink)


def asked(kind: str, row: Row) -> dict[str, Any]:
    """The arguments of complete() and stream() that a recorded request comes to, but for its model."""
    params = {name: value for name, value in row["request"].items() if name not in ("stream", "stream_options")}
    params.pop("model", None)
    if "messages" not in params:
        given = params.pop("input" if kind == "responses" else "prompt")
        params["messages"] = [message for item in _items(given) for message in _messages(item)]
    return params


def model_of(row: Row) -> str:
    return row["request"].get("model") or "unknown"


def _items(given: str | list[Json]) -> list[Json]:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def _messages(item: Json) -> list[Json]:
    """A message for an item of the Responses API: whole items are content of the one who made them."""
    if "role" in item and "content" in item:
        # An empty one goes before calls, which are a message of their own here.
        return [{"role": item["role"], "content": item["content"]}] if item["content"] else []
    return [{"role": "user" if item["type"].endswith("_output") else "assistant", "content": [item]}]


# --- what has to come out ---------------------------------------------------------------------------------------------


def check(kind: str, row: Row, answer: LLMResponse) -> str:
    """Compares an answer with plain JSON and with the independent reader. What that could tell, in words."""
    name = spoken(kind, row)
    text, finish, tools = told(row)
    assert answer.content == text
    assert len(answer.tool_calls) == tools
    assert answer.finish_reason == finish if finish is not None else answer.finish_reason
    assert (answer.attempts, answer.status) == (1, "success")
    assert answer.provider == name
    if HOSTS[name].free:
        assert answer.cost is not None
        assert answer.cost.nano_usd == 0
    if row["stream"]:  # the reader wants a message in one piece
        row = row | {"stream": False, "body": json.dumps(whole(kind, row))}
    found = read_independently(row)
    if found is not None:
        # A vendor that is read as another has no price here.
        same = name.removesuffix("-responses") == row["provider"] and not HOSTS[name].free
        cost = None if answer.cost is None else answer.cost.nano_usd
        price = price_of(found, when(row)) if same else None
        assert differs(row, found, answer.usage, price, cost) == ""
        return "counted alike" if price is None else "counted and priced alike"
    if answer.usage.estimated:
        assert answer.input_tokens > 0
        assert answer.output_tokens > 0
    return "that the independent reader cannot read"


def check_stream(kind: str, row: Row, chunks: list[Chunk], answer: LLMResponse) -> str:
    """The same, and what came bit by bit is what the response holds."""
    compared_by = check(kind, row, answer)
    assert "".join(chunk.text for chunk in chunks) == answer.content
    assert "".join(chunk.reasoning for chunk in chunks) == answer.reasoning
    assert "".join(chunk.refusal for chunk in chunks) == answer.refusal
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason][-1:] == [answer.finish_reason]
    assert joined(chunks) == answer.tool_calls
    assert answer.usage.estimated is not (kind == "ollama" or told_usage(row))
    return compared_by


def joined(chunks: list[Chunk]) -> list[ToolCall]:
    """The tool calls that deltas come to."""
    calls: dict[int, ToolCall] = {}
    for delta in (delta for chunk in chunks for delta in chunk.tool_calls):
        call = calls.setdefault(delta.index, ToolCall("", "", "", delta.type))
        call.id += delta.id
        call.name += delta.name
        call.arguments += delta.arguments
    return list(calls.values())


def compared(answer: LLMResponse) -> dict[str, Any]:
    """What of an answer does not depend on when and how it came."""
    left_out = {"call_id", "latency_ms", "body"}
    return {name: getattr(answer, name) for name in LLMResponse.__slots__ if name not in left_out}


def blame(row: Row, wrong: BaseException) -> AssertionError:
    return AssertionError(f"line {row['id']} of {row['provider']}: {wrong}")


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_comes_out_of_the_sync_client(server: ScriptedServer, kind: str, seen: Counter[str]) -> None:
    sink, lines = ListSink(), answered(kind, stream=False)
    for row in lines:
        with runtime_for(server, kind, row, sink) as runtime:
            try:
                answer = LLMClient(model=model_of(row), runtime=runtime).complete(**asked(kind, row))
                seen[f"{kind} answers {check(kind, row, answer)}"] += 1
                assert answer.raw_response == json.loads(row["body"])
                assert runtime.check() == ""
            except (AssertionError, LLMError) as wrong:
                raise blame(row, wrong) from wrong
    assert len(sink.records) == len(lines) > 0
    assert all(record.outcome == 0 for record in sink.records)


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_comes_out_of_the_async_client(server: ScriptedServer, kind: str) -> None:
    sink, lines = ListSink(), answered(kind, stream=False)

    async def every() -> None:
        for row in lines:
            async with runtime_for(server, kind, row, sink) as runtime:
                try:
                    check(
                        kind,
                        row,
                        await AsyncLLMClient(model=model_of(row), runtime=runtime).complete(**asked(kind, row)),
                    )
                except (AssertionError, LLMError) as wrong:
                    raise blame(row, wrong) from wrong

    asyncio.run(every())
    assert len(sink.records) == len(lines) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_comes_out_as_its_error(server: ScriptedServer, kind: str, seen: Counter[str]) -> None:
    sink = ListSink()
    lines = [row for row in rows(kind) if row["status"] != 200]
    for row in lines:
        with runtime_for(server, kind, row, sink) as runtime:
            client = LLMClient(model=model_of(row), runtime=runtime)
            arguments = asked(kind, row)
            with pytest.raises(LLMError) as error:
                client.stream(**arguments).finish() if row["stream"] else client.complete(**arguments)
            assert error.value.status == row["status"]
            assert json.loads(row["body"])["error"]["message"][:200] in error.value.message
            assert runtime.check() == ""
            seen[f"{kind} refusals"] += 1
    assert [record.outcome for record in sink.records] == [outcome_of_status(row["status"]) for row in lines]
    assert all(record.cost == 0 for record in sink.records)


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_stream_comes_out_of_the_sync_client(server: ScriptedServer, kind: str, seen: Counter[str]) -> None:
    sink, lines = ListSink(), answered(kind, stream=True)
    broken = 0
    for row in lines:
        chunks: list[Chunk] = []
        with runtime_for(server, kind, row, sink) as runtime:
            try:
                with LLMClient(model=model_of(row), runtime=runtime).stream(**asked(kind, row)) as stream:
                    if broken_in_the_middle(row):
                        broken += 1
                        seen[f"{kind} streams that broke"] += 1
                        with pytest.raises(LLMError) as error:
                            chunks.extend(stream)
                        assert error.value.partial is not None
                        assert error.value.partial.content == "".join(chunk.text for chunk in chunks) == told(row)[0]
                        continue
                    chunks.extend(stream)
                    seen[f"{kind} streams {check_stream(kind, row, chunks, stream.response)}"] += 1
                assert runtime.check() == ""
            except (AssertionError, LLMError) as wrong:
                raise blame(row, wrong) from wrong
    assert len(sink.records) == len(lines) > 0
    assert sum(record.outcome == 0 for record in sink.records) == len(lines) - broken


@pytest.mark.parametrize("kind", KINDS)
def test_every_stream_comes_out_of_the_async_client(server: ScriptedServer, kind: str) -> None:
    sink = ListSink()
    lines = [row for row in answered(kind, stream=True) if not broken_in_the_middle(row)]

    async def every() -> None:
        for row in lines:
            async with runtime_for(server, kind, row, sink) as runtime:
                try:
                    async with AsyncLLMClient(model=model_of(row), runtime=runtime).stream(
                        **asked(kind, row)
                    ) as stream:
                        chunks = [chunk async for chunk in stream]
                        check_stream(kind, row, chunks, stream.response)
                except (AssertionError, LLMError) as wrong:
                    raise blame(row, wrong) from wrong

    asyncio.run(every())
    assert all(record.first_token for record in sink.records)


@pytest.mark.parametrize("kind", KINDS)
def test_a_streams_response_is_what_complete_makes_of_the_same_message(server: ScriptedServer, kind: str) -> None:
    sink = ListSink()
    lines = [row for row in answered(kind, stream=True) if not broken_in_the_middle(row)]
    for row in lines:
        arguments = asked(kind, row)
        with runtime_for(server, kind, row, sink) as runtime:
            streamed = LLMClient(model=model_of(row), runtime=runtime).stream(**arguments).finish()
        with runtime_for(server, kind, row, sink, ".whole") as runtime:
            given = LLMClient(model=model_of(row), runtime=runtime).complete(**arguments)
        assert compared(streamed) == compared(given), f"line {row['id']} of {row['provider']}"
    assert lines
