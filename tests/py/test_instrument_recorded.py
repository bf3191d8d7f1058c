"""Real provider traffic, served over loopback to instrumented clients: what the ledger says of each line is what the
independent reader finds.

The lines are read from the folder that LLMCORE_RECORDED names. Without it these tests are skipped: the lines are not
part of the project.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import openai
import pytest

from ledger.making import ask
from llmcore import UsageTracker, instrument
from llmcore.hosts import HOSTS
from support.recorded import (
    Row,
    needs_recordings,
    price_of,
    read_independently,
    rows,
    when,
    written_and_read,
)
from support.server import Answer, Request, ScriptedServer
from test_openai_recorded import asked

pytestmark = needs_recordings

KINDS = ("chat", "responses", "embeddings")


def answered(kind: str) -> list[Row]:
    return [row for row in rows(kind) if row["status"] == 200]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """Answers POST /v1/<id>/... with the recorded bytes of <id>."""
    by_id = {row["id"]: row for kind in KINDS for row in answered(kind)}

    def answer(request: Request) -> Answer:
        row = by_id[request.path.split("/")[2]]
        return Answer(row["status"], headers=row["headers"], body=row["body"].encode())

    with ScriptedServer(answer) as running:
        yield running


def provider_of(row: Row) -> str:
    return row["provider"] if row["provider"] in HOSTS else "openai"


def use(kind: str, row: Row, server: ScriptedServer, tracker: UsageTracker) -> None:
    """The call of a line by an instrumented client, read to its end."""
    with openai.OpenAI(api_key="k", base_url=f"{server.base_url}/{row['id']}", max_retries=0) as client:
        instrument(client, tracker=tracker, provider=provider_of(row))
        with suppress(openai.OpenAIError, ValueError):  # of lines that end in an error, or without vectors
            given = asked(client, kind, row)
            if row["stream"]:
                with given as stream:
                    for _ in stream:
                        pass


async def ause(kind: str, row: Row, server: ScriptedServer, tracker: UsageTracker) -> None:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{server.base_url}/{row['id']}", max_retries=0) as client:
        instrument(client, tracker=tracker, provider=provider_of(row))
        with suppress(openai.OpenAIError, ValueError):
            given = await asked(client, kind, row)
            if row["stream"]:
                async with given as stream:
                    async for _ in stream:
                        pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_line_is_recorded_as_the_independent_reader_has_it(
    kind: str, asynchronous: bool, server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "calls.db"
    lines = answered(kind)
    with closing(UsageTracker(str(path))) as tracker:

        async def every() -> None:
            for row in lines:
                await ause(kind, row, server, tracker)

        if asynchronous:
            asyncio.run(every())
        else:
            for row in lines:
                use(kind, row, server, tracker)
    query = "SELECT input_tokens, output_tokens, cached_tokens, cost_nano_usd FROM llm_calls ORDER BY id"
    found = ask(path, query)
    assert len(found) == len(lines) > 0
    compared = priced = 0
    for row, (given, written, cached, cost) in zip(lines, found, strict=True):
        oracle = read_independently(row)
        if oracle is None:
            continue
        usage = oracle.usage
        if row["provider"] == "openrouter" and kind == "chat" and written_and_read(row):
            continue
        read = (usage.input_tokens or 0, usage.output_tokens or 0, usage.cache_read_tokens or 0)
        assert (given, written, cached) == read, row["id"]
        compared += 1
        price = price_of(oracle, when(row))
        # Prices are those of the provider that the client was said to be of.
        if price is None or row["provider"] != provider_of(row) or HOSTS[row["provider"]].free:
            continue
        assert cost is not None, row["id"]
        assert abs(cost - price * 10**9) <= 1, row["id"]
        priced += 1
    assert compared > 0
    assert priced > 0
