"""Recorded exchanges of many vendors, decoded: text, finish, tool calls, usage, outcome and cost against independent
readers, which are plain JSON and genai-prices.

The recordings are not part of the project; LLMCORE_RECORDED names the folder that holds them.
"""

import base64
import json
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from genai_prices import extract_usage

from llmcore._core import Outcome, outcome_of_status
from llmcore.config import Settings
from llmcore.errors import UnknownModelError
from llmcore.hosts import HOSTS
from llmcore.pricing import CostCalculator
from llmcore.providers.base import LLMProvider
from llmcore.providers.registry import create_provider
from llmcore.types import EmbeddingReply, Failure, ImageReply, LLMRequest, Reply

FOLDER = os.environ.get("LLMCORE_RECORDED")
KINDS = ("chat", "responses", "messages", "embeddings", "images", "ollama")

pytestmark = pytest.mark.skipif(not FOLDER, reason="LLMCORE_RECORDED does not name a folder of recordings")

Row = dict[str, Any]
Json = dict[str, Any]
SETTINGS = Settings()
PRICES = CostCalculator(SETTINGS)


def rows(kind: str) -> list[Row]:
    """The lines of a file."""
    with (Path(FOLDER or "") / f"{kind}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def provider_of(kind: str, row: Row) -> LLMProvider:
    """The provider that a line is of; what spoke the same under a name of its own is read as OpenAI's."""
    name = row["provider"] if row["provider"] in HOSTS else "openai"
    if kind == "responses":
        name = "openai-responses"
    return create_provider(name, SETTINGS)


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


def events(row: Row) -> Iterator[Json]:
    """The parts of an answer by plain JSON: one, or those of its stream."""
    if not row["stream"]:
        yield json.loads(row["body"])
        return
    for line in row["body"].splitlines():
        text = line.removeprefix("data:").strip()
        if text.startswith("{"):
            yield json.loads(text)


def flat(content: Any) -> str:
    """A message's text by plain JSON."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") in ("text", "output_text"))
    return content or ""


def told(row: Row) -> tuple[str, str | None, int]:
    """(text, finish reason or None where it has no OpenAI word, number of tool calls) by plain JSON."""
    text, finish, tools = "", None, set()
    for number, event in enumerate(events(row)):
        for choice in (event.get("choices") or ())[:1]:
            said = choice.get("message") or choice.get("delta") or {}
            text += flat(said.get("content"))
            finish = choice.get("finish_reason") or finish
            for at, call in enumerate(said.get("tool_calls") or ()):
                tools.add(call.get("index", at))
        match event.get("type"):
            case "message":
                text += flat(event["content"])
                tools |= {at for at, block in enumerate(event["content"]) if block["type"] == "tool_use"}
            case "content_block_start":
                text += event["content_block"].get("text") or ""
                tools |= {event["index"]} if event["content_block"]["type"] == "tool_use" else set()
            case "content_block_delta":
                text += event["delta"].get("text") or ""
            case "response.output_text.delta":
                text += event["delta"]
            case "response.output_item.done":
                tools |= {event["output_index"]} if event["item"]["type"] == "function_call" else set()
        for at, item in enumerate(event.get("output") or ()):
            text += flat(item.get("content")) if item["type"] == "message" else ""
            tools |= {at} if item["type"] == "function_call" else set()
        if "done" in event:
            text += (event.get("message") or {}).get("content") or event.get("response") or ""
            finish = event.get("done_reason") or finish
            tools |= {(number, at) for at in range(len((event.get("message") or {}).get("tool_calls") or ()))}
    return text, finish, len(tools)


def last_word(row: Row) -> Json | None:
    """What of an answer holds the usage."""
    if not row["stream"]:
        return dict(json.loads(row["body"]))
    found = None
    for event in events(row):
        if event.get("usage") or (event.get("message") or {}).get("usage"):
            found = event
        if event.get("type") in ("response.completed", "response.incomplete"):
            found = event["response"]
    return found


FLAVORS = {"openai": {"chat", "responses", "embeddings", "images"}, "azure": {"chat", "responses", "embeddings"}} | {
    name: {"chat"} for name in ("openrouter", "cerebras", "deepseek", "huggingface_together")
}
PATHS = {
    "chat/completions": "chat",
    "/responses": "responses",
    "embeddings": "embeddings",
    "images/generations": "images",
}


def read_independently(row: Row) -> Any:
    """What genai-prices extracts; None where it cannot read the line."""
    body = last_word(row)
    if body is None or not (body.get("usage") or {}):
        return None
    name = row["provider"]
    if name == "huggingface":
        name = "huggingface_" + row["path"].split("/")[1]
    flavor = next((flavor for path, flavor in PATHS.items() if row["path"].endswith(path)), "default")
    if flavor not in FLAVORS.get(name, ()):
        flavor = "default"
    if "model" not in body:
        body = body | {"model": row["request"].get("model")}
    try:
        return extract_usage(body, provider_id=name, api_flavor=flavor)
    except (LookupError, ValueError):
        return None


def price_of(found: Any, row: Row) -> Decimal | None:
    """What genai-prices says it cost, in dollars; None where it has no price."""
    try:
        return Decimal(found.calc_price(genai_request_timestamp=when(row)).total_price)
    except (LookupError, ValueError, TypeError):
        return None


def when(row: Row) -> datetime | None:
    """The moment at which the provider says it answered."""
    body = last_word(row) or {}
    at = body.get("created") or body.get("created_at")
    return datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None


# Why a figure may differ from theirs, each cause by its shape and not by the line. A difference that none of these
# explains fails.
def web_search_fee(row: Row) -> int:
    """Anthropic's fee for searches that it ran: not a price of tokens, so no part of our cost (docs/pricing.md)."""
    used = ((last_word(row) or {}).get("usage") or {}).get("server_tool_use") or {}
    return int(used.get("web_search_requests") or 0) * 10_000_000


def written_and_read(row: Row) -> bool:
    """OpenRouter, of models that cache by themselves: the same tokens are told as written and as read, and together
    they are more than the prompt. Buckets are disjoint, so ours holds them as read; `reported_cost` has both.
    """
    inside = ((last_word(row) or {}).get("usage") or {}).get("prompt_tokens_details") or {}
    twice = (inside.get("cached_tokens") or 0) + (inside.get("cache_write_tokens") or 0)
    return bool(twice > ((last_word(row) or {}).get("usage") or {})["prompt_tokens"])


def broken_in_the_middle(row: Row) -> bool:
    """A stream with an error in it: no answer, but a Failure that holds what had come."""
    return bool(row["stream"]) and any(event.get("error") for event in events(row))


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
            usage, theirs = said.usage, found.usage
            place = f"{kind}/{row['provider']}"
            mine = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
            read = (theirs.input_tokens, theirs.output_tokens, theirs.cache_read_tokens, theirs.cache_write_tokens)
            compared[place] += 1
            if row["provider"] == "openrouter" and kind == "chat" and written_and_read(row):
                assert mine[:3] == read[:3]
                continue
            if mine != tuple(count or 0 for count in read):
                wrong.append((place, row["id"], read, mine))
            price = price_of(found, row)
            if price is None:
                continue
            name = row["provider"] if row["provider"] in HOSTS else f"{found.provider.id}"
            model = said.model or row["request"].get("model")
            try:
                cost = PRICES.cost(name, model, usage, at=when(row)).nano_usd
            except UnknownModelError:
                wrong.append((place, row["id"], price, "no price"))
                continue
            if HOSTS.get(name) is not None and HOSTS[name].free:
                continue
            priced[place] += 1
            if abs(cost + web_search_fee(row) - price * 10**9) > 1:
                wrong.append((place, row["id"], model, price * 10**9, cost))
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
            told_usage = any(
                event.get("usage")
                or (event.get("x_groq") or {}).get("usage")
                or event.get("response")
                or event.get("message")
                for event in events(row)
            )
            assert said.usage.estimated is not told_usage
            if not told_usage:
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
