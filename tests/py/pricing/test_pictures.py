"""Pictures cost by quality and size, or by the token."""

import pytest

from llmcore._core import Usage
from llmcore.config import Settings
from llmcore.pricing import Catalogue


@pytest.mark.parametrize(
    ("provider", "model", "quality", "size", "nano_usd"),
    [
        ("openai", "dall-e-2", "", "256x256", 16_000_000),
        ("openai", "dall-e-3", "", "", 40_000_000),
        ("azure", "DALL-E-3", "HD", "1792x1024", 120_000_000),
        ("openai", "dall-e-3", "hd", "640x480", None),
        ("openrouter", "dall-e-3", "", "", None),
        ("openai", "no-such-model", "", "", None),
        ("llama", "anything", "", "", 0),
        ("openai", "d" * 300, "", "", None),
    ],
)
def test_a_picture_costs_by_quality_and_size(
    provider: str, model: str, quality: str, size: str, nano_usd: int | None, catalogue: Catalogue
) -> None:
    card = catalogue.image_card(provider, model, size, quality)
    assert (None if card is None else card.cost(Usage(images=2))) == (None if nano_usd is None else 2 * nano_usd)


def test_pictures_that_are_paid_by_the_token_cost_what_any_model_does(catalogue: Catalogue) -> None:
    card = catalogue.image_card("openai", "gpt-image-1", "1024x1024", "low")
    used = Usage(input_uncached=10, image_input=20, image_output=272, images=1)
    assert card is not None
    assert card.cost(used) == 10 * 5_000 + 20 * 10_000 + 272 * 40_000


def test_ones_own_price_of_a_picture_is_the_closest_one_given() -> None:
    prices = {
        "dall-e-3": {"per_image": "0.01"},
        "dall-e-3/1024x1792": {"per_image": "0.02"},
        "dall-e-3/hd/1024x1792": {"per_image": "0.03"},
    }
    own = Catalogue(Settings(prices=prices))
    asked = [("", ""), ("hd", "1024x1024"), ("standard", "1024x1792"), ("hd", "1024x1792")]
    cards = [own.image_card("openai", "dall-e-3", size, quality) for quality, size in asked]
    assert [card.base.per_image for card in cards if card is not None] == [10**7, 10**7, 2 * 10**7, 3 * 10**7]
