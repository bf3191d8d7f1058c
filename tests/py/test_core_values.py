"""The values that everything else speaks in: usage, price cards, keys, ids, times."""

import copy
import hashlib
import itertools
import pickle
import time
import uuid
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import (
    Health,
    Outcome,
    PriceCard,
    Rates,
    Usage,
    Verdict,
    are_plain,
    counts_against_health,
    fingerprint,
    now,
    outcome_of_status,
    plain_weight,
    sha256,
    text_weight,
    to_micro_usd,
    uuid7,
    uuid7_milliseconds,
    verdict_of,
)

BUCKETS = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output_text",
    "reasoning",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "image_output",
    "images",
)
MOST = 2**53

counts = st.integers(0, MOST)


def usage_with(**buckets: Any) -> Usage:
    return Usage(**buckets)


usages = st.builds(Usage, *[counts for _ in BUCKETS], estimated=st.booleans())


# --- Usage ------------------------------------------------------------------------------------------------------------


def test_the_views_of_a_usage_add_up_its_buckets() -> None:
    powers = {name: 1 << place for place, name in enumerate(BUCKETS)}
    usage = usage_with(**powers)

    def total(*names: str) -> int:
        return sum(powers[name] for name in names)

    prompt = total(*(name for name in BUCKETS if name.startswith(("input", "cache")) or name.endswith("_input")))
    prompt += powers["audio_cache_read"]
    answer = total("output_text", "reasoning", "audio_output", "image_output")
    assert usage.input_tokens == prompt
    assert usage.output_tokens == answer
    assert usage.total_tokens == prompt + answer == sum(powers.values()) - powers["images"]
    assert usage.cached_tokens == total("cache_read", "audio_cache_read")
    assert usage.cache_write_tokens == total("cache_write_5m", "cache_write_1h")
    assert usage.reasoning_tokens == powers["reasoning"]
    assert not usage.estimated


@given(usages, usages)
def test_usages_are_added_bucket_by_bucket(a: Usage, b: Usage) -> None:
    sums = {name: getattr(a, name) + getattr(b, name) for name in BUCKETS}
    if max(sums.values()) > MOST:
        with pytest.raises(ValueError, match=r"at most 2\^53"):
            _ = a + b
    else:
        assert a + b == usage_with(**sums, estimated=a.estimated or b.estimated)


