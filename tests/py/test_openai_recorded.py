"""Real provider traffic, served over loopback to the SDK's client and to ours: what they return and raise is equal,
field by field.

The lines are read from the folder that LLMCORE_RECORDED names. Without it these tests are skipped: the lines are not
part of the project.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from llmcore import Runtime, Settings
from llmcore.openai import AsyncOpenAI, OpenAI
from llmcore.runtime import NoLedger
from support.server import Answer, Request, ScriptedServer

FOLDER = os.environ.get("LLMCORE_RECORDED", "")
KINDS = ("chat", "responses", "embeddings", "images")
pytestmark = pytest.mark.skipif(not FOLDER, reason="LLMCORE_RECORDED names no folder with recorded provider traffic")

Row = dict[str, Any]
#: What came of a call: the events of a stream, or the one answer, as plain data; and the error that ended it.
Told = tuple[list[Any], tuple[type[BaseException], Any, Any] | None]


def rows(kind: str) -> list[Row]:
    with (Path(FOLDER) / f"{kind}.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """Answers POST /v1/<id>/... with the recorded bytes of <id>."""
    by_id = {row["id"]: row for kind in KINDS for row in rows(kind)} if FOLDER else {}

    def answer(request: Request) -> Answer:
        row = by_id[request.path.split("/")[2]]
        return Answer(row["status"], headers=row["headers"], body=row["body"].encode())

    with ScriptedServer(answer) as running:
        yield running


def asked(client: Any, kind: str, row: Row) -> Any:
    """The call of the SDK that a line is of; awaited by an async client."""
    request = dict(row["request"])
    model = request.pop("model", None) or "unknown"
    streamed = {"stream": True} if row["stream"] else {}
    request.pop("stream", None)
    if kind == "chat":
        if streamed:
            request["stream_options"] = {**(request.get("stream_options") or {}), "include_usage": True}
        messages = request.pop("messages")
        return client.chat.completions.create(model=model, messages=messages, extra_body=request, **streamed)
    if kind == "responses":
        said = request.pop("input", "")
        return client.responses.create(model=model, input=said, extra_body=request, **streamed)
    if kind == "embeddings":
        said = request.pop("input", "")
        return client.embeddings.create(model=model, input=said, extra_body=request)
    return client.images.generate(model=model, prompt=request.pop("prompt"), extra_body=request)


def plain(value: Any) -> Any:
    return value.model_dump(warnings=False) if hasattr(value, "model_dump") else value


def whole(value: Any) -> list[Any]:
    """Everything that can be seen of an answer: its values, which of them were given, and their types."""
    given = value.model_dump(exclude_unset=True, warnings=False) if hasattr(value, "model_dump") else None
    return [plain(value), given, repr(value)]


def raised(error: Exception) -> tuple[type[BaseException], Any, Any]:
    return type(error), getattr(error, "status_code", None), getattr(error, "code", None)


def told(client: Any, kind: str, row: Row) -> Told:
    seen: list[Any] = []
    try:
        answer = asked(client, kind, row)
        if not row["stream"]:
            return [*whole(answer), getattr(answer, "_request_id", None)], None
        with answer as stream:
            seen.extend(plain(event) for event in stream)
    except (openai.OpenAIError, ValueError) as error:  # the latter of an answer without vectors
        return seen, raised(error)
    return seen, None


async def atold(client: Any, kind: str, row: Row) -> Told:
    seen: list[Any] = []
    try:
        answer = await asked(client, kind, row)
        if not row["stream"]:
            return [*whole(answer), getattr(answer, "_request_id", None)], None
        async with answer as stream:
            async for event in stream:
                seen.append(plain(event))  # noqa: PERF401 - what came before an error counts
    except (openai.OpenAIError, ValueError) as error:  # the latter of an answer without vectors
        return seen, raised(error)
    return seen, None


def same(found: Told, wanted: Told) -> bool:
    """Equal. But an answer without the vectors that were asked for is the provider's fault with us, and the SDK's own
    ValueError; and a stream that fails before any of it has reached the program fails as a whole answer does, with an
    error that says more.
    """
    if wanted[1] is None or found[1] is None or found == wanted:
        return found == wanted
    (kind, _, code), (theirs, _, named) = found[1], wanted[1]
    if theirs is ValueError:
        return kind is openai.InternalServerError
    return issubclass(kind, theirs) and code == named and found[0] == wanted[0][: len(found[0])]


def runtime() -> Runtime:
    """One that repeats nothing, whatever it has seen fail."""
    return Runtime(Settings(retry={"max_attempts": 1}, health={"breaker_errors": 10**6}), tracker=NoLedger())


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_is_what_the_sdk_makes_of_it(server: ScriptedServer, kind: str) -> None:
    through = runtime()
    options: dict[str, Any] = {"api_key": "sk-recorded", "base_url": server.base_url, "max_retries": 0}
    with openai.OpenAI(**options) as bare, OpenAI(**options, runtime=through) as client:
        for row in rows(kind):
            base_url = f"{server.base_url}/{row['id']}"
            wanted = told(bare.with_options(base_url=base_url), kind, row)
            found = told(client.with_options(base_url=base_url), kind, row)
            assert same(found, wanted), f"line {row['id']} of {row['provider']}"
    assert through.stats()["in_flight"] == 0
    through.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_is_what_the_async_sdk_makes_of_it(server: ScriptedServer, kind: str) -> None:
    async def every() -> None:
        through = runtime()
        options: dict[str, Any] = {"api_key": "sk-recorded", "base_url": server.base_url, "max_retries": 0}
        async with openai.AsyncOpenAI(**options) as bare, AsyncOpenAI(**options, runtime=through) as client:
            for row in rows(kind):
                base_url = f"{server.base_url}/{row['id']}"
                wanted = await atold(bare.with_options(base_url=base_url), kind, row)
                found = await atold(client.with_options(base_url=base_url), kind, row)
                assert same(found, wanted), f"line {row['id']} of {row['provider']}"
        await through.aclose()

    asyncio.run(every())
