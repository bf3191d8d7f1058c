"""Recorded exchanges with real providers, and what independent readers make of them: plain JSON, and genai-prices.

The recordings are not part of the project; LLMCORE_RECORDED names the folder that holds them. Tests that need them are
marked with `needs_recordings`.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import extract_usage

from llmcore._core import Usage
from llmcore.hosts import HOSTS

__all__ = [
    "KINDS",
    "Json",
    "Row",
    "broken_in_the_middle",
    "differs",
    "events",
    "flat",
    "last_word",
    "needs_recordings",
    "price_of",
    "provider_name",
    "read_independently",
    "rows",
    "told",
    "told_usage",
    "when",
    "written_and_read",
]

FOLDER = os.environ.get("LLMCORE_RECORDED", "")
KINDS = ("chat", "responses", "messages", "embeddings", "images", "ollama")
needs_recordings = pytest.mark.skipif(not FOLDER, reason="LLMCORE_RECORDED names no folder of recorded traffic")

Row = dict[str, Any]
Json = dict[str, Any]


def rows(kind: str) -> list[Row]:
    """The lines of a file; none without the folder."""
    if not FOLDER:
        return []
    with (Path(FOLDER) / f"{kind}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def provider_name(kind: str, row: Row) -> str:
    """The provider that a line is of; what spoke the same under a name of its own is read as OpenAI's."""
    if kind == "responses":
        return "openai-responses"
    return str(row["provider"]) if row["provider"] in HOSTS else "openai"


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


def told_usage(row: Row) -> bool:
    """Whether a stream says what it used."""
    return any(
        event.get("usage") or (event.get("x_groq") or {}).get("usage") or event.get("response") or event.get("message")
        for event in events(row)
    )


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


def price_of(found: Any, at: datetime | None = None) -> Decimal | None:
    """What genai-prices says it cost at a moment (None: now), in dollars; None where it has no price."""
    try:
        return Decimal(found.calc_price(genai_request_timestamp=at).total_price)
    except (LookupError, ValueError, TypeError):
        return None


def when(row: Row) -> datetime | None:
    """The moment at which the provider says it answered."""
    body = last_word(row) or {}
    at = body.get("created") or body.get("created_at")
    return datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None


# Why a figure may differ from theirs, each cause by its shape and not by the line. A difference that none of these
# explains fails.
def written_and_read(row: Row) -> bool:
    """OpenRouter, of models that cache by themselves: the same tokens are told as written and as read, and together
    they are more than the prompt. Buckets are disjoint, so ours holds them as read; `reported_cost` has both.
    """
    usage = (last_word(row) or {}).get("usage") or {}
    inside = usage.get("prompt_tokens_details") or {}
    twice = (inside.get("cached_tokens") or 0) + (inside.get("cache_write_tokens") or 0)
    return bool(twice > usage.get("prompt_tokens", twice))


def differs(row: Row, found: Any, usage: Usage, price: Decimal | None, nano_usd: int | None) -> str:
    """How usage and cost differ from what genai-prices reads; "" where they agree, or the reason is one of these.

    :param found: from read_independently
    :param price: what it says that comes to, in dollars; None where it has no price, or there is nothing to compare
    """
    mine = [usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens]
    their = found.usage
    read = [their.input_tokens, their.output_tokens, their.cache_read_tokens, their.cache_write_tokens]
    read = [count or 0 for count in read]
    if row["provider"] == "openrouter" and written_and_read(row):
        return "" if mine[:3] == read[:3] else f"{mine[:3]} tokens, not {read[:3]}"
    if mine != read:
        return f"{mine} tokens, not {read}"
    if price is None:
        return ""
    if nano_usd is None or abs(nano_usd - price * 10**9) > 1:
        return f"{nano_usd} nano-USD, not {price * 10**9}"
    return ""


def broken_in_the_middle(row: Row) -> bool:
    """A stream with an error in it: no answer, but a Failure that holds what had come."""
    return bool(row["stream"]) and any(event.get("error") for event in events(row))
