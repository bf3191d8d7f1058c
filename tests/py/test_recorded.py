"""Recorded exchanges of many vendors, decoded: text, finish, tool calls, usage, outcome and cost against independent
readers, which are plain JSON and genai-prices.

The recordings are not part of the project; LLMCORE_RECORDED names the folder that holds them.
"""

import base64
import json
import struct
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest

from llmcore._core import Outcome, outcome_of_status
from llmcore.config import Settings
from llmcore.errors import UnknownModelError
from llmcore.hosts import HOSTS
from llmcore.pricing import CostCalculator
from llmcore.providers.base import LLMProvider
from llmcore.providers.registry import create_provider
from llmcore.types import EmbeddingReply, Failure, ImageReply, LLMRequest, Reply
from support.recorded import (
    KINDS,
    Json,
    Row,
    broken_in_the_middle,
    differs,
    last_word,
    needs_recordings,
    price_of,
    provider_name,
    read_independently,
    rows,
    told,
    told_usage,
    when,
)

pytestmark = needs_recordings

SETTINGS = Settings()
PRICES = CostCalculator(SETTINGS)


def provider_of(kind: str, row: Row) -> LLMProvider:
    """The provider that a line is of."""
    return create_provider(provider_name(kind, row), SETTINGS)


def decoded(kind: str, row: Row, size: Callable[[int], int] = lambda at: 1 + (at * 7919) % 97) -> tuple[Any, str]:
    """What a line says, and the text of its chunks; streams are fed in pieces of `size(position)` bytes."""
    provider, body = provider_of(kind, row), row["body"].encode()
    if not row["stream"] or row["status"] != 200:
        said = provider.decode(row["status"], row["headers"], body)
        return said, said.content if isinstance(said, Reply) else ""
    decoder = provider.stream_decoder(row["headers"])
    text, at = "", 0
    while at < len(body):
        step = size(at)
        text += "".join(chunk.text for chunk in decoder.feed(body[at : at + step]))
        at += step
    return decoder.finish(), text


@pytest.mark.parametrize("kind", ["chat", "responses", "messages", "ollama"])
def test_every_answer_is_read_as_it_was_given(kind: str) -> None:
    wrong: list[Any] = []
    right = Counter[str]()
    for row in rows(kind):
        if row["status"] != 200:
            continue
        said, chunked = decoded(kind, row)
        text, finish, tools = told(row)
        if broken_in_the_middle(row):
            assert isinstance(said, Failure), row["id"]
            assert said.outcome is Outcome.BAD_REQUEST
            said = said.partial
        if not isinstance(said, Reply) or (said.content, len(said.tool_calls)) != (text, tools) or chunked != text:
            wrong.append((row["provider"], row["id"], (text, tools), said))
        elif finish is not None and said.finish_reason != finish:
            wrong.append((row["provider"], row["id"], finish, said.finish_reason))
        right[row["provider"]] += 1
    assert right
    assert not wrong


def blocks(messages: list[Json]) -> list[Json]:
    """Anthropic's messages as its API reads them: every content a list, and turns of one role in a row as one."""
    found: list[Json] = []
    for message in messages:
        content = message["content"]
        parts = [content] if isinstance(content, str) else content
        parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
        if found and found[-1]["role"] == message["role"]:
            found[-1]["content"] += parts
        else:
            found.append({"role": message["role"], "content": list(parts)})
    return found


@pytest.mark.parametrize("kind", ["chat", "messages", "ollama"])
def test_what_was_asked_goes_out_the_same(kind: str) -> None:
    """Requests that real clients made, as messages and params: nothing of them is refused, lost or changed."""
    compared = 0
    for row in rows(kind):
        if row["provider"] not in HOSTS or "messages" not in (row["request"] or {}):
            continue
        params = dict(row["request"])
        messages, stream = params.pop("messages"), bool(params.pop("stream", False))
        model = params.pop("model", "deployment")
        base_url = {"azure": "https://name.openai.azure.com"}.get(row["provider"])
        base_url = "http://127.0.0.1:1/api" if kind == "ollama" else base_url
        reached = {"api_key": "key-0123456789", "base_url": base_url}
        provider = create_provider(row["provider"], Settings(providers={row["provider"]: reached}))
        sent = json.loads(provider.encode(LLMRequest(model, messages, stream=stream, params=params)).body)
        asked = row["request"] | {"model": model, "stream": stream}
        if stream and kind == "chat" and HOSTS[row["provider"]].asks_for_usage:
            assert sent.pop("stream_options") == {"include_usage": True} | (asked.pop("stream_options", None) or {})
        if row["provider"] == "openrouter":
            assert sent.pop("usage") == (asked.pop("usage", None) or {"include": True})
        if kind == "messages":
            sent["messages"], asked["messages"] = blocks(sent["messages"]), blocks(asked["messages"])
            if isinstance(asked.get("system"), list) and isinstance(sent["system"], str):
                asked["system"] = "\n\n".join(part["text"] for part in asked["system"])
        if kind == "ollama":
            asked = {name: value for name, value in asked.items() if name != "options" or value}
        assert sent == asked, row["id"]
        compared += 1
    assert compared


def test_usage_and_cost_are_what_an_independent_reader_finds() -> None:
    wrong: list[Any] = []
    compared, priced = Counter[str](), Counter[str]()
    for kind in KINDS:
        for row in rows(kind):
            if row["status"] != 200 or (found := read_independently(row)) is None:
                continue
            said, _ = decoded(kind, row)
            said = said.partial if isinstance(said, Failure) else said
            assert isinstance(said, Reply)
            place = f"{kind}/{row['provider']}"
            compared[place] += 1
            price = price_of(found, when(row))
            name = row["provider"] if row["provider"] in HOSTS else f"{found.provider.id}"
            free = name in HOSTS and HOSTS[name].free
            cost = None
            if price is not None and not free:
                priced[place] += 1
                try:
                    asked = row["request"].get("model")
                    cost = PRICES.cost(name, said.model or asked, said.usage, at=when(row)).nano_usd
                except UnknownModelError:
                    wrong.append((place, row["id"], price, "no price"))
            difference = differs(row, found, said.usage, None if free else price, cost)
            if difference:
                wrong.append((place, row["id"], difference))
    assert compared["chat/openai"]
    assert priced["messages/anthropic"]
    assert not wrong


