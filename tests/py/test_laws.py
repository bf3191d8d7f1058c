"""Laws that only large numbers show: see tests/cpp/laws_test.cpp for the same of the core alone."""

import random
import threading
from decimal import ROUND_HALF_EVEN, Context, Decimal

import pytest

from llmcore._core import (
    Config,
    Engine,
    Finish,
    Outcome,
    PriceCard,
    Priority,
    RateLimiter,
    RateLimiterConfig,
    Rates,
    RequestQueueConfig,
    Send,
    Target,
    Usage,
)

SECOND = 1_000_000_000
MINUTE = 60 * SECOND

# Counts of a usage and the rates that they are charged by.
CHARGED = {
    "input_uncached": "input",
    "cache_read": "cache_read",
    "cache_write_5m": "cache_write_5m",
    "cache_write_1h": "cache_write_1h",
    "output_text": "output",
    "reasoning": "reasoning",
    "audio_input": "audio_input",
    "audio_cache_read": "audio_cache_read",
    "audio_output": "audio_output",
    "image_input": "image_input",
    "image_output": "image_output",
}
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def amount(rng: random.Random, bits: int) -> int:
    """Of any magnitude, and often round: ties are rare among numbers that are not."""
    drawn = rng.getrandbits(rng.randrange(bits + 1))
    return drawn // 500 * 500 if rng.random() < 0.3 else drawn


def draw_rates(rng: random.Random) -> dict[str, int]:
    return {name: amount(rng, 44) for name in [*CHARGED.values(), "per_image", "per_request"] if rng.random() < 0.75}


@pytest.mark.slow
def test_costs_equal_decimal_arithmetic() -> None:
    rng = random.Random(2026)
    compared = overflows = 0
    while compared < 60_000:
        base, above = draw_rates(rng), 0
        tiers: list[tuple[int, dict[str, int]]] = []
        while rng.random() < 0.5:
            above += 1 + amount(rng, 24)
            tiers.append((above, draw_rates(rng)))
        card = PriceCard(Rates(**base), [(threshold, Rates(**rates)) for threshold, rates in tiers])
        for _ in range(20):
            counts = {name: amount(rng, 22) for name in [*CHARGED, "images"] if rng.random() < 0.5}
            usage, requests = Usage(), rng.randrange(2)
            for name, count in counts.items():
                setattr(usage, name, count)
            rates = next((rates for threshold, rates in reversed(tiers) if usage.input_tokens > threshold), base)
            tokens = sum(counts.get(count, 0) * rates.get(rate, 0) for count, rate in CHARGED.items())
            pieces = counts.get("images", 0) * rates.get("per_image", 0) + requests * rates.get("per_request", 0)
            exact = EXACT.add(EXACT.divide(Decimal(tokens), 1_000_000), Decimal(pieces))
            expected = int(exact.to_integral_value(ROUND_HALF_EVEN))
            compared += 1
            if expected < 2**63:
                assert card.cost(usage, requests) == expected
                continue
            overflows += 1
            with pytest.raises(OverflowError):
                card.cost(usage, requests)
    assert overflows < compared // 10


def test_eight_threads_admit_exactly_what_the_law_allows() -> None:
    """All move one clock and ask at its times, and at older ones: in any order, admitted = burst + rate x time."""
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=1000), now=0)
    guard = threading.Lock()
    now = 0
    admitted = [0] * 8

    def work(number: int) -> None:
        nonlocal now
        rng = random.Random(number)
        for _ in range(3_000):
            with guard:
                now += rng.randrange(4 * SECOND // 1000)
                moment = now
            # Asked more often than the limit allows, so that the bucket is never full; now and then with an old time.
            for _ in range(2):
                admitted[number] += limiter.try_acquire(now=moment - rng.randrange(SECOND // 1000 + 1))
            admitted[number] += limiter.try_acquire(now=moment)

    while limiter.try_acquire(now=0):
        admitted[0] += 1
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while limiter.try_acquire(now=now):
        admitted[0] += 1
    assert sum(admitted) == 1000 + 1000 * now // MINUTE
    assert limiter.stats()["admitted"] == sum(admitted)


@pytest.mark.slow
def test_of_a_burst_the_queue_is_accepted_and_the_rest_hears_why() -> None:
    burst, cap = 100_000, 1_000
    config = Config.server()
    config.limits = RateLimiterConfig(0, max_in_flight=50)
    queue = RequestQueueConfig.server()
    queue.total_capacity, queue.class_capacity = cap, [cap] * 3
    config.queue = queue
    engine, targets = Engine(config), [Target("p", "m", 10, 10)]
    served, refused = [], 0
    for i in range(burst):
        call = engine.submit("t", "chat", Priority(i % 3), 3600 * SECOND, None, targets, [], i, 0)
        for action in engine.drain():
            if isinstance(action, Send):
                served.append(action.attempt)
            elif isinstance(action, Finish):
                assert (action.call, action.outcome, action.attempts) == (call, Outcome.QUEUE_FULL, 0)
                refused += 1
        if i % 37 == 0:
            engine.replied(served[-1], Usage(), None, None, i, 0)
            served += [action.attempt for action in engine.drain() if isinstance(action, Send)]
    assert burst - refused == cap + len(served)
    assert engine.stats()["queued"] == cap
    assert engine.check() == ""