@given(usages)
def test_a_usage_survives_copying_and_pickling(usage: Usage) -> None:
    twins = [copy.copy(usage), copy.deepcopy(usage)]
    twins += [pickle.loads(pickle.dumps(usage, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in twins:
        assert twin == usage
        assert [getattr(twin, name) for name in BUCKETS] == [getattr(usage, name) for name in BUCKETS]
        assert twin.estimated is usage.estimated
        twin.images = (usage.images + 1) % MOST
        assert twin != usage, "a twin is another object"


def test_a_usage_pickles_as_its_buckets_in_order() -> None:
    usage = Usage(*range(1, 14))
    usage.estimated = True
    assert usage.__getstate__() == (*range(1, 14), True)


@pytest.mark.parametrize("state", [(), (1, 2), (0,) * 15, (-1, *[0] * 12, False), (MOST + 1, *[0] * 12, True)])
def test_a_state_of_no_usage_is_refused(state: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"state|counts"):
        Usage.__new__(Usage).__setstate__(state)


def test_a_state_of_other_things_than_counts_is_refused() -> None:
    with pytest.raises(TypeError):
        Usage.__new__(Usage).__setstate__(cast(tuple[int, ...], ("a",) * 14))


@pytest.mark.parametrize("name", BUCKETS)
@pytest.mark.parametrize("wrong", [-1, MOST + 1])
def test_no_usage_has_impossible_counts(name: str, wrong: int) -> None:
    with pytest.raises(ValueError, match=">= 0"):
        usage_with(**{name: wrong})
    usage = usage_with(**{name: 5})
    with pytest.raises(ValueError, match=">= 0"):
        setattr(usage, name, wrong)
    assert usage == usage_with(**{name: 5})


def test_a_usage_can_be_compared_with_anything_but_not_hashed() -> None:
    assert Usage() != cast(object, 0)
    assert Usage(1) != Usage(0, 1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Usage())


# --- price cards ------------------------------------------------------------------------------------------------------

rates = st.builds(Rates, *[st.integers(0, 10**14) for _ in range(13)])
small = st.builds(Usage, *[st.integers(0, 10**6) for _ in BUCKETS])
RATE_OF = dict(zip(BUCKETS[:11], ("input", *BUCKETS[1:4], "output", *BUCKETS[5:11]), strict=True))


def exact(card: Rates, usage: Usage, requests: int) -> int:
    tokens = sum(getattr(usage, bucket) * getattr(card, rate) for bucket, rate in RATE_OF.items())
    whole = Decimal(tokens) / 1_000_000 + usage.images * card.per_image + requests * card.per_request
    return int(whole.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@given(rates, rates, small, st.integers(0, 3), st.integers(0, 10**6))
def test_a_cost_is_the_exact_sum_rounded_once(low: Rates, high: Rates, usage: Usage, n: int, above: int) -> None:
    card = PriceCard(low, [(above, high)])
    expected = exact(high if usage.input_tokens > above else low, usage, n)
    if expected < 2**63:
        assert card.cost(usage, n) == expected
    else:
        with pytest.raises(OverflowError, match="64 bits"):
            card.cost(usage, n)


def test_half_a_nano_dollar_goes_to_the_even_one() -> None:
    card = PriceCard(Rates(input=500_000))
    assert [card.cost(Usage(n)) for n in (1, 2, 3, 4, 5)] == [0, 1, 2, 2, 2]


@given(rates, st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_text_request_costs_more_than_its_worst_case(card: Rates, prompt: int, answer: int) -> None:
    priced = PriceCard(card)
    worst = priced.worst_case(prompt, answer)
    for bucket, hidden in itertools.product(BUCKETS[:4], (0, answer)):
        usage = usage_with(**{bucket: prompt}, output_text=answer - hidden, reasoning=hidden)
        assert priced.cost(usage) <= worst


def test_a_card_shows_what_it_was_made_of_and_cannot_be_changed() -> None:
    card = PriceCard(Rates(input=1), [(10, Rates(input=2))], "a list")
    assert (card.base.input, card.source) == (1, "a list")
    assert [(above, tier.input) for above, tier in card.tiers] == [(10, 2)]
    assert card == PriceCard(Rates(input=1), [(10, Rates(input=2))], "a list") != PriceCard(Rates(input=1))
    with pytest.raises(AttributeError):
        card.base.input = 5  # type: ignore[misc]
    card.tiers.clear()
    assert len(card.tiers) == 1


@pytest.mark.parametrize(
    ("base", "tiers"), [(Rates(-1), []), (Rates(), [(5, Rates()), (5, Rates())]), (Rates(), [(-1, Rates())])]
)
def test_a_card_that_makes_no_sense_is_refused(base: Rates, tiers: list[tuple[int, Rates]]) -> None:
    with pytest.raises(ValueError, match="price card"):
        PriceCard(base, tiers)


@given(st.integers(-(2**63), 2**63 - 1))
def test_micro_dollars_are_rounded_to_the_even_one(nano: int) -> None:
    assert to_micro_usd(nano) == int((Decimal(nano) / 1000).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


# --- keys -------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_sha256_is_sha256(data: bytes) -> None:
    assert sha256(data) == hashlib.sha256(data).digest()


def test_sha256_of_much_is_sha256() -> None:
    data = bytes(range(256)) * 5000 + b"rest"
    assert sha256(data) == hashlib.sha256(data).digest()


@given(st.text(), st.text(), st.text(), st.binary())
def test_a_fingerprint_covers_every_field_with_its_length(tenant: str, provider: str, model: str, body: bytes) -> None:
    fields = [(1).to_bytes(4, "little"), tenant.encode(), provider.encode(), model.encode(), body]
    layout = b"".join(len(field).to_bytes(8, "little") + field for field in fields)
    assert fingerprint(tenant, provider, model, body) == hashlib.sha256(layout).digest()


def test_moving_a_letter_from_one_field_to_the_next_makes_another_fingerprint() -> None:
    assert fingerprint("ab", "c", "d", b"e") != fingerprint("a", "bc", "d", b"e") != fingerprint("a", "b", "cd", b"e")


# --- ids and times ----------------------------------------------------------------------------------------------------


def test_ids_ascend_and_are_uuids_of_version_7() -> None:
    ids = [uuid7() for _ in range(5000)]
    assert ids == sorted(set(ids))
    for text in ids[::500]:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)


def test_an_id_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    last = uuid7_milliseconds(uuid7())
    assert last >= before
    # Later than any id before: those may have run ahead of the clock.
    assert uuid7_milliseconds(uuid7((last + 5) * 1_000_000 + 999_999)) == last + 5


def test_a_clock_that_went_back_does_not_bring_ids_back() -> None:
    last = uuid7()
    for wall in (1, 0, -1, -(2**63)):
        assert uuid7(wall) > last


@pytest.mark.parametrize("text", ["", "x", str(uuid.UUID(int=0)), str(uuid.uuid4()), "\N{SNOWMAN}" * 12, uuid7()[:-1]])
def test_what_is_no_such_id_has_no_time(text: str) -> None:
    assert uuid7_milliseconds(text) == -1


def test_the_clocks_are_pythons_own() -> None:
    low = time.monotonic_ns(), time.time_ns()
    mono, wall = now()
    assert low[0] <= mono <= time.monotonic_ns()
    assert low[1] <= wall <= time.time_ns()


# --- outcomes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.OK),
        (302, Outcome.SERVER_ERROR),
        (400, Outcome.BAD_REQUEST),
        (401, Outcome.AUTH),
        (402, Outcome.QUOTA_EXHAUSTED),
        (404, Outcome.NOT_FOUND),
        (408, Outcome.TIMEOUT),
        (409, Outcome.SERVER_ERROR),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.SERVER_ERROR),
        (503, Outcome.OVERLOADED),
        (529, Outcome.OVERLOADED),
        (-(2**31), Outcome.SERVER_ERROR),
    ],
)
def test_an_http_status_has_an_outcome(status: int, outcome: Outcome) -> None:
    assert outcome_of_status(status) is outcome


def test_one_function_says_what_to_do_next() -> None:
    said = {verdict: {outcome for outcome in Outcome if verdict_of(outcome) is verdict} for verdict in Verdict}
    retried = {
        Outcome.TIMEOUT,
        Outcome.CONNECTION,
        Outcome.RATE_LIMITED,
        Outcome.OVERLOADED,
        Outcome.SERVER_ERROR,
    }
    assert said[Verdict.RETRY] == retried
    assert said[Verdict.FAIL_OVER] == {
        Outcome.QUOTA_EXHAUSTED,
        Outcome.AUTH,
        Outcome.OVER_BUDGET,
        Outcome.EXHAUSTED,
    }
    assert verdict_of(Outcome.BAD_REQUEST, should_retry=True) is Verdict.RETRY
    assert verdict_of(Outcome.TIMEOUT, should_retry=False) is Verdict.FAIL_OVER
    assert {o for o in Outcome if counts_against_health(o)} == retried - {Outcome.RATE_LIMITED}


def test_members_are_small_integers_with_the_names_of_the_ledger() -> None:
    assert [outcome.name.lower() for outcome in Outcome][:3] == ["ok", "timeout", "connection"]
    assert [int(outcome) for outcome in Outcome] == list(range(17))
    assert Health(0) is Health.HEALTHY


PLAIN_MESSAGE = {"role": "user", "content": "Grüße 7"}


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "messages",
    [
        [],
        (PLAIN_MESSAGE,),
        "user",
        None,
        ["user"],
        [{}],
        [{"role": "user"}],
        [{"role": "user", "text": "Hi"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": ["Hi"]}],
        [{"role": 1, "content": "Hi"}],
        [{"role": "user", "content": b"Hi"}],
        [{"role": "user", "content": _Text("Hi")}],
        [{"role": "user", "content": "half \ud800"}],
        [{"role": "\ud800", "content": "Hi"}],
        [PLAIN_MESSAGE, {**PLAIN_MESSAGE, "name": "ada"}],
    ],
)
def test_messages_with_anything_special_are_not_plain(messages: object) -> None:
    assert are_plain(messages) is False
    assert plain_weight(messages) == -1


def test_plain_messages_weigh_what_their_text_does() -> None:
    messages = [PLAIN_MESSAGE, {"content": "", "role": ""}, {"role": "assistant", "content": "日本 and more.\n" * 50}]
    assert are_plain(messages) is True
    assert plain_weight(messages) == sum(text_weight(message["content"]) for message in messages)
