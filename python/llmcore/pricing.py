"""What calls cost: the price data of genai-prices and the overrides of the settings, compiled into native price cards.

The data come with the installed genai-prices package, are loaded at the first lookup, and are never fetched from
anywhere. A provider and a model are matched as that package matches them. Prices are converted once, from decimal
dollars to integer nano-USD per million tokens; every cost after that is integer arithmetic in the core.
"""

import re
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import TYPE_CHECKING

from llmcore._core import PriceCard, Rates
from llmcore.errors import UnknownModelError
from llmcore.hosts import HOSTS
from llmcore.types import Money, Usage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

    from llmcore.config import PriceRates, PriceSettings, Settings

__all__ = ["Catalogue", "CostCalculator", "catalogue"]

_INPUT = {"family": "tokens", "direction": "input"}
_OUTPUT = {"family": "tokens", "direction": "output"}
#: Where each rate of a card stands among the units of genai-prices. A rate is the price of the most specific unit that
#: has one and whose dimensions all occur here: what is not priced apart costs what its parent costs.
_DIMENSIONS: dict[str, dict[str, str]] = {
    "input": {**_INPUT, "modality": "text"},
    "cache_read": {**_INPUT, "modality": "text", "token_type": "cache_read"},
    "cache_write_5m": {**_INPUT, "modality": "text", "token_type": "cache_write", "cache_ttl": "5m"},
    "cache_write_1h": {**_INPUT, "modality": "text", "token_type": "cache_write", "cache_ttl": "1h"},
    "output": {**_OUTPUT, "modality": "text"},
    "reasoning": {**_OUTPUT, "modality": "text", "token_type": "reasoning"},
    "audio_input": {**_INPUT, "modality": "audio"},
    "audio_cache_read": {**_INPUT, "modality": "audio", "token_type": "cache_read"},
    "audio_output": {**_OUTPUT, "modality": "audio"},
    "image_input": {**_INPUT, "modality": "image"},
    "image_output": {**_OUTPUT, "modality": "image"},
    "per_request": {"family": "requests"},
    "per_search": {"family": "tool_calls", "tool_type": "web_search"},
}
#: What OpenAI charges for one picture, in thousandths of a dollar, by quality and size. genai-prices has no prices of
#: pictures that are not paid by the token.
_PER_IMAGE: dict[str, dict[tuple[str, str], int]] = {
    "dall-e-2": {("standard", "256x256"): 16, ("standard", "512x512"): 18, ("standard", "1024x1024"): 20},
    "dall-e-3": {
        ("standard", "1024x1024"): 40,
        ("standard", "1024x1792"): 80,
        ("standard", "1792x1024"): 80,
        ("hd", "1024x1024"): 80,
        ("hd", "1024x1792"): 120,
        ("hd", "1792x1024"): 120,
    },
}
_SELLS_PICTURES = frozenset({"openai", "openai-responses", "azure"})
_PICTURES_SOURCE = "OpenAI's price list"
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
_DAY = 86_400
_LONGEST_NAME = 256
#: Names come with requests and with answers, so what is remembered of them is bounded.
_MOST_REMEMBERED = 4096


class _Calendar:
    """The cards of a model whose price depends on the date (UTC), or on the time of day."""

    __slots__ = ("_cards", "_days", "_seconds")

    def __init__(self, model: "ModelInfo", source: str) -> None:
        days, seconds = _boundaries(model)
        self._days = sorted({min(days, default=0) - 1, *days})
        self._seconds = sorted({0, *seconds})
        self._cards = [
            [_card(model.get_prices(_utc(day * _DAY + second)), source) for second in self._seconds]
            for day in self._days
        ]

    def at(self, unix: float) -> PriceCard | None:
        day, second = divmod(int(unix), _DAY)
        cards = self._cards[max(bisect_right(self._days, day) - 1, 0)]
        return cards[bisect_right(self._seconds, second) - 1]


