"""Recorded answers of providers cost what genai-prices says."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices import types as library

from llmcore._core import Usage
from llmcore.pricing import Catalogue
from support.prices import nano

FLAVOURS = {"chat/completions": "chat", "responses": "responses", "embeddings": "embeddings"}


def recorded(kind: str) -> list[dict[str, Any]]:
    folder = os.environ.get("LLMCORE_RECORDED")
    if not folder:
        pytest.skip("LLMCORE_RECORDED does not name a folder of recorded provider traffic")
    lines = (Path(folder) / f"{kind}.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["status"] == 200]


def answer(row: dict[str, Any]) -> dict[str, Any]:
    """The object that carries model, date and usage: the body, or of a stream the event that has them."""
    if not row["stream"]:
        return dict(json.loads(row["body"]))
    found: dict[str, Any] = {}
    for line in row["body"].splitlines():
        if line.startswith("data:") and line[5:].strip().startswith("{"):
            event = json.loads(line[5:])
            event = event.get("response") or event
            found = event if event.get("usage") else found
    return found


def said_by_the_library(row: dict[str, Any], body: dict[str, Any]) -> library.ExtractedUsage | None:
    """What the library reads; None where it cannot, or where what it reads contradicts itself."""
    ending = next((flavour for path, flavour in FLAVOURS.items() if row["path"].endswith(path)), "default")
    for flavour in (ending, "default"):
        try:
            said = genai_prices.extract_usage(body, provider_id=row["provider"], api_flavor=flavour)
            if said.model is not None:
                said.calc_price()
                return said
        except (LookupError, ValueError):
            continue
    return None


def as_we_count(usage: library.Usage) -> Usage:
    def said(name: str) -> int:
        return int(usage.reported_value(name))

    audio_cached, one_hour = said("cache_audio_read_tokens"), said("cache_write_1h_tokens")
    audio = said("input_audio_tokens") - audio_cached
    cached, written = said("cache_read_tokens") - audio_cached, said("cache_write_tokens")
    hidden, spoken = said("output_reasoning_tokens"), said("output_audio_tokens")
    return Usage(
        input_uncached=said("input_tokens") - audio - audio_cached - cached - written,
        cache_read=cached,
        cache_write_5m=written - one_hour,
        cache_write_1h=one_hour,
        audio_input=audio,
        audio_cache_read=audio_cached,
        output_text=said("output_tokens") - hidden - spoken,
        reasoning=hidden,
        audio_output=spoken,
        web_searches=said("web_searches"),
    )


@pytest.mark.parametrize(("kind", "least"), [("chat", 200), ("responses", 100), ("messages", 100), ("embeddings", 5)])
def test_recorded_answers_cost_what_genai_prices_says(kind: str, least: int, catalogue: Catalogue) -> None:
    compared = 0
    for row in recorded(kind):
        body = answer(row)
        said = said_by_the_library(row, body)
        if said is None or said.model is None:
            continue
        stamp = body.get("created") or body.get("created_at")
        at = datetime.fromtimestamp(stamp, UTC) if isinstance(stamp, int | float) else datetime(2026, 11, 1, tzinfo=UTC)
        expected = said.calc_price(genai_request_timestamp=at).total_price
        card = catalogue.card(row["provider"], body["model"], int(at.timestamp()))
        assert card is not None, row["id"]
        assert card.cost(as_we_count(said.usage)) == nano(expected), row["id"]
        compared += 1
    assert compared >= least
