"""Every published price, equal to genai-prices on all that it prices and we count."""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices import types as library
from genai_prices.data import providers as published

from llmcore import pricing
from llmcore._core import Rates, Usage
from llmcore.hosts import HOSTS
from llmcore.pricing import Catalogue
from support.prices import BUCKETS, as_the_library_counts, moments, nano, usage_of

#: What the data price and we do not count, and why that is right or what it means. A price key that is neither here nor
#: held by a card fails the test below, so that a new release of the data is looked at.
NOT_COUNTED = {
    "audio_hours": "speech and transcription sold by the minute are no calls of ours; such models have no card",
    "input_audio_hours": "as audio_hours",
    "input_mchars": "speech synthesis sold by the character is no call of ours; such models have no card",
    "input_text_messages_kcount": "voice sessions sold by the message are no calls of ours; such models have no card",
    "input_document_kpages": "text recognition sold by the page is no call of ours; such models have no card",
    "input_annotated_document_kpages": "as input_document_kpages",
    "input_video_mtok": "no provider reports tokens of video apart in an answer to a chat; they are input tokens",
    "cache_image_read_mtok": "providers of chats do not report cached tokens of pictures apart; they are cached tokens",
    "output_video_mtok": "models that make films are no calls of ours",
    "output_citation_mtok": "one provider reports them beside the output, one model prices them",
    "storage_searches_kcount": "a call's Usage does not count searches of files; the fee is not in our figure",
}


def random_usage(rng: random.Random, prompt: int) -> Usage:
    """A usage whose whole prompt has so many tokens."""
    counts = dict.fromkeys(BUCKETS, 0)
    prompt_buckets = [
        name for name in BUCKETS if name not in ("output_text", "reasoning", "audio_output", "image_output")
    ]
    left = prompt
    for name in rng.sample(prompt_buckets, rng.randrange(len(prompt_buckets))):
        counts[name] = rng.randint(0, left)
        left -= counts[name]
    counts["input_uncached"] += left
    for name in ("output_text", "reasoning", "audio_output", "image_output"):
        counts[name] = rng.choice((0, rng.randrange(10), rng.randrange(200_000)))
    return usage_of(counts)


def price_sets(model: library.ModelInfo) -> list[library.ModelPrice]:
    return [model.prices] if isinstance(model.prices, library.ModelPrice) else [price.prices for price in model.prices]


def amounts(prices: library.ModelPrice) -> Iterator[Decimal]:
    for price in vars(prices).values():
        if isinstance(price, library.TieredPrices):
            yield from (price.base, *(tier.price for tier in price.tiers))
        elif price is not None:
            yield price


def thresholds(model: library.ModelInfo) -> list[int]:
    prices = [price for prices in price_sets(model) for price in vars(prices).values()]
    return sorted({tier.start for price in prices if isinstance(price, library.TieredPrices) for tier in price.tiers})


def reference(provider: library.Provider, model: library.ModelInfo) -> str:
    """A name under which the library itself finds this model, not one listed before it."""
    for name in (model.id, *literals(model.match)):
        if provider.find_model(name, all_providers=published) is model:
            return name
    pytest.fail(f"no name leads to {provider.id}/{model.id}")


def literals(clause: Any) -> Iterator[str]:
    match clause:
        case library.ClauseOr():
            for part in clause.or_:
                yield from literals(part)
        case library.ClauseAnd():
            parts = [next(literals(part), "") for part in clause.and_]
            yield from (*parts, "".join(parts), "-".join(parts))
        case library.ClauseRegex():
            return
        case _:
            yield from vars(clause).values()


@pytest.mark.parametrize("provider", published, ids=lambda provider: provider.id)
def test_every_published_model_costs_what_genai_prices_says(provider: library.Provider, catalogue: Catalogue) -> None:
    rng = random.Random(provider.id)
    for model in provider.models:
        name = reference(provider, model)
        exact = all(price.scaleb(9) % 1 == 0 for prices in price_sets(model) for price in amounts(prices))
        prompts = [0, rng.randrange(1, 3000), rng.randrange(1_000_000)]
        prompts += [start + more for start in thresholds(model) for more in (-1, 0, 1)]
        for at in moments(model, rng):
            card = catalogue.card(provider.id, name, int(at.timestamp()))
            keys = {key for key, price in vars(model.get_prices(at)).items() if price is not None}
            if card is None:
                assert keys
                assert keys <= NOT_COUNTED.keys(), f"{provider.id}/{name}"
                continue
            assert card.source == f"genai-prices {genai_prices.__version__}"
            for prompt in prompts:
                usage = random_usage(rng, prompt)
                counted = as_the_library_counts(usage)
                expected = nano(model.calc_price(counted, provider, genai_request_timestamp=at).total_price)
                # A price that the data give as 16 digits of a fraction is first rounded to nano-dollars per million.
                off = abs(card.cost(usage) - expected)
                assert off <= (0 if exact else 1), f"{provider.id}/{name} at {at}: {usage}"


def test_every_price_key_of_the_data_is_held_by_a_card_or_left_out_for_a_reason() -> None:
    used = {
        key
        for p in published
        for m in p.models
        for prices in price_sets(m)
        for key, v in vars(prices).items()
        if v is not None
    }
    held = pricing._units().keys()
    assert not used - held - NOT_COUNTED.keys()
    assert not held & NOT_COUNTED.keys()


def test_a_model_that_is_sold_only_by_what_we_do_not_count_has_no_card(catalogue: Catalogue) -> None:
    assert catalogue.card("openai", "whisper-1") is None
    assert catalogue.card("mistral", "mistral-ocr-latest") is None


def test_a_model_that_the_data_list_without_a_price_is_free(catalogue: Catalogue) -> None:
    card = catalogue.card("google", "gemma-3n")
    assert card is not None
    assert card.base == Rates()


def test_almost_all_published_prices_are_whole_nano_dollars() -> None:
    inexact = [
        price
        for provider in published
        for model in provider.models
        for prices in price_sets(model)
        for price in amounts(prices)
        if price.scaleb(9) % 1 != 0
    ]
    assert len(inexact) < 100


@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.model is not None])
def test_every_host_has_a_price_for_the_model_it_takes_by_itself(name: str, catalogue: Catalogue) -> None:
    card = catalogue.card(name, HOSTS[name].model or "")
    assert card is not None
    assert (card.cost(Usage(input_uncached=1_000_000)) == 0) is HOSTS[name].free
