"""Recorded embeddings and pictures, served back over loopback, through the clients.

The lines are read from the folder that LLMCORE_RECORDED names; the independent reader is plain JSON, and genai-prices
for prices. Without the folder these tests are skipped: the lines are not part of the project.
"""

import asyncio
import base64
import json
import os
import struct
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from llmcore import AsyncLLMClient, EmbeddingResponse, LLMClient, LLMError, Runtime, Settings
from support.server import Answer, Request, ScriptedServer

FOLDER = os.environ.get("LLMCORE_RECORDED", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="LLMCORE_RECORDED names no folder with recorded provider traffic")

Row = dict[str, Any]
#: As the ledger's prices have it: OpenAI's list price of a 256x256 picture of dall-e-2.
PICTURE = 16_000_000


def rows(name: str) -> list[Row]:
    with (Path(FOLDER) / name).open() as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """Answers POST /v1/<id>/... with the recorded bytes of <id>."""
    by_id = {row["id"]: row for name in ("embeddings.jsonl", "images.jsonl") for row in rows(name)}

    def answer(request: Request) -> Answer:
        row = by_id[request.path.split("/")[2]]
        return Answer(status=row["status"], headers=row["headers"], body=row["body"].encode())

    with ScriptedServer(answer) as running:
        yield running


def runtime_for(server: ScriptedServer, row: Row) -> Runtime:
    name = row["provider"]
    # Ollama's own API lies at /api.
    base_url = f"{server.base_url}/{row['id']}" + ("/api" if name == "ollama" else "")
    own = {"base_url": base_url, "api_key": "sk-recorded"}
    return Runtime(Settings(provider=name, providers={name: own}, retry={"max_attempts": 1}, ledger={"url": "none"}))


def inputs_of(row: Row) -> list[str]:
    given = row["request"].get("input", row["request"].get("prompt"))
    return [given] if isinstance(given, str) else given


def vectors_of(body: Row) -> list[list[float]]:
    if "data" not in body:
        return [body["embedding"]] if "embedding" in body else body["embeddings"]
    found = []
    for each in sorted(body["data"], key=lambda each: each["index"]):
        given = each["embedding"]
        if isinstance(given, str):
            raw = base64.b64decode(given)
            given = list(struct.unpack(f"<{len(raw) // 4}f", raw))
        found.append(given)
    return found


def check(row: Row, answer: EmbeddingResponse) -> None:
    body = json.loads(row["body"])
    expected = vectors_of(body)
    assert answer.vectors.shape == (len(expected), len(expected[0]))
    assert answer.vectors.tolist() == [pytest.approx(vector, rel=1e-6, abs=1e-9) for vector in expected]
    usage = body.get("usage")
    if usage is None:
        assert answer.usage.estimated
        assert answer.input_tokens > 0
        return
    assert (answer.input_tokens, answer.output_tokens) == (usage["prompt_tokens"], 0)
    if row["provider"] == "ollama":
        return
    priced = calc_price(PricedUsage(input_tokens=usage["prompt_tokens"]), body["model"], provider_id=row["provider"])
    assert answer.cost is not None
    assert abs(answer.cost.nano_usd - priced.total_price * 10**9) <= Decimal("0.5")


def embeddings() -> list[Row]:
    # The old form of Ollama's API, of one prompt, is not spoken.
    return [row for row in rows("embeddings.jsonl") if "prompt" not in row["request"]]


def test_every_vector_comes_out_of_both_clients(server: ScriptedServer) -> None:
    async def again(row: Row, model: str) -> EmbeddingResponse:
        async with runtime_for(server, row) as runtime:
            return await AsyncLLMClient(runtime=runtime).embed(inputs_of(row), model=model)

    lines = embeddings()
    answered = 0
    for row in lines:
        model = row["request"]["model"]
        with runtime_for(server, row) as runtime:
            client = LLMClient(runtime=runtime)
            if row["status"] != 200:
                with pytest.raises(LLMError):
                    client.embed(inputs_of(row), model=model)
                continue
            check(row, client.embed(inputs_of(row), model=model))
            assert runtime.check() == ""
        check(row, asyncio.run(again(row, model)))
        answered += 1
    assert answered == sum(row["status"] == 200 for row in lines) > 0


def test_every_picture_comes_out_and_is_priced(server: ScriptedServer) -> None:
    lines = rows("images.jsonl")
    for row in lines:
        asked = row["request"]
        options = {name: asked[name] for name in ("size", "quality", "n", "model") if name in asked}
        with runtime_for(server, row) as runtime:
            client = LLMClient(runtime=runtime)
            if row["status"] != 200:
                with pytest.raises(LLMError):
                    client.generate_image(asked["prompt"], **options)
                continue
            answer = client.generate_image(asked["prompt"], **options)
        told = json.loads(row["body"])["data"]
        assert [image.url for image in answer.images] == [each.get("url") for each in told]
        assert answer.cost is not None
        assert answer.cost.nano_usd == PICTURE * len(told)
    assert any(row["status"] == 200 for row in lines)
