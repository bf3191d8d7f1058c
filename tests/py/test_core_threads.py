"""Eight threads at one object: nothing is lost and nothing is counted twice."""

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from llmcore._core import (
    Backoff,
    Budget,
    BudgetRule,
    Config,
    Engine,
    ErrorRecovery,
    Finish,
    LatencySketch,
    Outcome,
    PriceCard,
    Priority,
    RateLimiter,
    RateLimiterConfig,
    Rates,
    RequestQueue,
    RequestQueueConfig,
    ResponseCache,
    ResponseCacheConfig,
    Send,
    Source,
    Target,
    TokenTracker,
    Usage,
    Verdict,
    uuid7,
)

THREADS = 8
EACH = 1500
SECOND = 1_000_000_000

T = TypeVar("T")


@pytest.fixture(autouse=True)
def hurried_switches() -> Iterator[None]:
    """Threads take turns as often as the interpreter can make them."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def at_once(work: Callable[[int], object]) -> None:
    """Runs work(0) to work(7) in threads that start together; what one raises is raised here."""
    gate = threading.Barrier(THREADS)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread waits for ever"
    if raised:
        raise raised[0]


def together(parts: list[list[T]]) -> list[T]:
    return [one for part in parts for one in part]


def test_a_limiter_admits_exactly_its_capacity() -> None:
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=1000), now=0)
    admitted = [0] * THREADS

    def work(number: int) -> None:
        admitted[number] = sum(limiter.try_acquire(now=0) for _ in range(EACH))

    at_once(work)
    assert sum(admitted) == 1000
    stats = limiter.stats()
    assert (stats["admitted"], stats["denied"]) == (1000, THREADS * EACH - 1000)


def test_a_limiter_gets_back_exactly_what_it_lent() -> None:
    limiter = RateLimiter(RateLimiterConfig(0, tokens_per_minute=10_000, max_in_flight=3), now=0)
    inside, most, used = 0, 0, 0
    guard = threading.Lock()

    def work(number: int) -> None:
        nonlocal inside, most, used
        rng = random.Random(number)
        for _ in range(EACH):
            held = limiter.reserve(rng.randrange(100), now=0)
            if held is None:
                continue
            with guard:
                inside += 1
                most = max(most, inside)
            with guard:
                inside -= 1
            if rng.random() < 0.5:
                limiter.refund(held, now=0)
                continue
            tokens = min(rng.randrange(3), held.tokens)
            limiter.settle(held, tokens, now=0)
            with guard:
                used += tokens

    at_once(work)
    stats = limiter.stats()
    assert most <= 3
    assert (stats["in_flight"], stats["reserved_tokens"]) == (0, 0)
    assert stats["available_tokens"] == 10_000 - used
    assert stats["admitted"] + stats["denied"] == THREADS * EACH


def test_a_queue_hands_out_each_call_exactly_once() -> None:
    queue = RequestQueue(RequestQueueConfig.server())
    popped: list[list[int | None]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        for i in range(EACH):
            assert queue.push(number * EACH + i, Priority(i % 3), now=0) == "accepted"
            if i % 2:
                popped[number] += [queue.pop(), queue.pop()]

    at_once(work)
    assert Counter(together(popped)) == Counter(range(THREADS * EACH))
    stats = queue.stats()
    assert (stats["accepted"], stats["dispatched"], stats["total"]) == (THREADS * EACH, THREADS * EACH, 0)


def test_a_cache_never_mixes_up_its_values_and_counts_every_look() -> None:
    cache = ResponseCache(ResponseCacheConfig(max_entries=50))
    hits = [0] * THREADS

    def work(number: int) -> None:
        rng = random.Random(number)
        for _ in range(EACH):
            name = rng.randrange(80).to_bytes(32, "big")
            found = cache.get(name, now=0)
            if found is None:
                assert cache.put(name, name * 3, now=0)
            else:
                assert found == name * 3
                hits[number] += 1

    at_once(work)
    stats = cache.stats()
    assert (stats["hits"], stats["misses"]) == (sum(hits), THREADS * EACH - sum(hits))
    assert stats["insertions"] == stats["misses"]
    assert stats["entries"] <= 50
    assert stats["bytes"] == stats["entries"] * (32 + 96)


def test_a_budget_is_not_overshot_and_charges_every_call_once() -> None:
    limit, worst = 20_000, 20
    budget = Budget([BudgetRule("user=*", limit=limit), BudgetRule(limit=10**12)])
    spent = [0] * THREADS

    def work(number: int) -> None:
        rng = random.Random(number)
        scopes = [("user", "ada")]
        for _ in range(EACH):
            held = budget.reserve(scopes, worst, wall=0)
            if held is None:
                continue
            if rng.random() < 0.2:
                budget.release(held)
            else:
                cost = rng.randrange(worst + 1)
                budget.settle(held, cost, wall=0)
                spent[number] += cost
            assert all(a["spent_nano_usd"] + a["reserved_nano_usd"] <= a["limit_nano_usd"] for a in budget.accounts())

    at_once(work)
    assert budget.reserved() == 0
    assert [account["spent_nano_usd"] for account in budget.accounts()] == [sum(spent), sum(spent)]
    assert 0 < sum(spent) <= limit


def test_counts_and_sketches_miss_nothing() -> None:
    tracker, sketch, parts = TokenTracker(), LatencySketch(), [LatencySketch() for _ in range(THREADS)]

    def work(number: int) -> None:
        for i in range(EACH):
            tracker.record(f"m{number % 2}", "chat", Usage(1, output_text=2), 3, i, wall=0)
            sketch.add(i)
            parts[number].add(i)
        parts[number].merge(parts[(number + 1) % THREADS])  # each waits for another, if it held its own lock

    at_once(work)
    totals = tracker.totals()
    assert (totals["calls"], totals["total_tokens"]) == (THREADS * EACH, THREADS * EACH * 3)
    assert totals["cost_nano_usd"] == THREADS * EACH * 3
    assert [row["calls"] for row in tracker.by_model_and_type()] == [THREADS * EACH // 2] * 2
    assert (sketch.count, sketch.sum) == (THREADS * EACH, THREADS * sum(range(EACH)))
    assert all(part.count >= EACH for part in parts)


def test_a_seeded_backoff_deals_its_delays_out_once_each() -> None:
    shared, alone = Backoff(seed=3), Backoff(seed=3)
    dealt: list[list[int]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        dealt[number] = [shared.delay(4) for _ in range(EACH)]

    at_once(work)
    assert Counter(together(dealt)) == Counter(alone.delay(4) for _ in range(THREADS * EACH))
    assert shared.stats() | {"last": 0} == alone.stats() | {"last": 0}
    assert shared.stats()["delays"] == THREADS * EACH


def test_a_breaker_counts_every_call_and_lets_one_probe_through() -> None:
    recovery = ErrorRecovery(now=0)
    granted, probes = [0] * THREADS, [0] * THREADS

    def storm(number: int) -> None:
        for _ in range(EACH):
            recovery.call_arrived()
            granted[number] += recovery.advise(Outcome.TIMEOUT, 1, now=0) is Verdict.RETRY
            recovery.failed(recovery.sent(now=0), now=0)

    def probe(number: int) -> None:
        probes[number] = sum(recovery.sent(now=SECOND * 10) for _ in range(EACH))

    at_once(storm)
    stats = recovery.stats()
    assert (stats["calls"], stats["errors"]) == (THREADS * EACH, THREADS * EACH)
    assert (
        sum(granted) == stats["retries"] == THREADS * EACH // 5 + 10
    )  # a fifth of the calls, and the first second's ten
    assert stats["breaker_opened"] == 1
    at_once(probe)
    assert sum(probes) == 1


def test_ids_are_unique_across_threads_and_ascend_in_each() -> None:
    made: list[list[str]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        made[number] = [uuid7() for _ in range(EACH)]

    at_once(work)
    assert len(set(together(made))) == THREADS * EACH
    assert all(ids == sorted(ids) for ids in made)


def test_an_engine_answers_every_call_once_whoever_drains_it() -> None:
    config = Config.server()
    config.limits = RateLimiterConfig(0, max_in_flight=5)
    config.budgets = [BudgetRule("global", limit=10**15), BudgetRule("user=*", limit=10**15)]
    engine, price = Engine(config), PriceCard(Rates(output=1_000_000))
    submitted: list[list[int]] = [[] for _ in range(THREADS)]
    finished: list[list[Finish]] = [[] for _ in range(THREADS)]

    def drain(number: int, rng: random.Random) -> bool:
        actions = engine.drain()
        for action in actions:
            if isinstance(action, Finish):
                finished[number].append(action)
            elif isinstance(action, Send):
                if rng.random() < 0.1:
                    engine.failed(action.attempt, Outcome.BAD_REQUEST, None, 0, Usage(), None, 0, 0)
                else:
                    engine.replied(action.attempt, Usage(output_text=7), None, b"answer", 0, 0)
        return bool(actions)

    def work(number: int) -> None:
        rng = random.Random(number)
        targets = [Target("p", "m", 10, 10, price=price)]
        for i in range(EACH):
            key = rng.randrange(THREADS * EACH).to_bytes(32, "big") if i % 2 else None
            user = [("user", f"u{number}")]
            call = engine.submit("t", "chat", Priority(i % 3), 0, key, targets, user, 0, 0)
            submitted[number].append(call)
            if rng.random() < 0.05:
                engine.cancel(rng.choice(submitted[number]), 0, 0)
            drain(number, rng)

    at_once(work)
    while drain(0, random.Random(0)):
        pass

    calls, ends = together(submitted), together(finished)
    assert sorted(finish.call for finish in ends) == sorted(calls) == list(range(1, THREADS * EACH + 1))
    assert engine.check() == ""
    stats = engine.stats()
    assert (stats["in_flight"], stats["queued"], stats["following"]) == (0, 0, 0)
    assert stats["reserved"] == {"requests": 0, "tokens": 0, "nano_usd": 0}
    assert stats["submitted"] == stats["finished"] == THREADS * EACH
    assert stats["outcomes"] == {o.name.lower(): sum(f.outcome is o for f in ends) for o in Outcome}
    paid = sum(finish.usage.output_text for finish in ends if finish.source is Source.PROVIDER)
    assert stats["budgets"][0]["spent_nano_usd"] == paid == engine.tracker().totals()["output_tokens"]
    assert sum(account["spent_nano_usd"] for account in stats["budgets"][1:]) == paid
