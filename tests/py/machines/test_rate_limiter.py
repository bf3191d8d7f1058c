"""RateLimiter under any sequence of operations, against a bucket in exact integers: see rate_limiter.hpp."""

from dataclasses import dataclass, replace
from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from llmcore._core import RateLimiter, RateLimiterConfig, RateObservation, RateReservation

SECOND = 1_000_000_000
MINUTE = 60 * SECOND  # and the units of a token: a rate of r per minute adds r of them every nanosecond
DAY = 24 * 60 * MINUTE


@dataclass(frozen=True)
class Observed:
    """A provider's word: so many are left until then; where it says its limit, some come back each nanosecond."""

    left: Fraction
    until: int
    limit: int | None
    rate: Fraction

    def after(self, nanoseconds: int) -> "Observed":
        return self.moved(self.rate * nanoseconds) if self.limit else self

    def has(self, n: int) -> bool:
        return n <= self.left or self.left == self.limit

    def moved(self, n: Fraction | int) -> "Observed":
        left = self.left + n
        if left < 0:
            left = self.left % 1  # below 0 it does not go, and what comes back goes on
        return replace(self, left=Fraction(self.limit) if self.limit and left > self.limit else left)


class Quota:
    """Requests or tokens: a bucket where a limit is configured, else what was observed last, else no limit."""

    def __init__(self, limit: int, minute_burst: bool) -> None:
        self.limit = limit
        self.capacity = limit if minute_burst else max(limit * 15 // 1000, 1)
        self.rate = limit if minute_burst else max(limit - self.capacity, 1)
        self.level = self.capacity * MINUTE
        self.observed: Observed | None = None
        self.known: set[RateReservation] = set()  # that the provider had counted when it was observed

    def advance(self, before: int, now: int) -> None:
        self.level = min(self.level + self.rate * (now - before), self.capacity * MINUTE)
        if self.observed is not None:
            self.observed = None if self.observed.until <= now else self.observed.after(now - before)

    def capped(self, n: int) -> int:
        return min(n, self.limit) if self.limit else n

    def has(self, n: int, after: int = 0) -> bool:
        """Whether n can be taken so many nanoseconds from now, if nothing else happens until then."""
        if self.limit:
            level = min(self.level + self.rate * after, self.capacity * MINUTE)
            return n == 0 or level >= min(n, self.capacity) * MINUTE
        return self.observed is None or self.observed.after(after).has(n)

    def move(self, n: int) -> None:
        """Gives n, or takes -n."""
        if self.limit:
            self.level = min(self.level + n * MINUTE, self.capacity * MINUTE)
        elif self.observed is not None:
            self.observed = self.observed.moved(n)

    def observe(self, left: int | None, limit: int | None, reset: int, now: int, held: set[RateReservation]) -> None:
        if left is None or left < 0 or left > 10**12:
            return
        if self.limit:
            if self.level // MINUTE <= left:
                return
            self.level = left * MINUTE
        else:
            span = reset if 0 < reset <= DAY else MINUTE
            if limit is None or not 0 < limit <= 10**12:
                self.observed = Observed(Fraction(left), now + span, None, Fraction(0))
            elif left < limit:
                self.observed = Observed(Fraction(left), now + span, limit, Fraction(limit - left, span))
            else:
                self.observed = Observed(Fraction(limit), now + span, limit, Fraction(limit, MINUTE))
        self.known = set(held)

    @property
    def available(self) -> int:
        if self.limit:
            return self.level // MINUTE
        return -1 if self.observed is None else int(self.observed.left)


limits = st.sampled_from([0, 0, 1, 2, 7, 60, 1000]) | st.integers(0, 10**12)
steps = st.sampled_from([0, 0, 1, SECOND, MINUTE, -SECOND]) | st.integers(-MINUTE, 3 * MINUTE)
amounts = st.integers(0, 12) | st.integers(0, 10**12)


class RateLimiterMachine(RuleBasedStateMachine):
    reservations: Bundle[RateReservation] = Bundle("reservations")

    @initialize(rpm=limits, tpm=limits, slots=st.integers(0, 3), minute_burst=st.booleans())
    def make(self, rpm: int, tpm: int, slots: int, minute_burst: bool) -> None:
        self.limiter = RateLimiter(RateLimiterConfig(rpm, tpm, slots, minute_burst), now=0)
        self.requests, self.tokens = Quota(rpm, minute_burst), Quota(tpm, minute_burst)
        self.slots = slots
        self.clock = 0  # as the caller reads it
        self.now = 0  # the newest there was
        self.paused_until = 0
        self.held: dict[RateReservation, int] = {}
        self.admitted = self.denied = self.pauses = 0

    def at(self, step: int) -> int:
        """The instant of the next operation. A clock that goes back is treated as standing still."""
        self.clock = max(self.clock + step, 0)
        before, self.now = self.now, max(self.now, self.clock)
        self.requests.advance(before, self.now)
        self.tokens.advance(before, self.now)
        return self.clock

    @property
    def paused(self) -> bool:
        return self.paused_until > self.now

    def room_for(self, tokens: int) -> bool:
        alone = self.tokens.limit > 0 and tokens > self.tokens.limit
        slot = not self.slots or len(self.held) < self.slots
        return (
            slot
            and not self.paused
            and not (alone and self.held)
            and self.requests.has(1)
            and self.tokens.has(self.tokens.capped(tokens))
        )

    @rule(n=amounts, step=steps)
    def acquire(self, n: int, step: int) -> None:
        granted = self.limiter.try_acquire(n, now=self.at(step))
        counted = self.requests.capped(n)
        assert granted == (n == 0 or (not self.paused and self.requests.has(counted)))
        if granted and n:
            self.requests.move(-counted)
        self.admitted += granted and n > 0
        self.denied += not granted

    @rule(tokens=amounts, step=steps, target=reservations)
    def reserve(self, tokens: int, step: int) -> RateReservation | MultipleResults[RateReservation]:
        held = self.limiter.reserve(tokens, now=self.at(step))
        assert (held is not None) == self.room_for(tokens)
        if held is None:
            self.denied += 1
            return multiple()
        counted = self.tokens.capped(tokens)
        assert (held.requests, held.tokens) == (1, counted)
        self.requests.move(-1)
        self.tokens.move(-counted)
        self.held[held] = counted
        self.admitted += 1
        return held

    @rule(held=consumes(reservations), actual=amounts, step=steps)
    def settle(self, held: RateReservation, actual: int, step: int) -> None:
        self.limiter.settle(held, actual, now=self.at(step))
        reserved = self.held.pop(held)
        if held not in self.tokens.known:
            self.tokens.move(reserved - self.tokens.capped(actual))

    @rule(held=consumes(reservations), step=steps)
    def refund(self, held: RateReservation, step: int) -> None:
        self.limiter.refund(held, now=self.at(step))
        reserved = self.held.pop(held)
        if held not in self.requests.known:
            self.requests.move(1)
        if held not in self.tokens.known:
            self.tokens.move(reserved)

    @rule(until=st.integers(0, 2 * MINUTE), step=steps)
    def pause(self, until: int, step: int) -> None:
        self.limiter.time_until(1, now=self.at(step))
        until += self.now - MINUTE
        if until < 0:
            return
        self.limiter.pause_until(until)
        if until > max(self.now, self.paused_until):
            self.paused_until = until
            self.pauses += 1

    remaining = st.none() | st.integers(0, 10) | st.integers(0, 2 * 10**12)
    resets = st.integers(0, 2 * MINUTE) | st.sampled_from([DAY, DAY + 1])

    @rule(
        left=st.tuples(remaining, remaining),
        limit=st.tuples(remaining, remaining),
        reset=st.tuples(resets, resets),
        step=steps,
    )
    def observe(
        self,
        left: tuple[int | None, int | None],
        limit: tuple[int | None, int | None],
        reset: tuple[int, int],
        step: int,
    ) -> None:
        self.limiter.observe(RateObservation(*left, *reset, *limit), now=self.at(step))
        for quota, which in ((self.requests, 0), (self.tokens, 1)):
            quota.observe(left[which], limit[which], reset[which], self.now, set(self.held))

    @rule(n=amounts, step=steps)
    def foretell(self, n: int, step: int) -> None:
        """time_until is exact: then it is possible, a nanosecond earlier it is not."""
        wait = self.limiter.time_until(n, now=self.at(step)) - (self.now - self.clock)
        counted = self.requests.capped(n)
        if n == 0 or (not self.paused and self.requests.has(counted)):
            assert wait + (self.now - self.clock) == 0
            return

        def possible(after: int) -> bool:
            observed = self.requests.observed
            if observed is not None and observed.until <= self.now + after:
                return self.paused_until <= self.now + after
            return self.paused_until <= self.now + after and self.requests.has(counted, after)

        assert possible(wait)
        assert not possible(wait - 1)

    @invariant()
    def counts_as_the_model(self) -> None:
        stats = self.limiter.stats()
        assert stats == {
            "admitted": self.admitted,
            "denied": self.denied,
            "in_flight": len(self.held),
            "reserved_tokens": sum(self.held.values()),
            "available_requests": self.requests.available,
            "available_tokens": self.tokens.available,
            "pauses": self.pauses,
            "paused_until": self.paused_until if self.paused else None,
        }


TestRateLimiter = RateLimiterMachine.TestCase
