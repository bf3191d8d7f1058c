"""One's own prices win, and what they leave out costs what its kind costs."""

from llmcore._core import Rates, Usage
from support.prices import own


def test_an_override_wins_over_everything_published_and_over_free() -> None:
    prices = {"gpt-4o": {"input": 1, "output": 2}, "llama/big": {"input": 0, "output": 0.5}}
    assert own(prices).source == "config"
    assert own(prices).base.input == 10**9
    assert own(prices, "llama", "BIG").base.output == 500_000_000
    assert own(prices, "llama", "small").source == "free"
    assert own(prices, "openai", "gpt-4o-mini").source.startswith("genai-prices")


def test_the_nearest_name_decides_which_override() -> None:
    names = ["openai/gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "openai/gpt-4o", "gpt-4o"]
    for number, name in enumerate(names):
        prices = {other: {"input": names.index(other), "output": 0} for other in names[number:]}
        assert own(prices, model="gpt-4o-2024-08-06").base.input == number * 10**9, name
    assert own({"gpt-4o": {"input": 7, "output": 7}}, model="gpt-4o-20240806").source == "config"
    assert own({"gpt-4o-2024-08-06": {"input": 7, "output": 7}}, model="gpt-4o").source != "config"


def test_what_an_override_leaves_out_costs_what_its_kind_costs() -> None:
    base = own({"gpt-4o": {"input": 1, "output": 2}}).base
    prompt = (
        "input",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "audio_input",
        "audio_cache_read",
        "image_input",
    )
    assert {getattr(base, name) for name in prompt} == {10**9}
    assert {getattr(base, name) for name in ("output", "reasoning", "audio_output", "image_output")} == {2 * 10**9}
    assert (base.per_image, base.per_request) == (0, 0)
    base = own({"gpt-4o": {"input": 4, "output": 8, "cache_read": 1, "cache_write": 5, "audio_input": 40}}).base
    assert (base.cache_write_5m, base.cache_write_1h, base.audio_cache_read, base.image_input) == (
        5 * 10**9,
        5 * 10**9,
        40 * 10**9,
        4 * 10**9,
    )
    assert own({"gpt-4o": {"input": 4, "output": 8, "cache_read": 1}}).base.audio_cache_read == 10**9


def test_every_rate_of_an_override_reaches_the_card() -> None:
    names = [name for name in dir(Rates()) if not name.startswith("_")]
    of_field = {"cache_write_5m": "cache_write"}
    given = {of_field.get(name, name): number + 1 for number, name in enumerate(names)}
    base = own({"gpt-4o": given}).base
    assert [getattr(base, name) for name in names] == [(number + 1) * 10**9 for number in range(len(names))]


def test_a_tier_of_an_override_changes_only_what_it_names() -> None:
    tiers = [{"above_input_tokens": 100, "input": 10}, {"above_input_tokens": 200, "input": 20, "cache_read": 2}]
    card = own({"gpt-4o": {"input": 5, "output": 7, "per_request": 0.01, "tiers": tiers}})
    assert [above for above, _ in card.tiers] == [100, 200]
    for prompt, rate in ((100, 5), (101, 10), (200, 10), (201, 20)):
        assert card.cost(Usage(input_uncached=prompt, output_text=10)) == prompt * rate * 1000 + 10 * 7000 + 10_000_000
    assert [rates.cache_read // 10**9 for _, rates in card.tiers] == [10, 2]


def test_pictures_and_requests_are_priced_by_the_piece() -> None:
    card = own({"dall-e-3": {"per_image": "0.04", "per_request": 0.001}}, model="dall-e-3")
    assert card.cost(Usage(images=3)) == 121_000_000
