"""Usage that is made up, and prices of genai-prices to hold ours against."""

import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from genai_prices import types as library
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.data_units import unit_data
from genai_prices.units import UnitRegistry

from llmcore import pricing
from llmcore._core import PriceCard, Usage
from llmcore.config import Settings
from llmcore.pricing import Catalogue

UNITS = UnitRegistry(unit_data)
BUCKETS = (
    *("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output_text", "reasoning"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_output"),
)


def as_the_library_counts(usage: Usage) -> library.Usage:
    """The same usage in the overlapping counts of genai-prices, every one of them said."""
    cache_write = usage.cache_write_5m + usage.cache_write_1h
    text = usage.input_uncached + usage.cache_read + cache_write
    counts = dict.fromkeys(UNITS._reported_usage_keys, 0)
    counts |= {
        "input_tokens": usage.input_tokens,
        "input_text_tokens": text,
        "cache_read_tokens": usage.cache_read + usage.audio_cache_read,
        "cache_text_read_tokens": usage.cache_read,
        "cache_write_tokens": cache_write,
        "cache_text_write_tokens": cache_write,
        "cache_write_5m_tokens": usage.cache_write_5m,
        "cache_text_write_5m_tokens": usage.cache_write_5m,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "cache_text_write_1h_tokens": usage.cache_write_1h,
        "input_audio_tokens": usage.audio_input + usage.audio_cache_read,
        "cache_audio_read_tokens": usage.audio_cache_read,
        "input_image_tokens": usage.image_input,
        "output_tokens": usage.output_tokens,
        "output_text_tokens": usage.output_text + usage.reasoning,
        "output_reasoning_tokens": usage.reasoning,
        "output_text_reasoning_tokens": usage.reasoning,
        "output_audio_tokens": usage.audio_output,
        "output_image_tokens": usage.image_output,
    }
    return library.Usage(**counts)


def nano(dollars: Decimal) -> int:
    return int(dollars.scaleb(9).to_integral_value(ROUND_HALF_EVEN))


def usage_of(counts: Mapping[str, int]) -> Usage:
    usage = Usage()
    for name, count in counts.items():
        setattr(usage, name, count)
    return usage


def moments(model: library.ModelInfo, rng: random.Random) -> list[datetime]:
    """Now and then, and on both sides of everything that changes the price."""
    found = [datetime(2020, 1, 1, tzinfo=UTC), datetime(2031, 7, 14, 12, tzinfo=UTC)]
    for price in model.prices if isinstance(model.prices, list) else ():
        found.append(datetime.fromtimestamp(rng.randrange(1_700_000_000, 1_900_000_000), UTC))
        if isinstance(price.constraint, library.StartDateConstraint):
            midnight = datetime.combine(price.constraint.start_date, time(), UTC)
            found += [midnight - timedelta(seconds=1), midnight]
        elif isinstance(price.constraint, library.TimeOfDateConstraint):
            for edge in (price.constraint.start_time, price.constraint.end_time):
                moment = datetime.combine(date(2026, 11, 3), edge, edge.tzinfo or UTC)
                found += [moment - timedelta(seconds=1), moment]
    return found


def catalogue_of(monkeypatch: pytest.MonkeyPatch, prices: Any) -> Catalogue:
    model = library.ModelInfo(id="m", match=library.ClauseEquals("m"), prices=prices)
    provider = library.Provider(id="p", name="P", api_pattern="p", models=[model])
    monkeypatch.setattr(pricing, "_library", lambda: (DataSnapshot([provider], from_auto_update=False), "made up"))
    return Catalogue(Settings())


def own(prices: Mapping[str, Any], provider: str = "openai", model: str = "gpt-4o") -> PriceCard:
    card = Catalogue(Settings(prices=prices)).card(provider, model)
    assert card is not None
    return card