class Catalogue:
    """Price cards by provider and model. Thread-safe; a lookup after the first is one in a dictionary.

    :param settings: its ``prices`` win over those of genai-prices; None reads the environment and the file
    :param clock: Unix seconds, asked when a lookup names no moment
    :raises LLMConfigError: settings is None, and what it would be read from is wrong
    """

    def __init__(self, settings: "Settings | None" = None, *, clock: Callable[[], float] = time.time) -> None:
        if settings is None:
            from llmcore.config import Settings

            settings = Settings()
        self._own = {name: _own_card(price) for name, price in settings.prices.items()}
        self._clock = clock
        self._found: dict[tuple[str, str, bool], PriceCard | _Calendar | None] = {}

    def card(self, provider: str, model: str, at: int | None = None, *, free: bool = False) -> PriceCard | None:
        """What a model costs, or None if no price is known.

        :param provider: the provider's name, as in ``create_provider``
        :param model: as it was asked for, or as the answer names it
        :param at: Unix seconds; prices change. None: now
        :param free: the provider charges nothing, though its name may not say so: what has no override costs 0
        """
        try:
            found = self._found[provider, model, free]
        except KeyError:
            found = self._look_up(provider, model, free)
        if isinstance(found, _Calendar):
            return found.at(self._clock() if at is None else at)
        return found

    def image_card(
        self,
        provider: str,
        model: str,
        size: str = "",
        quality: str = "",
        at: int | None = None,
        *,
        free: bool = False,
    ) -> PriceCard | None:
        """What a picture costs, or None if no price is known.

        Overrides are looked for as "model/quality/size", "model/size" and "model". Models that are paid by the token
        cost what `card` says.

        :param size: as it was asked for; "" is the model's own
        :param quality: likewise
        :param free: as for `card`
        """
        named = provider.lower(), model.lower()
        if max(map(len, (*named, size, quality))) > _LONGEST_NAME:
            return None
        parts = [part.lower() for part in (quality, size) if part]
        for variant in ("/".join((named[1], *parts)), f"{named[1]}/{size.lower()}"):
            if (own := self._own_price(named[0], variant)) is not None:
                return own
        if (own := self._own_price(*named)) is not None:
            return own
        if not free and named[0] in _SELLS_PICTURES and (sold := _PER_IMAGE.get(_DATED.sub("", named[1]))) is not None:
            price = sold.get((quality.lower() or "standard", size.lower() or "1024x1024"))
            return None if price is None else PriceCard(Rates(per_image=price * 1_000_000), (), _PICTURES_SOURCE)
        return self.card(provider, model, at, free=free)

    def _look_up(self, provider: str, model: str, free: bool) -> "PriceCard | _Calendar | None":
        if len(provider) > _LONGEST_NAME or len(model) > _LONGEST_NAME:
            return None
        key = (provider, model, free)
        found: PriceCard | _Calendar | None = self._own_price(provider.lower(), model.lower())
        if found is None:
            free = free or ((host := HOSTS.get(provider.lower())) is not None and host.free)
            found = PriceCard(Rates(), (), "free") if free else _published(provider, model)
        if len(self._found) >= _MOST_REMEMBERED:
            self._found.clear()
        self._found[key] = found
        return found

    def _own_price(self, provider: str, model: str) -> PriceCard | None:
        """An override: for this provider before any, for exactly this name before its undated one."""
        for name in (model, _DATED.sub("", model)):
            for key in (f"{provider}/{name}", name):
                if (own := self._own.get(key)) is not None:
                    return own
        return None


@cache
def catalogue() -> Catalogue:
    """The process's own, configured by environment and file: for calls that no runtime makes."""
    return Catalogue()


class CostCalculator:
    """The cost of a call from what it used.

    :param settings: as for :class:`Catalogue`
    """

    def __init__(self, settings: "Settings | None" = None) -> None:
        self._catalogue = Catalogue(settings)

    def cost(self, provider: str, model: str, usage: Usage, at: datetime | float | None = None) -> Money:
        """What one answered request cost.

        :param provider: the provider's name, such as "openai"
        :param model: the model's name, best as the answer gives it
        :param usage: what was used
        :param at: when it was answered: a datetime (naive: UTC), Unix seconds, or None for now
        :raises UnknownModelError: no price is known
        :raises ValueError: a count is negative
        :raises OverflowError: the cost does not fit into 64 bits of nano-USD
        """
        card = self._catalogue.card(provider, model, _unix(at))
        if card is None:
            name = model if len(model) <= _LONGEST_NAME else f"{model[:_LONGEST_NAME]}..."
            sentence = f'no price is known for model {name!r} of {provider!r}: set it as prices."{provider}/{name}"'
            raise UnknownModelError(f"{sentence} in llmcore.toml", provider=provider, model=name)
        return Money(card.cost(usage))


