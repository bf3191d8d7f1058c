"""The rules of prices, on prices that are made up: tiers, calendars, the clock."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import types as library
from genai_prices.validation import validate_priced_units
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmcore import pricing
from llmcore.config import Settings
from llmcore.pricing import Catalogue
from support.prices import BUCKETS, UNITS, as_the_library_counts, catalogue_of, nano, usage_of


def closed(keys: set[str]) -> set[str]:
    """With every parent, and with what overlapping units have in common: what the data promise of a set of prices."""
    while True:
        units = [UNITS.units[key] for key in sorted(keys)]
        joins = [UNITS.find_join(a, b) for a in units for b in units if a.is_compatible_with(b)]
        assume(None not in joins)
        more = keys | {join.usage_key for join in joins if join is not None}
        more |= {parent for key in more for parent in UNITS.ancestor_usage_keys(key)}
        if more == keys:
            return keys
        keys = more


AMOUNTS = st.integers(0, 10**12).map(lambda value: Decimal(value).scaleb(-9))
TIERS = st.builds(
    lambda base, tiers: library.TieredPrices(
        base, [library.Tier(start, price) for start, price in sorted(tiers.items())]
    ),
    AMOUNTS,
    st.dictionaries(st.integers(0, 2000), AMOUNTS, max_size=3),
)

# Citations and tools are among them: prices that we do not hold must not disturb those that we do.
TOKEN_UNITS = sorted(key for key, unit in UNITS.units.items() if unit.dimensions["family"] in ("tokens", "requests"))


@settings(max_examples=200, deadline=None)
@given(
    keys=st.sets(st.sampled_from(TOKEN_UNITS), min_size=1, max_size=4),
    data=st.data(),
    counts=st.lists(st.integers(0, 1500), min_size=len(BUCKETS), max_size=len(BUCKETS)),
)
def test_any_valid_set_of_prices_costs_what_genai_prices_says(
    keys: set[str], data: st.DataObject, counts: list[int]
) -> None:
    keys = closed(keys)
    validate_priced_units([UNITS.units[key] for key in keys], UNITS)
    prices = library.ModelPrice(**{UNITS.units[key].price_key: data.draw(AMOUNTS | TIERS) for key in sorted(keys)})
    usage = usage_of(dict(zip(BUCKETS, counts, strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        card = catalogue_of(patch, prices).card("p", "m")
    if card is None:
        assert not {UNITS.units[key].price_key for key in keys} & pricing._units().keys()
        return
    expected = prices.calc_price(as_the_library_counts(usage))["total_price"]
    # A price per thousand requests is held per request: the one place where a made-up price is not exact.
    assert abs(card.cost(usage) - nano(expected)) <= (1 if "requests" in keys else 0)


ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
CONSTRAINTS = st.one_of(
    st.none(),
    st.dates(date(2024, 1, 1), date(2024, 3, 1)).map(library.StartDateConstraint),
    st.builds(
        lambda a, b, zone: library.TimeOfDateConstraint(
            a.replace(microsecond=0, tzinfo=zone), b.replace(microsecond=0, tzinfo=zone)
        ),
        st.times(),
        st.times(),
        ZONES,
    ),
)


def edges(constraint: Any) -> list[int]:
    """The Unix seconds, within the days drawn here, at which a constraint begins or ends to hold."""
    if isinstance(constraint, library.StartDateConstraint):
        return [int(datetime.combine(constraint.start_date, time(), UTC).timestamp())]
    if isinstance(constraint, library.TimeOfDateConstraint):
        times = (constraint.start_time, constraint.end_time)
        return [int(datetime.combine(date(2024, 2, 1), edge, edge.tzinfo or UTC).timestamp()) for edge in times]
    return []


@settings(max_examples=200, deadline=None)
@given(st.lists(CONSTRAINTS, min_size=1, max_size=4), st.lists(st.integers(1_703_894_400, 1_709_424_000)))
def test_any_calendar_of_prices_is_followed_to_the_second(constraints: list[Any], moments: list[int]) -> None:
    prices = [
        library.ConditionalPrice(constraint, prices=library.ModelPrice(input_mtok=Decimal(number + 1)))
        for number, constraint in enumerate(constraints)
    ]
    model = library.ModelInfo(id="m", match=library.ClauseEquals("m"), prices=prices)
    turns = [turn for constraint in constraints for turn in edges(constraint)]
    with pytest.MonkeyPatch.context() as patch:
        catalogue = catalogue_of(patch, prices)
        for at in [*moments, *turns, *(turn - 1 for turn in turns)]:
            card = catalogue.card("p", "m", at)
            assert card is not None
            [(_, said)] = vars(model.get_prices(datetime.fromtimestamp(at, UTC))).items()
            assert card.base.input == nano(said)


def test_without_a_moment_the_clock_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = [
        library.ConditionalPrice(prices=library.ModelPrice(input_mtok=Decimal(1))),
        library.ConditionalPrice(
            library.StartDateConstraint(date(2030, 1, 1)), prices=library.ModelPrice(input_mtok=Decimal(2))
        ),
    ]
    catalogue_of(monkeypatch, prices)
    new_year = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    now = [new_year - 0.001]
    catalogue = Catalogue(Settings(), clock=lambda: now[0])
    before = catalogue.card("p", "m")
    now[0] = new_year
    after = catalogue.card("p", "m")
    assert before is not None
    assert after is not None
    assert (before.base.input, after.base.input) == (10**9, 2 * 10**9)
    assert catalogue.card("p", "m", 0) == before
