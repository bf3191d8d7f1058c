"""A chain of providers: who is asked next, and what a bug in a provider of a user does."""

import logging
from collections.abc import Mapping

import msgspec
import pytest

from llmcore._core import RateObservation
from llmcore.client import LLMClient
from llmcore.errors import LLMConfigError, LLMRateLimitError, LLMServerError
from llmcore.flow_stream import Result
from llmcore.types import Failure, HttpRequest, LLMCallStatusEnum, LLMRequest, Outcome, Reply
from support.flow_bench import Bench, Flow
from support.scripted import ScriptedProvider, answer, ask, failure


def test_the_fallback_is_asked_for_its_own_model(bench: Bench) -> None:
    flow = bench.flow("hello", "p2/m2")
    flow.request()
    request = flow.request(failure(Outcome.AUTH))
    assert request.url == "scripted://p2"
    assert msgspec.json.decode(request.body) == {"model": "m2", "text": "hello"}
    response = flow.ends(answer("from p2"))
    assert (response.content, response.provider, response.model) == ("from p2", "p2", "m2")
    assert (response.fallback_used, response.status, response.attempts) == (True, LLMCallStatusEnum.FALLBACK, 2)
    assert (bench.record.provider, bench.record.fallback_used) == ("p2", True)
    assert bench.rests()


def test_the_offline_provider_answers_without_a_request(bench: Bench) -> None:
    flow = bench.flow("hello", "offline")
    flow.request()
    response = flow.ends(failure(Outcome.QUOTA_EXHAUSTED))
    assert response.content
    assert (response.provider, response.fallback_used) == ("offline", True)
    assert response.cost is not None
    assert response.cost.nano_usd == 0
    assert bench.rests()


def test_a_failed_chain_tells_of_the_place_that_failed_last(bench: Bench) -> None:
    flow = bench.flow("hello", "p2/m2")
    flow.request()
    flow.request(failure(Outcome.AUTH))
    with pytest.raises(LLMRateLimitError, match="p2/m2: quota exhausted after 2 attempts"):
        flow.go(failure(Outcome.QUOTA_EXHAUSTED))


def test_a_failure_of_one_provider_is_not_told_of_another(bench: Bench) -> None:
    paused = Flow(LLMClient("p2", "m2", runtime=bench.runtime), ask("one"))
    paused.request()
    with pytest.raises(LLMRateLimitError):
        paused.go(failure(Outcome.RATE_LIMITED, retry_after=200))
    flow = bench.flow("two", "p2/m2")
    flow.request()
    with pytest.raises(LLMRateLimitError) as caught:
        flow.go(failure(Outcome.AUTH))
    assert str(caught.value).startswith("p2/m2: rate limited (")
    assert caught.value.retry_after == 200


class Raising(ScriptedProvider):
    """A provider whose own code is broken in one place."""

    def __init__(self, name: str, where: str, error: Exception) -> None:
        super().__init__(name)
        self.where = where
        self.error = error
        self.local = where == "answer"

    def raising(self, where: str) -> None:
        if where == self.where:
            raise self.error

    def encode(self, request: LLMRequest) -> HttpRequest:
        self.raising("encode")
        return super().encode(request)

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        self.raising("decode")
        return super().decode(status, headers, body)

    def observe(self, headers: Mapping[str, str]) -> RateObservation | None:
        self.raising("observe")
        return super().observe(headers)

    def answer(self, request: LLMRequest, call_type: str | None) -> bytes:
        self.raising("answer")
        return super().answer(request, call_type)


@pytest.mark.parametrize("where", ["encode", "decode", "observe", "answer"])
def test_a_bug_in_a_users_provider_ends_the_attempt_and_not_the_books(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(ScriptedProvider("p1"), Raising("p2", where, ZeroDivisionError("secret text")))
    flow = bench.flow("hello", "p2/m2")
    flow.request()
    step: Result = failure(Outcome.AUTH)
    if where in ("decode", "observe"):
        flow.request(step)
        step = answer()
    with pytest.raises(LLMServerError, match="own code raised ZeroDivisionError") as caught:
        flow.go(step)
    assert "secret text" not in str(caught.value)
    assert "provider p2 raised" in caplog.text
    assert [attempt.outcome for attempt in bench.record.attempts] == [Outcome.AUTH, Outcome.SERVER_ERROR]
    assert bench.rests()


def test_a_users_provider_that_decodes_to_nothing_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    class Nothing(ScriptedProvider):
        def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
            return None  # type: ignore[return-value]

    bench = Bench(Nothing("p1"))
    flow = bench.flow("hello")
    flow.request()
    with pytest.raises(LLMServerError, match="own code raised TypeError"):
        flow.go(answer())
    assert "decode() gave NoneType, which is neither a Reply nor a Failure" in caplog.text
    assert bench.rests()


def test_a_bug_in_a_users_provider_is_not_repeated_but_failed_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    bench = Bench(Raising("p1", "decode", TypeError("no")), ScriptedProvider("p2"))
    flow = bench.flow("hello", "p2/m2")
    flow.request()
    assert flow.request(answer()).url == "scripted://p2"
    assert flow.ends(answer("saved")).content == "saved"


def test_a_fallback_that_is_not_configured_counts_as_refused() -> None:
    broken = Raising("p2", "encode", LLMConfigError("p2: set P2_API_KEY"))
    bench = Bench(ScriptedProvider("p1"), broken, ScriptedProvider("p3"))
    flow = bench.flow("hello", "p2/m2", "p3/m3")
    flow.request()
    assert flow.request(failure(Outcome.AUTH)).url == "scripted://p3"
    assert flow.ends(answer()).attempts == 3
    assert [attempt.outcome for attempt in bench.record.attempts] == [Outcome.AUTH, Outcome.AUTH, Outcome.OK]
