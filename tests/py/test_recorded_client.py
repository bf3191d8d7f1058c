"""Real provider traffic, served back over loopback, through the clients: text, tool calls, finish, usage and cost are
right.

The lines are read from the folder that LLMCORE_RECORDED names (chat.jsonl); the independent reader is genai-prices on
the raw body. Without
the folder these tests are skipped: the lines are not part of the project.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import extract_usage

from llmcore import AsyncLLMClient, LLMClient, LLMError, LLMResponse, Runtime, Settings
from support.scripted import ListSink
from support.server import Answer, Request, ScriptedServer

FOLDER = os.environ.get("LLMCORE_RECORDED", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="LLMCORE_RECORDED names no folder with recorded provider traffic")

Row = dict[str, Any]


def rows(stream: bool = False) -> list[Row]:
    """Every answered chat line that is no stream, or is one."""
    with (Path(FOLDER) / "chat.jsonl").open() as lines:
        found = [json.loads(line) for line in lines]
    return [row for row in found if row["status"] == 200 and bool(row["stream"]) is stream]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """Answers POST /v1/<id>/chat/completions with the recorded bytes of <id>."""
    by_id = {row["id"]: row for stream in (False, True) for row in rows(stream)}

    def answer(request: Request) -> Answer:
        row = by_id[request.path.split("/")[2]]
        return Answer(status=200, headers=row["headers"], body=row["body"].encode())

    with ScriptedServer(answer) as running:
        yield running


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""


def check(row: Row, answer: LLMResponse) -> None:
    """Compares an answer with plain JSON and with the independent reader."""
    body = json.loads(row["body"])
    message = body["choices"][0]["message"]
    assert answer.content == text_of(message.get("content"))
    assert answer.finish_reason == (body["choices"][0].get("finish_reason") or "")
    assert [call.id for call in answer.tool_calls] == [call.get("id") for call in message.get("tool_calls") or ()]
    oracle = read(row, body)
    if oracle is None:
        return
    usage, price = oracle
    assert answer.input_tokens == (usage.input_tokens or 0)
    assert answer.output_tokens == (usage.output_tokens or 0)
    assert answer.cached_tokens == (usage.cache_read_tokens or 0)
    if price is not None and row["provider"] == "openai":
        assert answer.cost is not None
        assert abs(answer.cost.nano_usd - price * 10**9) <= Decimal("0.5")


def read(row: Row, body: Row) -> tuple[Any, Decimal | None] | None:
    """(usage, price) by genai-prices; None where it cannot read the line."""
    flavor = "chat" if row["provider"] in {"openai", "azure", "openrouter", "cerebras", "deepseek"} else "default"
    try:
        found = extract_usage(body, provider_id=row["provider"], api_flavor=flavor)
    except Exception:
        return None
    at = datetime.fromtimestamp(body["created"], UTC) if body.get("created") else None
    try:
        return found.usage, found.calc_price(genai_request_timestamp=at).total_price
    except Exception:
        return found.usage, None


def arguments(row: Row) -> tuple[list[Row], str, Row]:
    request = dict(row["request"])
    for name in ("stream", "stream_options"):
        request.pop(name, None)
    return request.pop("messages"), request.pop("model", None) or "unknown", request


def runtime_for(server: ScriptedServer, row: Row, sink: ListSink) -> Runtime:
    base_url = server.base_url + "/" + row["id"]
    return Runtime(Settings(provider="openai", openai_api_key="sk-recorded", openai_base_url=base_url), tracker=sink)


def test_every_line_comes_out_of_the_sync_client(server: ScriptedServer) -> None:
    sink = ListSink()
    lines = rows()
    for row in lines:
        messages, model, params = arguments(row)
        runtime = runtime_for(server, row, sink)
        try:
            answer = LLMClient("openai", model, runtime=runtime).complete(messages, **params)
            check(row, answer)
            assert runtime.check() == ""
        except AssertionError as wrong:
            raise AssertionError(f"line {row['id']} of {row['provider']}: {wrong}") from wrong
        finally:
            runtime.close()
    assert len(sink.records) == len(lines)
    assert all(record.outcome == 0 for record in sink.records)


def test_every_line_comes_out_of_the_async_client(server: ScriptedServer) -> None:
    sink = ListSink()

    async def one(row: Row) -> None:
        messages, model, params = arguments(row)
        runtime = runtime_for(server, row, sink)
        try:
            check(row, await AsyncLLMClient("openai", model, runtime=runtime).complete(messages, **params))
        finally:
            await runtime.aclose()

    async def every() -> None:
        for row in rows():
            await one(row)

    asyncio.run(every())
    assert len(sink.records) == len(rows())


# --- streams ----------------------------------------------------------------------------------------------------------


def events(row: Row) -> list[Row]:
    """The events of a recorded stream, as plain JSON."""
    lines = [line[5:].strip() for line in row["body"].splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def check_stream(row: Row, texts: list[str], answer: LLMResponse) -> None:
    """Compares a stream with plain JSON and with the independent reader."""
    told = events(row)
    choices = [choice for one in told for choice in one.get("choices") or () if not choice.get("index")]
    said = "".join(text_of((choice.get("delta") or {}).get("content")) for choice in choices)
    assert "".join(texts) == answer.content == said
    usages = [one.get("usage") or (one.get("x_groq") or {}).get("usage") for one in told]
    usage = next((each for each in reversed(usages) if each), None)
    assert answer.usage.estimated == (usage is None)
    if usage is None:
        assert answer.output_tokens > 0
        return
    assert answer.input_tokens == (usage.get("prompt_tokens") or 0)
    model = next((one["model"] for one in told if one.get("model")), None)
    created = next((one["created"] for one in told if one.get("created")), None)
    oracle = read(row, {"model": model, "usage": usage, "created": created, "choices": []})
    if oracle is None:
        return
    assert answer.cached_tokens == (oracle[0].cache_read_tokens or 0)
    if oracle[1] is not None and row["provider"] == "openai":
        assert answer.cost is not None
        assert abs(answer.cost.nano_usd - oracle[1] * 10**9) <= Decimal("0.5")


def broken(row: Row) -> bool:
    """Whether the provider ended it with an error."""
    return any(one.get("error") for one in events(row))


def test_every_stream_comes_out_of_the_sync_client(server: ScriptedServer) -> None:
    sink = ListSink()
    lines = rows(stream=True)
    for row in lines:
        messages, model, params = arguments(row)
        runtime = runtime_for(server, row, sink)
        try:
            with LLMClient("openai", model, runtime=runtime).stream(messages, **params) as answer:
                try:
                    check_stream(row, [chunk.text for chunk in answer], answer.response)
                except LLMError:
                    assert broken(row)
            assert runtime.check() == ""
        except AssertionError as wrong:
            raise AssertionError(f"line {row['id']} of {row['provider']}: {wrong}") from wrong
        finally:
            runtime.close()
    assert len(sink.records) == len(lines) > 0
    assert sum(record.outcome == 0 for record in sink.records) == sum(not broken(row) for row in lines)


def test_every_stream_comes_out_of_the_async_client(server: ScriptedServer) -> None:
    sink = ListSink()

    async def one(row: Row) -> None:
        messages, model, params = arguments(row)
        runtime = runtime_for(server, row, sink)
        try:
            async with AsyncLLMClient("openai", model, runtime=runtime).stream(messages, **params) as answer:
                check_stream(row, [chunk.text async for chunk in answer], answer.response)
        finally:
            await runtime.aclose()

    async def every() -> None:
        for row in rows(stream=True):
            if not broken(row):
                await one(row)

    asyncio.run(every())
    assert all(record.first_token for record in sink.records)
