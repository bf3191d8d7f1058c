"""ErrorRecovery under any sequence of attempts: its breaker against a model, its retry budget against its law, see
error_recovery.hpp.
"""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from llmcore._core import ErrorRecovery, ErrorRecoveryConfig, Health, Outcome, Verdict, verdict_of

SECOND = 1_000_000_000

steps = st.sampled_from([0, 0, 1, SECOND, 10 * SECOND]) | st.integers(0, 30 * SECOND)


class ErrorRecoveryMachine(RuleBasedStateMachine):
    attempts: Bundle[bool] = Bundle("attempts")  # whether each that is out is the probe

    @initialize(
        breaker_errors=st.integers(1, 4),
        cooldown=st.sampled_from([0, SECOND, 10 * SECOND]),
        percent=st.sampled_from([0, 20, 100, 10_000]),
        per_second=st.sampled_from([0, 1, 3]),
        max_attempts=st.integers(1, 4),
    )
    def make(self, breaker_errors: int, cooldown: int, percent: int, per_second: int, max_attempts: int) -> None:
        config = ErrorRecoveryConfig()
        config.breaker_errors, config.cooldown, config.max_attempts = breaker_errors, cooldown, max_attempts
        config.retry_percent, config.retries_per_second = percent, per_second
        self.config, self.recovery = config, ErrorRecovery(config, now=0)
        self.now = 0
        self.open = self.probing = False
        self.open_until = 0
        self.in_a_row = self.errors = self.successes = self.calls = self.retries = self.refused = self.opened = 0
        self.told = 0  # the newest time that the retry budget has heard of: a call arrives without one
        self.arrivals: list[int] = []
        self.grants: list[int] = []

    def owed(self) -> int:
        """Hundredths of a retry that must be there: nothing lapses within ten seconds."""
        since = self.now - 10 * SECOND
        arrived = sum(told > since for told in self.arrivals)
        granted = sum(at > since for at in self.grants)
        by_time = self.config.retries_per_second * 100 * min(self.now, 10 * SECOND) // SECOND - 1
        to_begin_with = self.config.retries_per_second * 100 if since < 0 else 0
        return self.config.retry_percent * arrived + by_time + to_begin_with - 100 * granted

    def at(self, step: int) -> int:
        self.now += step
        return self.now

    @rule()
    def arrive(self) -> None:
        self.recovery.call_arrived()
        self.calls += 1
        self.arrivals.append(self.told)

    @rule(step=steps, target=attempts)
    def send(self, step: int) -> bool:
        probe = self.recovery.sent(now=self.at(step))
        assert probe == (self.open and not self.probing and self.now >= self.open_until)
        self.probing |= probe
        self.told = self.now
        return probe

    @rule(probe=consumes(attempts))
    def succeed(self, probe: bool) -> None:
        self.recovery.succeeded(probe)
        self.successes += 1
        if probe:
            self.open = self.probing = False
        if not self.open:
            self.in_a_row = 0

    @rule(probe=consumes(attempts), step=steps)
    def fail(self, probe: bool, step: int) -> None:
        self.recovery.failed(probe, now=self.at(step))
        self.errors += 1
        self.in_a_row += 1
        if probe or (not self.open and self.in_a_row >= self.config.breaker_errors):
            self.open, self.probing = True, False
            self.open_until = self.now + self.config.cooldown
            self.opened += 1

    @rule(probe=consumes(attempts))
    def abandon(self, probe: bool) -> None:
        self.recovery.abandoned(probe)
        if probe:
            self.probing = False

    @rule(
        outcome=st.sampled_from(Outcome),
        attempts=st.integers(1, 5),
        advice=st.none() | st.booleans(),
        retry_after=st.sampled_from([0, SECOND, 60 * SECOND, 60 * SECOND + 1]),
        step=steps,
    )
    def advise(self, outcome: Outcome, attempts: int, advice: bool | None, retry_after: int, step: int) -> None:
        verdict = self.recovery.advise(outcome, attempts, advice, retry_after, now=self.at(step))
        wished = verdict_of(outcome, advice)
        if wished is not Verdict.RETRY:
            assert verdict is wished
        elif attempts >= self.config.max_attempts or retry_after > self.config.retry_after_cap:
            assert verdict is Verdict.FAIL_OVER
        elif verdict is Verdict.RETRY:
            self.told = self.now
            self.grants.append(self.now)
            self.retries += 1
        else:
            assert verdict is Verdict.FAIL_OVER
            assert self.owed() < 100
            self.told = self.now
            self.refused += 1

    @invariant()
    def never_grants_more_retries_than_were_earned(self) -> None:
        earned = self.config.retry_percent * self.calls * SECOND
        earned += self.config.retries_per_second * 100 * (self.now + SECOND)
        assert self.retries * 100 * SECOND <= earned

    @invariant()
    def knows_when_it_is_ready(self) -> None:
        ready = None if self.probing else max(self.now, self.open_until) if self.open else self.now
        assert self.recovery.ready_at(now=self.now) == ready
        waits = self.open and not self.probing and self.now < self.open_until
        health = Health.DEGRADED if waits else Health.PROBING if self.open else Health.HEALTHY
        assert self.recovery.health(now=self.now) is health

    @invariant()
    def counts(self) -> None:
        stats = self.recovery.stats()
        assert stats["health"] == ("probing" if self.probing else "degraded" if self.open else "healthy")
        assert stats["consecutive_errors"] == self.in_a_row
        assert (stats["errors"], stats["successes"], stats["calls"]) == (self.errors, self.successes, self.calls)
        assert (stats["retries"], stats["retries_refused"]) == (self.retries, self.refused)
        assert stats["breaker_opened"] == self.opened
        assert stats["open_until"] == (self.open_until if self.open else None)


TestErrorRecovery = ErrorRecoveryMachine.TestCase
