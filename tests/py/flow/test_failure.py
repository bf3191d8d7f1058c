"""A call that fails: which outcome is which exception, and what it tells."""

from collections.abc import Mapping

import pytest

from llmcore.errors import (
    BudgetExceededError,
    LLMAuthError,
    LLMBadRequestError,
    LLMCancelledError,
    LLMConfigError,
    LLMConnectionError,
    LLMError,
    LLMRateLimitError,
    LLMServerError,
    LLMTimeoutError,
    QueueFullError,
    QueueTimeoutError,
)
from llmcore.transport import TransportError
from llmcore.types import Failure, LLMCallStatusEnum, Outcome, Reply
from support.flow_bench import Bench
from support.scripted import ScriptedProvider, answer, failure


def test_a_refused_request_raises_at_once(bench: Bench) -> None:
    flow = bench.flow()
    flow.request()
    with pytest.raises(LLMBadRequestError, match="p1/m1: bad request: as the script says") as caught:
        flow.go(failure(Outcome.BAD_REQUEST))
    error = caught.value
    assert (error.outcome, error.provider, error.model, error.attempts) == (Outcome.BAD_REQUEST, "p1", "m1", 1)
    assert error.call_id == bench.record.id
    assert (bench.record.status, bench.record.error_code) == (LLMCallStatusEnum.ERROR, "bad_request")
    assert bench.record.error_message == error.message
    assert bench.rests()


@pytest.mark.parametrize(
    ("outcome", "error", "status"),
    [
        (Outcome.AUTH, LLMAuthError, LLMCallStatusEnum.ERROR),
        (Outcome.QUOTA_EXHAUSTED, LLMRateLimitError, LLMCallStatusEnum.RATE_LIMITED),
        (Outcome.CANCELLED, LLMCancelledError, LLMCallStatusEnum.CANCELLED),
    ],
)
def test_an_outcome_is_an_exception_and_a_status(
    bench: Bench, outcome: Outcome, error: type[LLMError], status: LLMCallStatusEnum
) -> None:
    flow = bench.flow()
    flow.request()
    with pytest.raises(error):
        flow.go(failure(outcome))
    assert bench.record.status is status
    assert bench.rests()


def test_a_broken_connection_is_told_after_the_last_attempt(bench: Bench) -> None:
    flow = bench.flow()
    flow.request()
    for second in (0.5, 1.5):
        flow.parks(TransportError(Outcome.CONNECTION, "p1.example:443 refused the connection."))
        bench.at(second)
        flow.request()
    with pytest.raises(LLMConnectionError, match=r"after 3 attempts: p1\.example:443 refused the connection\."):
        flow.go(TransportError(Outcome.CONNECTION, "p1.example:443 refused the connection."))
    assert bench.record.status is LLMCallStatusEnum.ERROR
    assert bench.rests()


def test_a_deadline_in_flight_is_a_timeout(bench: Bench) -> None:
    flow = bench.flow(deadline=2)
    flow.request()
    bench.at(2)
    with pytest.raises(LLMTimeoutError):
        flow.go(TransportError(Outcome.TIMEOUT, "no answer within 2 s"))
    assert bench.record.status is LLMCallStatusEnum.TIMEOUT
    assert bench.runtime.stats()["late"] == 1
    assert bench.rests()


def test_an_answer_after_the_deadline_is_not_the_calls(bench: Bench) -> None:
    flow = bench.flow(deadline=2)
    flow.request()
    bench.at(2)
    with pytest.raises(LLMTimeoutError):
        flow.go(answer("too late", 10, 10))
    assert bench.record.usage is not None
    assert bench.record.usage.total_tokens == 0
    assert bench.record.response_model is None


def test_a_429_tells_when_to_come_again(bench: Bench) -> None:
    flow = bench.flow()
    flow.request()
    with pytest.raises(LLMRateLimitError) as caught:
        flow.go(failure(Outcome.RATE_LIMITED, retry_after=90))
    assert caught.value.retry_after == 90
    assert bench.record.status is LLMCallStatusEnum.RATE_LIMITED


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -5.0, 1e300])
def test_a_nonsensical_retry_after_does_no_harm(bench: Bench, nonsense: float) -> None:
    class Nonsense(ScriptedProvider):
        def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
            return Failure(Outcome.SERVER_ERROR, "no", retry_after=nonsense)

    bench = Bench(Nonsense("p1"), retry={"max_attempts": 1})
    flow = bench.flow()
    flow.request()
    with pytest.raises(LLMServerError):
        flow.go(answer())
    assert bench.rests()


def test_a_full_queue_refuses_before_anything_is_sent() -> None:
    bench = Bench(limits={"requests_per_minute": 61}, queue={"total": 1})
    bench.flow("one").request()
    bench.flow("two").parks()
    with pytest.raises(QueueFullError, match=r"too many calls wait already; try again in 1\.0 s") as caught:
        bench.flow("three").go()
    assert caught.value.retry_after == 1.0
    assert bench.record.status is LLMCallStatusEnum.REFUSED
    assert bench.record.attempts == []


def test_a_wait_until_the_deadline_is_a_queue_timeout() -> None:
    bench = Bench(limits={"max_in_flight": 1})
    bench.flow("one").request()
    flow = bench.flow("two", deadline=3)
    flow.parks()
    bench.at(3)
    with pytest.raises(QueueTimeoutError, match=r"waited 3\.0 s"):
        flow.go()
    assert bench.record.status is LLMCallStatusEnum.REFUSED


def test_a_budget_says_which_and_how_much() -> None:
    bench = Bench(budgets=[{"limit_usd": 0.001}], prices={"p1/m1": {"input": 1, "output": 2}})
    with pytest.raises(
        BudgetExceededError, match=r"budget 'global' \(total\) has no room.*0\.0012.*\$0\.001.*raise the limit"
    ):
        bench.flow("dear", input_tokens=1000).go()
    assert bench.record.status is LLMCallStatusEnum.REFUSED


def test_a_budget_refuses_an_unknown_price_and_says_what_to_do() -> None:
    bench = Bench(budgets=[{"limit_usd": 1}])
    with pytest.raises(BudgetExceededError, match=r"price is unknown.*\[prices\]"):
        bench.flow().go()


def test_a_closed_runtime_takes_no_call(bench: Bench) -> None:
    flow = bench.flow()
    bench.runtime.close()
    with pytest.raises(LLMConfigError, match="closed"):
        flow.go()
    assert bench.sink.records == []
