"""The parts of the engine that hold calls back, each used alone, the time handed in: see docs/components/."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import (
    Backoff,
    BackoffConfig,
    ErrorRecovery,
    ErrorRecoveryConfig,
    Health,
    Jitter,
    Outcome,
    Priority,
    RateLimiter,
    RateLimiterConfig,
    RateObservation,
    RequestQueue,
    RequestQueueConfig,
    ResponseCache,
    ResponseCacheConfig,
    Verdict,
)

MS = 1_000_000
SECOND = 1_000_000_000


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


# --- RateLimiter ------------------------------------------------------------------------------------------------------


def test_a_minutes_requests_may_go_at_once_and_the_next_goes_to_the_nanosecond() -> None:
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=60), now=0)
    assert all(limiter.try_acquire(now=0) for _ in range(60))
    assert not limiter.try_acquire(now=0)
    assert limiter.time_until(now=0) == SECOND
    assert not limiter.try_acquire(now=SECOND - 1)
    assert limiter.try_acquire(now=SECOND)
    assert (limiter.stats()["admitted"], limiter.stats()["denied"]) == (61, 2)


def test_several_requests_are_taken_together_or_not_at_all() -> None:
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=10), now=0)
    assert limiter.try_acquire(8, now=0)
    assert not limiter.try_acquire(3, now=0)
    assert limiter.try_acquire(2, now=0)
    assert limiter.try_acquire(0, now=0)


def test_without_a_minutes_burst_no_sliding_minute_admits_more_than_the_limit() -> None:
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=600, minute_burst=False), now=0)
    went = [at for at in range(0, 300 * SECOND, 20 * MS) if limiter.try_acquire(now=at)]
    for i, first in enumerate(went):
        assert bisect_left(went, first + 60 * SECOND) - i <= 600
    assert len(went) >= 0.98 * 600 * 5


def test_no_time_is_lost_to_rounding() -> None:
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=7), now=0)
    assert limiter.try_acquire(7, now=0)
    steps = range(0, 60 * SECOND, 1_234_567)
    went = sum(limiter.try_acquire(now=at) for at in (*steps, 60 * SECOND))
    assert went == 7


def test_a_reservation_is_settled_to_what_was_used() -> None:
    limiter = RateLimiter(RateLimiterConfig(0, tokens_per_minute=1000, max_in_flight=2), now=0)
    first, second = limiter.reserve(600, now=0), limiter.reserve(400, now=0)
    assert first is not None
    assert second is not None
    assert (first.requests, first.tokens) == (1, 600)
    assert limiter.reserve(0, now=0) is None, "both slots are taken"
    limiter.settle(first, 100, now=0)
    assert limiter.stats()["available_tokens"] == 500
    limiter.refund(second, now=0)
    stats = limiter.stats()
    assert (stats["in_flight"], stats["reserved_tokens"], stats["available_tokens"]) == (0, 0, 900)


def test_a_reservation_ends_once_and_where_it_was_made() -> None:
    limiter, other = RateLimiter(now=0), RateLimiter(now=0)
    held = limiter.reserve(5, now=0)
    assert held is not None
    with pytest.raises(ValueError, match="another object"):
        other.refund(held, now=0)
    limiter.settle(held, 5, now=0)
    with pytest.raises(ValueError, match="ended already"):
        limiter.settle(held, 5, now=0)
    with pytest.raises(ValueError, match="ended already"):
        limiter.refund(held, now=0)
    assert limiter.stats()["in_flight"] == other.stats()["in_flight"] == 0


def test_a_reservation_keeps_its_limiter() -> None:
    held = RateLimiter(now=0).reserve(5, now=0)
    assert held is not None
    for _ in range(100):  # one of these may well stand where the first one stood
        with pytest.raises(ValueError, match="another object"):
            RateLimiter(now=0).refund(held, now=0)


def test_a_pause_is_kept_and_never_shortened() -> None:
    limiter = RateLimiter(now=0)
    assert limiter.stats()["paused_until"] is None
    limiter.pause_until(5 * SECOND)
    limiter.pause_until(SECOND)
    assert limiter.stats()["paused_until"] == 5 * SECOND
    assert not limiter.try_acquire(now=5 * SECOND - 1)
    assert limiter.try_acquire(now=5 * SECOND)
    assert limiter.stats()["paused_until"] is None


def test_what_the_provider_says_lowers_and_never_raises() -> None:
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=60, tokens_per_minute=600), now=0)
    limiter.observe(RateObservation(remaining_requests=2, remaining_tokens=10**9), now=0)
    assert (limiter.stats()["available_requests"], limiter.stats()["available_tokens"]) == (2, 600)
    limiter.observe(RateObservation(remaining_requests=50), now=0)
    assert limiter.stats()["available_requests"] == 2


def test_without_a_limit_the_providers_word_is_the_limit_until_its_reset() -> None:
    limiter = RateLimiter(RateLimiterConfig(requests_per_minute=0), now=0)
    assert limiter.stats()["available_requests"] == -1
    limiter.observe(RateObservation(remaining_requests=1, requests_reset=3 * SECOND), now=0)
    assert limiter.try_acquire(now=0)
    assert limiter.time_until(now=0) == 3 * SECOND
    assert all(limiter.try_acquire(now=3 * SECOND) for _ in range(1000))


# --- RequestQueue -----------------------------------------------------------------------------------------------------


def test_the_urgent_go_first_and_equals_in_order() -> None:
    queue = RequestQueue()
    for number, priority in enumerate([Priority.LOW, Priority.MEDIUM, Priority.HIGH] * 2):
        assert queue.push(number, priority, now=0) == "accepted"
    assert queue.peek() == 2
    assert [queue.pop() for _ in range(7)] == [2, 5, 1, 4, 0, 3, None]


def test_a_full_queue_says_which_bound_was_reached() -> None:
    queue = RequestQueue()  # 5, 3 and 10, but 15 in all
    said = [queue.push(n, Priority.HIGH, now=0) for n in range(6)]
    assert said == ["accepted"] * 5 + ["class_full"]
    assert [queue.push(10 + n, Priority.LOW, now=0) for n in range(11)] == ["accepted"] * 10 + ["class_full"]
    assert queue.push(30, Priority.MEDIUM, now=0) == "total_full"
    assert queue.push(0, now=0) == "duplicate"
    stats = queue.stats()
    assert (stats["refused_class"], stats["refused_total"], stats["peak"], len(queue)) == (2, 1, 15, 15)
    assert (stats["high"], stats["medium"], stats["low"], stats["restored"]) == (5, 0, 10, 0)


def test_who_waits_too_long_leaves() -> None:
    queue = RequestQueue()  # at most 3, 10 and 5 seconds
    queue.push(1, Priority.HIGH, now=0)
    queue.push(2, Priority.MEDIUM, now=0)
    queue.push(3, Priority.MEDIUM, deadline=2 * SECOND, now=0)
    assert queue.next_expiry() == 2 * SECOND
    assert queue.expire(2 * SECOND - 1) == []
    assert queue.expire(3 * SECOND) == [3, 1]
    assert 2 in queue
    assert 3 not in queue
    assert queue.remove(2)
    assert not queue.remove(2)
    assert queue.next_expiry() is None


def test_low_does_not_starve_where_it_has_a_share() -> None:
    config = RequestQueueConfig.server()
    config.low_share = 4
    queue = RequestQueue(config)
    for number in range(8):
        queue.push(number, Priority.HIGH, now=0)
        queue.push(100 + number, Priority.LOW, now=0)
    assert [queue.pop() for _ in range(8)] == [0, 1, 2, 100, 3, 4, 5, 101]


@given(st.lists(st.tuples(st.sampled_from(["push", "pop", "remove", "expire"]), st.integers(0, 20)), max_size=60))
def test_whoever_came_in_went_out_or_still_waits(steps: list[tuple[str, int]]) -> None:
    queue = RequestQueue()
    for at, (step, number) in enumerate(steps):
        if step == "push":
            queue.push(number, Priority(number % 3), now=at * SECOND)
        elif step == "pop":
            queue.pop()
        elif step == "remove":
            queue.remove(number)
        else:
            queue.expire(at * SECOND)
        s = queue.stats()
        assert s["accepted"] + s["restored"] == s["dispatched"] + s["expired"] + s["removed"] + s["total"]
        assert s["total"] == len(queue) == s["high"] + s["medium"] + s["low"] <= 15


# --- ResponseCache ----------------------------------------------------------------------------------------------------


def test_a_hit_is_the_very_object_that_was_put() -> None:
    cache = ResponseCache()
    value = b"an answer"
    assert cache.put(key(1), value, now=0)
    assert cache.get(key(1), now=0) is value
    assert cache.get(key(2), now=0) is None
    stats = cache.stats()
    assert (stats["hits"], stats["misses"], stats["hit_rate"], stats["bytes"]) == (1, 1, 0.5, 32 + 9)


def test_an_entry_lives_as_long_as_it_may() -> None:
    cache = ResponseCache(ResponseCacheConfig(ttl=10 * SECOND))
    cache.put(key(1), b"one", now=0)
    cache.put(key(2), b"two", now=5 * SECOND)
    assert cache.get(key(1), now=10 * SECOND - 1) == b"one"
    assert cache.get(key(1), now=10 * SECOND) is None
    assert cache.expire(now=15 * SECOND) == 1
    assert (cache.stats()["entries"], cache.stats()["expirations"]) == (0, 2)


def test_values_that_come_once_do_not_push_out_what_is_used() -> None:
    cache = ResponseCache(ResponseCacheConfig(max_entries=100))
    for number in range(50):
        cache.put(key(number), b"used", now=0)
        cache.get(key(number), now=0)
    for number in range(1000, 3000):
        cache.put(key(number), b"once", now=0)
    assert sum(cache.get(key(number), now=0) is not None for number in range(50)) == 50
    stats = cache.stats()
    assert stats["entries"] == 100
    assert 0 < stats["ghosts"] <= 90
    assert stats["evictions"] == stats["insertions"] - 100


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = ResponseCache(ResponseCacheConfig(max_bytes=100))
    assert cache.put(key(1), bytes(68), now=0)
    assert not cache.put(key(1), bytes(69), now=0)
    assert cache.get(key(1), now=0) is None
    assert cache.stats()["rejected"] == 1


def test_what_is_forgotten_is_gone() -> None:
    cache = ResponseCache()
    cache.put(key(1), b"one", now=0)
    cache.put(key(2), b"two", now=0)
    assert cache.erase(key(1))
    assert not cache.erase(key(1))
    cache.clear()
    assert cache.get(key(2), now=0) is None
    assert cache.stats()["entries"] == cache.stats()["bytes"] == 0


def test_no_code_of_a_value_runs_inside_a_cache() -> None:
    class Loud(bytes):
        def __del__(self) -> None:
            cache.stats()  # would wait for ever if the cache let go of it while it is locked

    cache = ResponseCache()
    cache.put(key(1), Loud(b"loud"), now=0)
    assert type(cache.get(key(1), now=0)) is bytes
    assert cache.get(key(1), now=0) == b"loud"


# --- Backoff ----------------------------------------------------------------------------------------------------------


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(BackoffConfig(base=500 * MS, cap=10 * SECOND, jitter=Jitter.NONE))
    assert [backoff.delay(n) // MS for n in range(7)] == [500, 1000, 2000, 4000, 8000, 10_000, 10_000]
    assert backoff.delay(2**63 - 1) == 10 * SECOND


@pytest.mark.parametrize(("jitter", "low"), [(Jitter.PROPORTIONAL, 750 * MS), (Jitter.FULL, 0)])
def test_jitter_spreads_delays_and_the_seed_repeats_them(jitter: Jitter, low: int) -> None:
    config = BackoffConfig(base=SECOND, jitter=jitter)
    backoff, twin = Backoff(config, seed=7), Backoff(config, seed=7)
    delays = [backoff.delay(0) for _ in range(1000)]
    assert delays == [twin.delay(0) for _ in range(1000)]
    high = 2 * SECOND - 750 * MS if low else SECOND
    assert low <= min(delays) < low + (high - low) // 50
    assert high - (high - low) // 50 < max(delays) <= high


# --- ErrorRecovery ----------------------------------------------------------------------------------------------------


def test_three_errors_in_a_row_open_the_breaker_and_one_probe_closes_it() -> None:
    recovery = ErrorRecovery(now=0)
    assert (recovery.stats()["health"], recovery.stats()["open_until"]) == ("healthy", None)
    for at in range(3):
        assert recovery.ready_at(at) == at
        assert not recovery.sent(at)
        recovery.failed(now=at)
    until = 2 + 10 * SECOND
    assert (recovery.stats()["health"], recovery.stats()["open_until"]) == ("degraded", until)
    assert recovery.health(until - 1) is Health.DEGRADED
    assert recovery.ready_at(3) == until
    assert recovery.sent(until), "the probe"
    assert recovery.ready_at(until) is None
    assert recovery.stats()["health"] == "probing"
    recovery.succeeded(probe=True)
    stats = recovery.stats()
    assert (stats["health"], stats["open_until"], stats["consecutive_errors"]) == ("healthy", None, 0)
    assert stats["breaker_opened"] == 1


def test_retries_are_earned_by_calls_and_time() -> None:
    config = ErrorRecoveryConfig()
    config.retries_per_second, config.retry_percent = 2, 50
    recovery = ErrorRecovery(config, now=0)

    def granted(now: int) -> int:
        verdicts = [recovery.advise(Outcome.TIMEOUT, 1, now=now) for _ in range(20)]
        assert set(verdicts) <= {Verdict.RETRY, Verdict.FAIL_OVER}
        return verdicts.count(Verdict.RETRY)

    assert granted(0) == 2, "a second's worth to begin with"
    for _ in range(10):
        recovery.call_arrived()
    assert granted(0) == 5
    assert granted(3 * SECOND) == 6
    assert (recovery.stats()["retries"], recovery.stats()["retries_refused"]) == (13, 47)


def test_advice_fails_over_when_attempts_are_spent_or_the_wait_is_too_long() -> None:
    recovery = ErrorRecovery(now=0)
    assert recovery.advise(Outcome.RATE_LIMITED, 1, retry_after=60 * SECOND, now=0) is Verdict.RETRY
    assert recovery.advise(Outcome.RATE_LIMITED, 1, retry_after=60 * SECOND + 1, now=0) is Verdict.FAIL_OVER
    assert recovery.advise(Outcome.TIMEOUT, 3, now=0) is Verdict.FAIL_OVER
    assert recovery.advise(Outcome.BAD_REQUEST, 1, now=0) is Verdict.STOP
    assert recovery.advise(Outcome.TIMEOUT, 1, should_retry=False, now=0) is Verdict.FAIL_OVER
