"""Which price a name finds, and what no name finds."""

import pytest

from llmcore._core import PriceCard, Rates
from llmcore.pricing import Catalogue


@pytest.mark.parametrize(
    ("provider", "model", "as_provider", "as_model"),
    [
        ("openai", "gpt-4o-2024-08-06", "openai", "gpt-4o"),
        ("openai-responses", "GPT-4o", "openai", "gpt-4o"),
        ("azure", "gpt-4o", "openai", "gpt-4o"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "meta-llama/llama-3.3-70b-instruct-turbo"),
    ],
)
def test_names_are_matched_as_genai_prices_matches_them(
    catalogue: Catalogue, provider: str, model: str, as_provider: str, as_model: str
) -> None:
    card = catalogue.card(provider, model, 1_760_000_000)
    assert card is not None
    assert card == catalogue.card(as_provider, as_model, 1_760_000_000)


@pytest.mark.parametrize("provider", ["offline", "llama", "ollama"])
def test_local_providers_are_free_whatever_the_model(catalogue: Catalogue, provider: str) -> None:
    assert catalogue.card(provider, "gpt-4o") == PriceCard(Rates(), (), "free")


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "acme-1"), ("acme", "gpt-4o"), ("", ""), ("openai", "gpt-4o" * 1000)]
)
def test_an_unknown_price_is_none_and_never_zero(catalogue: Catalogue, provider: str, model: str) -> None:
    assert catalogue.card(provider, model) is None


def test_names_that_keep_changing_do_not_fill_the_memory(catalogue: Catalogue) -> None:
    for number in range(10_000):
        assert catalogue.card("acme", f"m{number}") is None
    assert len(catalogue._found) <= 4096


def test_a_card_is_made_once(catalogue: Catalogue) -> None:
    assert catalogue.card("openai", "gpt-4o-mini") is catalogue.card("openai", "gpt-4o-mini")