def test_usage_that_nobody_told_is_estimated_and_never_nothing() -> None:
    seen = 0
    for kind in ("chat", "messages", "responses"):
        for row in rows(kind):
            if row["status"] != 200 or not row["stream"] or broken_in_the_middle(row):
                continue
            said, text = decoded(kind, row)
            assert isinstance(said, Reply)
            assert said.usage.estimated is not told_usage(row)
            if not told_usage(row):
                seen += 1
                assert said.usage.output_tokens >= max(1, len(text) // 8)
    assert seen


def test_what_openrouter_says_it_cost_is_kept_beside() -> None:
    seen = 0
    for row in rows("chat"):
        cost = ((last_word(row) or {}).get("usage") or {}).get("cost") if row["status"] == 200 else None
        if cost is not None:
            said, _ = decoded("chat", row)
            assert said.reported_cost == round(Decimal(repr(cost)) * 10**9)
            seen += 1
    assert seen


@pytest.mark.parametrize("kind", ["chat", "messages", "responses", "ollama"])
def test_a_stream_cut_anywhere_reads_the_same(kind: str) -> None:
    for row in rows(kind):
        if row["stream"] and row["status"] == 200 and len(row["body"]) < 40_000:
            whole, by_pieces = decoded(kind, row, lambda at: 1 << 30), decoded(kind, row, lambda at: 1)
            assert by_pieces == whole, row["id"]


@pytest.mark.parametrize("kind", ["chat", "messages", "responses", "ollama"])
def test_a_stream_that_breaks_off_bills_what_it_delivered(kind: str) -> None:
    """At each of its events: a Failure with the text so far, or the whole answer where only the end mark is missing."""
    for row in rows(kind):
        if not row["stream"] or row["status"] != 200 or broken_in_the_middle(row):
            continue
        body, mark = row["body"].encode(), b"\n" if kind == "ollama" else b"\n\n"
        ends = [at + len(mark) for at in range(len(body)) if body.startswith(mark, at)][:-1]
        for end in ends[:: max(1, len(ends) // 7)]:
            decoder = provider_of(kind, row).stream_decoder(row["headers"])
            text = "".join(chunk.text for chunk in decoder.feed(body[:end]))
            said: Any = decoder.finish()
            if isinstance(said, Failure):
                assert said.outcome is Outcome.CONNECTION
                said = said.partial
                assert said is not None or not text
            if said is not None:
                assert said.content == text
                assert said.usage.output_tokens >= (max(1, (len(text) + 3) // 4) if said.usage.estimated else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_is_a_failure_that_its_status_explains(kind: str) -> None:
    for row in rows(kind):
        if row["status"] == 200:
            continue
        said, _ = decoded(kind, row)
        error = json.loads(row["body"])["error"]
        assert isinstance(said, Failure)
        assert said.message == error["message"][:500]
        assert said.code == (error.get("code") or error["type"])
        assert said.outcome is outcome_of_status(row["status"])
        assert said.outcome in (Outcome.BAD_REQUEST, Outcome.NOT_FOUND)


def test_vectors_have_their_numbers() -> None:
    for row in rows("embeddings"):
        if row["status"] != 200:
            continue
        said, _ = decoded("embeddings", row)
        assert isinstance(said, EmbeddingReply)
        body = json.loads(row["body"])
        data = body.get("data", [body])
        data = sorted(data, key=lambda piece: piece.get("index", 0))
        numbers = [
            struct.unpack(f"<{len(base64.b64decode(vector)) // 4}f", base64.b64decode(vector))
            if isinstance(vector, str)
            else vector
            for vector in (piece["embedding"] for piece in data)
        ]
        assert (len(said), said.dimensions) == (len(numbers), len(numbers[0]))
        mine = struct.unpack(f"{len(numbers) * len(numbers[0])}f", said.vectors)
        assert all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(mine, chain.from_iterable(numbers), strict=True))


def test_pictures_are_where_they_are() -> None:
    for row in rows("images"):
        if row["status"] == 200:
            said, _ = decoded("images", row)
            assert isinstance(said, ImageReply)
            data = json.loads(row["body"])["data"]
            assert [image.url for image in said.images] == [piece.get("url") for piece in data]
            assert said.usage.images == len(data)
            assert not said.usage.estimated


def test_limits_are_observed_wherever_a_vendor_tells_them() -> None:
    for kind in ("chat", "responses", "messages"):
        for row in rows(kind):
            observed = provider_of(kind, row).observe(row["headers"])
            headers = row["headers"]
            told_tokens = headers.get("x-ratelimit-remaining-tokens") or headers.get(
                "anthropic-ratelimit-tokens-remaining"
            )
            if row["provider"] == "mistral":
                told_tokens = headers.get("x-ratelimit-remaining-tokens-minute")
            assert (observed is None) == (
                told_tokens is None and "anthropic-ratelimit-requests-remaining" not in headers
            )
            if observed is not None and kind != "messages":
                assert observed.remaining_tokens == int(told_tokens)
                assert 0 <= observed.requests_reset < 3600 * 10**9
            elif observed is not None:
                assert observed.remaining_tokens is None or observed.remaining_tokens <= int(told_tokens)