def _unix(at: datetime | float | None) -> int | None:
    if isinstance(at, datetime):
        at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    return None if at is None else int(at // 1)


# --- overrides --------------------------------------------------------------------------------------------------------


def _own_card(price: "PriceSettings") -> PriceCard:
    base = _given(price)
    tiers = [(tier.above_input_tokens, _own_rates(base | _given(tier))) for tier in price.tiers]
    return PriceCard(_own_rates(base), tiers, "config")


def _given(rates: "PriceRates") -> dict[str, int]:
    named = rates.model_dump(exclude={"tiers", "above_input_tokens"}, exclude_none=True)
    return {name: _whole(price.scaleb(9)) for name, price in named.items()}


def _own_rates(given: Mapping[str, int]) -> Rates:
    plain, generated = given.get("input", 0), given.get("output", 0)
    cached, written = given.get("cache_read", plain), given.get("cache_write", plain)
    return Rates(
        input=plain,
        cache_read=cached,
        cache_write_5m=written,
        cache_write_1h=given.get("cache_write_1h", written),
        output=generated,
        reasoning=given.get("reasoning", generated),
        audio_input=given.get("audio_input", plain),
        audio_cache_read=given.get("audio_cache_read", given.get("audio_input", cached)),
        audio_output=given.get("audio_output", generated),
        image_input=given.get("image_input", plain),
        image_output=given.get("image_output", generated),
        per_image=given.get("per_image", 0),
        per_request=given.get("per_request", 0),
        per_search=given.get("per_search", 0),
    )


# --- genai-prices -----------------------------------------------------------------------------------------------------


@cache
def _library() -> "tuple[DataSnapshot, str]":
    import genai_prices
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False), f"genai-prices {genai_prices.__version__}"


@cache
def _units() -> dict[str, tuple[frozenset[tuple[str, str]], int]]:
    """Of each unit that a card can hold: its dimensions, and how many of it a price is for, by the price's key."""
    from genai_prices.data_units import unit_data

    held = [frozenset(dimensions.items()) for dimensions in _DIMENSIONS.values()]
    units = {unit["price_key"]: (frozenset(unit["dimensions"].items()), unit["per"]) for unit in unit_data.values()}
    return {key: unit for key, unit in units.items() if any(unit[0] <= dimensions for dimensions in held)}


def _published(provider: str, model: str) -> "PriceCard | _Calendar | None":
    data, source = _library()
    try:
        _, found = data.find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    if isinstance(found.prices, list):
        return _Calendar(found, source)
    return _card(found.prices, source)


def _boundaries(model: "ModelInfo") -> tuple[list[int], list[int]]:
    """The days since the Unix epoch, and the seconds of a day, at which the price may change."""
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    days: list[int] = []
    seconds: list[int] = []
    for price in model.prices if isinstance(model.prices, list) else ():
        constraint = price.constraint
        if isinstance(constraint, StartDateConstraint):
            days.append((constraint.start_date - _utc(0).date()).days)
        elif isinstance(constraint, TimeOfDateConstraint):
            seconds += [_second_of_day(constraint.start_time), _second_of_day(constraint.end_time)]
    return days, seconds


def _second_of_day(moment: time_of_day) -> int:
    offset = moment.utcoffset() or timedelta()
    return (moment.hour * 3600 + moment.minute * 60 + moment.second - int(offset.total_seconds())) % _DAY


def _utc(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


def _card(prices: "ModelPrice", source: str) -> PriceCard | None:
    """None for a model that is sold only by what a card does not hold: minutes of sound, pages, characters."""
    from genai_prices.types import TieredPrices

    units = _units()
    named = {key: price for key, price in vars(prices).items() if price is not None}
    held = {key: price for key, price in named.items() if key in units}
    if named and not held:
        return None
    tiered = [price for price in held.values() if isinstance(price, TieredPrices)]
    thresholds = sorted({tier.start for price in tiered for tier in price.tiers})
    return PriceCard(_rates(held, -1), [(start, _rates(held, start)) for start in thresholds], source)


def _rates(held: "Mapping[str, Decimal | TieredPrices]", threshold: int) -> Rates:
    """The rates of a prompt just above `threshold` tokens."""
    units = _units()
    rates = {}
    for name, dimensions in _DIMENSIONS.items():
        parents = [key for key in held if units[key][0] <= dimensions.items()]
        if parents:
            # One of them is below all others: the data price whatever two overlapping units have in common.
            key = max(parents, key=lambda parent: len(units[parent][0]))
            rates[name] = _nano(_price_above(held[key], threshold), units[key][1])
    return Rates(**rates)


def _price_above(price: "Decimal | TieredPrices", threshold: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    passed = [tier.price for tier in price.tiers if tier.start <= threshold]
    return passed[-1] if passed else price.base


def _nano(price: Decimal, per: int) -> int:
    """Dollars for `per` pieces as nano-USD: for a million where that is what the price is for, else for one."""
    return _whole(price.scaleb(9) if per == 1_000_000 else price.scaleb(9) / per)


def _whole(amount: Decimal) -> int:
    # Nearly all published prices are whole here already. The rest were computed (a twelfth of another price) and say
    # so with 16 digits; what is cut off is less than a nano-dollar in a million tokens.
    return int(amount.to_integral_value(ROUND_HALF_EVEN))
