"""Telling a run that cannot succeed from one that meets failures."""

from typing import Any

import pytest

from llmcore._core import AttemptRecord, Config, Engine, Outcome, Priority, Send, Target, Usage
from llmcore.cli.batch.judge import Judge, ListeningTransport
from llmcore.errors import LLMAuthError, LLMBadRequestError, LLMError
from llmcore.transport import TransportError
from llmcore.types import HttpRequest


def refused(text: str = "wrong key", outcome: Outcome = Outcome.AUTH) -> LLMError:
    return (LLMAuthError if outcome is Outcome.AUTH else LLMBadRequestError)(text, outcome=outcome)


class Attempts:
    """Makes the actions that a judge sees, with a real engine."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        config = Config.server()
        config.recovery.max_attempts = 1
        config.recovery.breaker_errors = 1_000_000
        self._engine = Engine(config)
        self._mono = 0

    def _see(self) -> list[Any]:
        actions = list(self._engine.drain())
        for action in actions:
            self._judge.see(action)
        return actions

    def begin(self) -> int:
        target = Target("openai", "m", 1, 1, 0, None, False)
        self._engine.submit("default", "", Priority.MEDIUM, 0, None, [target], [], self._mono, 1)
        (send,) = (action for action in self._see() if isinstance(action, Send))
        return send.attempt

    def wait(self) -> None:
        """Until every pause is over; nothing must be under way."""
        self._mono += 3_600_000_000_000

    def end(self, attempt: int, outcome: Outcome) -> None:
        if outcome is Outcome.OK:
            self._engine.replied(attempt, Usage(), None, None, self._mono, 1)
        else:
            self._engine.failed(attempt, outcome, None, 0, Usage(), None, self._mono, 1)
        assert any(isinstance(action, AttemptRecord) for action in self._see())


@pytest.fixture
def judge() -> Judge:
    return Judge(row=5)


@pytest.fixture
def attempts(judge: Judge) -> Attempts:
    return Attempts(judge)


@pytest.mark.parametrize("outcome", [Outcome.AUTH, Outcome.CONNECTION, Outcome.QUOTA_EXHAUSTED])
def test_three_hopeless_attempts_and_nothing_under_way_end_a_run(
    judge: Judge, attempts: Attempts, outcome: Outcome
) -> None:
    under_way = [attempts.begin() for _ in range(4)]
    for attempt in under_way[:2]:
        attempts.end(attempt, outcome)
    assert not judge.doubtful

    attempts.end(under_way[2], outcome)
    assert judge.doubtful
    assert not judge.hopeless

    attempts.end(under_way[3], outcome)
    assert judge.hopeless
    assert judge.failed_attempts == 4


def test_a_missing_model_may_be_one_of_several_so_it_takes_a_row_of_them(judge: Judge, attempts: Attempts) -> None:
    for _ in range(4):
        attempts.end(attempts.begin(), Outcome.NOT_FOUND)
    assert not judge.doubtful

    attempts.end(attempts.begin(), Outcome.NOT_FOUND)
    assert judge.hopeless


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.BAD_REQUEST, Outcome.CONTEXT_LENGTH, Outcome.CONTENT_FILTER])
def test_one_answer_is_enough_to_go_on(judge: Judge, attempts: Attempts, outcome: Outcome) -> None:
    under_way = [attempts.begin() for _ in range(9)]
    for number, attempt in enumerate(under_way[:8]):
        attempts.end(attempt, Outcome.NOT_FOUND if number % 2 else Outcome.AUTH)
    attempts.end(under_way[8], outcome)

    assert not judge.doubtful
    assert not judge.hopeless


@pytest.mark.parametrize("outcome", [Outcome.SERVER_ERROR, Outcome.OVERLOADED, Outcome.TIMEOUT, Outcome.RATE_LIMITED])
def test_what_passes_by_itself_is_waited_for(judge: Judge, attempts: Attempts, outcome: Outcome) -> None:
    for _ in range(50):
        attempts.end(attempts.begin(), outcome)
        attempts.wait()

    assert not judge.doubtful
    assert not judge.hopeless


def test_hopeless_failures_are_held_back_until_the_first_answer(judge: Judge) -> None:
    assert judge.call_failed(refused("first"))
    assert judge.call_failed(refused("second", Outcome.NOT_FOUND))
    assert not judge.call_failed(refused("bad", Outcome.BAD_REQUEST))
    assert judge.cause == "first"

    judge.call_answered()
    assert not judge.call_failed(refused())


def test_after_an_answer_only_a_row_of_refused_calls_ends_a_run(judge: Judge) -> None:
    judge.call_answered()
    for _ in range(4):
        judge.call_failed(refused())
    judge.call_answered()
    for _ in range(4):
        judge.call_failed(refused())
    judge.call_failed(refused("gone", Outcome.NOT_FOUND))
    assert not judge.hopeless

    for _ in range(5):
        judge.call_failed(refused("key revoked"))
    assert judge.hopeless
    assert judge.cause == "key revoked"


async def test_why_a_provider_cannot_be_reached_is_heard_from_the_transport(judge: Judge) -> None:
    class Unreachable(ListeningTransport):
        def __init__(self) -> None:
            pass

        async def asend(self, request: HttpRequest, timeout: float) -> Any:  # noqa: ASYNC109 - as in Transport
            raise TransportError(Outcome.CONNECTION, "nobody listens")

    transport = ListeningTransport(Unreachable(), judge)
    with pytest.raises(TransportError):
        await transport.asend(HttpRequest("http://h", {}, b""), 1.0)

    assert judge.cause == "nobody listens"
