"""Recorded Chat Completions of many vendors, decoded: text, finish, tool calls and usage against independent readers.

The recordings are not part of the project; LLMCORE_RECORDED names the folder that holds chat.jsonl.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from genai_prices import extract_usage

from llmcore._core import Outcome, outcome_of_status
from llmcore.providers.openai import OpenAIProvider
from llmcore.types import Failure, Reply

FOLDER = os.environ.get("LLMCORE_RECORDED")

pytestmark = pytest.mark.skipif(not FOLDER, reason="LLMCORE_RECORDED does not name a folder of recordings")

provider = OpenAIProvider("sk-recorded-0123456789")


def lines() -> list[dict[str, Any]]:
    """Every exchange whose answer came in one piece."""
    with (Path(FOLDER or "") / "chat.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if not (row["stream"] and row["status"] == 200)]


def text_of(content: Any) -> str:
    """A message's text by plain JSON."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") in ("text", "output_text"))
    return content or ""


def test_every_answer_is_read_as_it_was_given() -> None:
    answers = [row for row in lines() if row["status"] == 200]
    wrong = []
    for row in answers:
        reply = provider.decode(200, row["headers"], row["body"].encode())
        choice = json.loads(row["body"])["choices"][0]
        told = (
            text_of(choice["message"].get("content")),
            choice.get("finish_reason"),
            len(choice["message"].get("tool_calls") or ()),
        )
        if not isinstance(reply, Reply) or (reply.content, reply.finish_reason, len(reply.tool_calls)) != told:
            wrong.append((row["provider"], row["id"], told, reply))
    assert answers
    assert not wrong


def test_usage_is_what_an_independent_reader_finds() -> None:
    compared, wrong = 0, []
    for row in lines():
        if row["status"] != 200:
            continue
        body = json.loads(row["body"])
        flavor = "chat" if row["provider"] in ("openai", "azure", "openrouter", "cerebras", "deepseek") else "default"
        try:
            usage = extract_usage(body, provider_id=row["provider"], api_flavor=flavor).usage
        except (LookupError, ValueError):  # a vendor or a model that it does not know
            usage = None
        reply = provider.decode(200, row["headers"], row["body"].encode())
        assert isinstance(reply, Reply)
        mine = (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens)
        told: tuple[Any, ...] = (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"], mine[2])
        if usage is not None:
            compared += 1
            told = (usage.input_tokens or 0, usage.output_tokens or 0, usage.cache_read_tokens or 0)
        if mine != told:
            wrong.append((row["provider"], row["id"], told, mine))
    assert compared
    assert not wrong


def test_every_refusal_is_a_failure_that_its_status_explains() -> None:
    refusals = [row for row in lines() if row["status"] != 200]
    assert refusals
    for row in refusals:
        failure = provider.decode(row["status"], row["headers"], row["body"].encode())
        assert isinstance(failure, Failure)
        told = json.loads(row["body"])["error"]
        assert failure.message == told["message"][:500]
        assert failure.code == (told["code"] or told["type"])
        assert failure.outcome is outcome_of_status(row["status"])
        assert failure.outcome in (Outcome.BAD_REQUEST, Outcome.NOT_FOUND)


def test_limits_are_observed_wherever_a_vendor_tells_them() -> None:
    for row in lines():
        observed = provider.observe(row["headers"])
        told = row["headers"].get("x-ratelimit-remaining-tokens")
        assert (observed is None) == (told is None)
        if observed is not None:
            assert observed.remaining_tokens == int(told)
            assert 0 <= observed.requests_reset < 3600 * 10**9
