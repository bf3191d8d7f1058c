"""CostCalculator: what a call would cost, at whatever moment."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from time import tzset

import pytest
from genai_prices import types as library

from llmcore._core import Usage
from llmcore.config import Settings
from llmcore.errors import UnknownModelError
from llmcore.pricing import CostCalculator
from support.prices import catalogue_of


def test_the_cost_of_a_call_is_money() -> None:
    cost = CostCalculator().cost("openai", "gpt-4o-mini", Usage(input_uncached=1000, output_text=100))
    assert cost.nano_usd == 1000 * 150 + 100 * 600
    assert cost.dollars == Decimal("0.00021")


def test_the_environment_is_read_unless_settings_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCORE_PRICES", '{"acme/one": {"input": 1, "output": 1}}')
    assert CostCalculator().cost("acme", "one", Usage(input_uncached=1)).nano_usd == 1000


@pytest.fixture
def machine_in_samoa(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is not UTC."""
    monkeypatch.setenv("TZ", "Etc/GMT+11")
    tzset()
    yield
    monkeypatch.undo()
    tzset()


@pytest.mark.usefixtures("machine_in_samoa")
def test_the_moment_may_be_said_in_every_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = [
        library.ConditionalPrice(prices=library.ModelPrice(input_mtok=Decimal(1))),
        library.ConditionalPrice(
            library.StartDateConstraint(date(2025, 1, 1)), prices=library.ModelPrice(input_mtok=Decimal(2))
        ),
    ]
    catalogue_of(monkeypatch, prices)
    calculator, usage = CostCalculator(Settings()), Usage(input_uncached=1)
    new_year = 1_735_689_600
    in_utc = datetime.fromtimestamp(new_year, UTC)
    of_tokyo = in_utc.astimezone(timezone(timedelta(hours=9)))
    naive, second = in_utc.replace(tzinfo=None), timedelta(seconds=1)
    before: list[datetime | float | None] = [
        new_year - 1,
        new_year - 0.5,
        in_utc - second,
        of_tokyo - second,
        naive - second,
        0,
        -1.5,
    ]
    after: list[datetime | float | None] = [new_year, float(new_year), in_utc, of_tokyo, naive, None]
    assert [calculator.cost("p", "m", usage, at).nano_usd for at in before] == [1000] * len(before)
    assert [calculator.cost("p", "m", usage, at).nano_usd for at in after] == [2000] * len(after)


def test_an_unknown_model_is_an_error_that_says_how_to_price_it() -> None:
    with pytest.raises(UnknownModelError) as caught:
        CostCalculator().cost("acme", "one", Usage())
    assert (
        str(caught.value)
        == "no price is known for model 'one' of 'acme': set it as prices.\"acme/one\" in llmcore.toml"
    )
    assert (caught.value.provider, caught.value.model) == ("acme", "one")
    with pytest.raises(UnknownModelError, match=r"x{256}\.\.\."):
        CostCalculator().cost("acme", "x" * 10**6, Usage())


def test_a_cost_out_of_reach_or_a_negative_count_is_an_error_not_a_number() -> None:
    dear = CostCalculator(Settings(prices={"m": {"input": 1_000_000, "output": 0}}))
    with pytest.raises(OverflowError):
        dear.cost("p", "m", Usage(input_uncached=2**52))
    with pytest.raises(ValueError, match=">= 0"):
        dear.cost("p", "m", Usage(input_uncached=-1))
