"""One call's flow, driven by hand: neither thread nor loop, each step asked for and answered by the test."""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmcore._core import RateObservation
from llmcore.client import LLMClient
from llmcore.clock import ManualClock
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
from llmcore.flow import Park, Perform, Step
from llmcore.runtime import Runtime
from llmcore.transport import TransportError
from llmcore.types import (
    CallRecord,
    Failure,
    HttpRequest,
    HttpResponse,
    LLMCallStatusEnum,
    LLMRequest,
    LLMResponse,
    Message,
    Outcome,
    Priority,
    Reply,
    Source,
    ToolCall,
)
from support.scripted import (
    ListSink,
    ScriptedEstimator,
    ScriptedProvider,
    ScriptedTransport,
    answer,
    ask,
    bare_environment,
    failure,
    settings_of,
)

SECOND = 1_000_000_000
NOTHING = {"requests": 0, "tokens": 0, "nano_usd": 0}

Result = HttpResponse | TransportError | None


class Bench:
    """A runtime on a clock that stands, and flows that nobody runs but the test."""

    def __init__(self, *providers: ScriptedProvider, **settings: Any) -> None:
        self.clock = ManualClock()
        self.sink = ListSink()
        self.runtime = Runtime(
            settings_of(**settings), tracker=self.sink, transport=ScriptedTransport(), clock=self.clock
        )
        self.runtime.estimator = ScriptedEstimator()
        for provider in providers or (ScriptedProvider("p1"), ScriptedProvider("p2")):
            self.runtime.adopt(provider)
        self._kept: list[Flow] = []  # a flow that nobody holds is closed

    def client(self, *fallbacks: str, **arguments: Any) -> LLMClient:
        return LLMClient("p1", "m1", runtime=self.runtime, fallbacks=fallbacks, **arguments)

    def flow(self, text: str = "hello", *fallbacks: str, **arguments: Any) -> "Flow":
        flow = Flow(self.client(*fallbacks), ask(text, arguments.pop("input_tokens", 0)), **arguments)
        self._kept.append(flow)
        return flow

    def at(self, seconds: float) -> None:
        self.clock.set(round(seconds * SECOND))
        self.runtime.tick()

    def rests(self) -> bool:
        stats = self.runtime.stats()
        waiting = [stats[name] for name in ("in_flight", "queued", "backing_off", "following")]
        return waiting == [0, 0, 0, 0] and stats["reserved"] == NOTHING and self.runtime.check() == ""

    @property
    def record(self) -> CallRecord:
        """The only one."""
        (record,) = self.sink.records
        return record


class Flow:
    """A flow and what it came to."""

    def __init__(
        self,
        client: LLMClient,
        messages: list[Message],
        *,
        max_tokens: int = 100,
        deadline: float | None = None,
        cache: bool = False,
        call_type: str | None = None,
        **rest: Any,
    ) -> None:
        prepared = client._prepare(
            messages, None, False, None, max_tokens, None, None, Priority.MEDIUM, deadline, cache, call_type, rest
        )
        self.steps: Generator[Step, Result, LLMResponse] = prepared
        self.response: LLMResponse | None = None

    def go(self, result: Result = None) -> Step | None:
        """The next thing that has to happen outside; None when there is a response."""
        try:
            return self.steps.send(result)
        except StopIteration as end:
            self.response = end.value
            return None

    def request(self, result: Result = None) -> HttpRequest:
        """The same, when it must be a request."""
        step = self.go(result)
        assert isinstance(step, Perform)
        return step.request

    def parks(self, result: Result = None) -> None:
        assert isinstance(self.go(result), Park)

    def ends(self, result: Result = None) -> LLMResponse:
        assert self.go(result) is None
        assert self.response is not None
        return self.response


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- a call that succeeds ---------------------------------------------------------------------------------------------


def test_a_call_is_one_request_and_one_response() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 2}})
    flow = bench.flow("hello", call_type="chat", user_id="alice")
    step = flow.go()
    assert isinstance(step, Perform)
    assert step.request.url == "scripted://p1"
    assert msgspec.json.decode(step.request.body) == {"model": "m1", "text": "hello"}
    assert step.timeout == 60.0
    bench.clock.set(2 * SECOND)
    response = flow.ends(answer("hi", 10, 5, model="m1-2024", finish_reason="stop", request_id="r-1"))
    assert (response.content, response.model, response.provider) == ("hi", "m1-2024", "p1")
    assert (response.input_tokens, response.output_tokens) == (10, 5)
    assert response.cost is not None
    assert response.cost.nano_usd == 10 * 1000 + 5 * 2000
    assert (response.attempts, response.status, response.latency_ms) == (1, LLMCallStatusEnum.SUCCESS, 2000.0)
    assert not response.cache_hit
    assert not response.fallback_used
    record = bench.record
    assert record.id == response.call_id
    assert (record.call_type, record.status, record.outcome) == ("chat", LLMCallStatusEnum.SUCCESS, Outcome.OK)
    assert (record.provider, record.model, record.response_model) == ("p1", "m1", "m1-2024")
    assert (record.cost, record.price_source, record.finish_reason) == (20_000, "config", "stop")
    assert (record.context.user_id, record.request_id, record.max_tokens) == ("alice", "r-1", 100)
    assert [attempt.number for attempt in record.attempts] == [1]
    assert record.completed_at - record.created_at == record.latency == 2 * SECOND
    assert bench.rests()


def test_a_response_of_unknown_price_has_no_cost(bench: Bench) -> None:
    flow = bench.flow()
    flow.request()
    assert flow.ends(answer("hi", 10, 5)).cost is None
    assert (bench.record.cost, bench.record.price_source) == (None, None)


def test_the_price_is_that_of_the_model_that_answered() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 1}, "p1/m1-large": {"input": 5, "output": 5}})
    flow = bench.flow()
    flow.request()
    response = flow.ends(answer("hi", 10, 0, model="m1-large"))
    assert response.cost is not None
    assert response.cost.nano_usd == 50_000


def test_the_asked_models_price_stands_in_where_the_answering_one_has_none() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 1}})
    flow = bench.flow()
    flow.request()
    response = flow.ends(answer("hi", 10, 0, model="m1-of-tuesday"))
    assert response.cost is not None
    assert response.cost.nano_usd == 10_000


def test_usage_that_was_not_told_is_estimated_and_says_so(bench: Bench) -> None:
    flow = bench.flow("hello", input_tokens=40)
    flow.request()
    response = flow.ends(answer("eight by", estimated=True))
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.estimated) == (40, 2, True)
    assert bench.record.usage == response.usage


def test_usage_that_was_told_is_never_replaced(bench: Bench) -> None:
    flow = bench.flow("hello", input_tokens=40)
    flow.request()
    response = flow.ends(answer("eight by", 3, 4, estimated=True))
    assert (response.usage.input_tokens, response.usage.output_tokens) == (3, 4)


def test_the_headers_of_an_answer_hold_the_next_call_back(bench: Bench) -> None:
    first, second = bench.flow("one"), bench.flow("two")
    first.request()
    first.ends(answer(observe={"remaining_requests": 0, "requests_reset_ms": 4000}))
    second.parks()
    bench.at(4)
    second.request()


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_call_without_a_slot_parks_until_there_is_one() -> None:
    bench = Bench(limits={"max_in_flight": 1})
    first, second = bench.flow("one"), bench.flow("two")
    first.request()
    second.parks()
    second.parks()  # woken for nothing: it parks again
    first.ends(answer())
    second.request()
    assert second.ends(answer()).attempts == 1
    assert bench.sink.records[1].queued == 0


def test_a_failed_attempt_is_repeated_after_a_wait(bench: Bench) -> None:
    flow = bench.flow()
    first = flow.request()
    flow.parks(failure(Outcome.SERVER_ERROR))
    bench.at(0.5)
    assert flow.request() is first  # encoded once
    response = flow.ends(answer())
    assert response.attempts == 2
    assert [attempt.outcome for attempt in bench.record.attempts] == [Outcome.SERVER_ERROR, Outcome.OK]
    assert bench.record.queued == SECOND // 2
    assert bench.rests()


def test_the_time_left_for_an_attempt_is_what_is_left_of_the_deadline(bench: Bench) -> None:
    flow = bench.flow(deadline=3)
    step = flow.go()
    assert isinstance(step, Perform)
    assert step.timeout == 3.0
    flow.parks(failure(Outcome.OVERLOADED, retry_after=1.5))
    bench.at(1.5)
    step = flow.go()
    assert isinstance(step, Perform)
    assert step.timeout == 1.5


# --- a call that fails ------------------------------------------------------------------------------------------------


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


# --- the chain --------------------------------------------------------------------------------------------------------


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


# --- answers of others ------------------------------------------------------------------------------------------------


def test_a_cached_answer_equals_the_one_that_filled_the_cache() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 2}})
    calls = [{"id": "c1", "name": "look_up", "arguments": '{"a": 1}'}]
    miss = bench.flow("same", cache=True)
    miss.request()
    filled = miss.ends(answer("hi", 10, 5, tool_calls=calls, reasoning="hm", finish_reason="tool_calls"))
    hit = bench.flow("same", cache=True).ends()
    for field in ("content", "model", "provider", "usage", "tool_calls", "reasoning", "finish_reason", "body"):
        assert getattr(hit, field) == getattr(filled, field), field
    assert hit.cache_hit
    assert hit.status is LLMCallStatusEnum.CACHED
    assert hit.cost is not None
    assert (hit.cost.nano_usd, hit.saved.nano_usd, hit.attempts) == (0, 20_000, 0)
    record = bench.sink.records[1]
    assert (record.source, record.cost, record.saved, record.attempts) == (Source.CACHE, 0, 20_000, [])
    assert record.usage is not None
    assert record.usage.total_tokens == 0  # nothing was used this time


def test_a_call_that_joined_waits_and_gets_the_same_answer() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 2}})
    leader, follower = bench.flow("same", cache=True), bench.flow("same", cache=True)
    leader.request()
    follower.parks()
    assert leader.ends(answer("hi", 10, 5)).saved.nano_usd == 0
    joined = follower.ends()
    assert (joined.content, joined.cache_hit, joined.saved.nano_usd) == ("hi", True, 20_000)
    assert [record.source for record in bench.sink.records] == [Source.PROVIDER, Source.JOINED]


def test_a_follower_leads_when_the_leader_is_closed(bench: Bench) -> None:
    leader, follower = bench.flow("same", cache=True), bench.flow("same", cache=True)
    leader.request()
    follower.parks()
    leader.steps.close()
    follower.request()
    assert follower.ends(answer()).attempts == 1
    assert bench.rests()


def test_a_stored_answer_that_its_provider_cannot_read_again_is_an_error_with_a_record(bench: Bench) -> None:
    class Forgetful(ScriptedProvider):
        told = False

        def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
            if self.told:
                return Failure(Outcome.SERVER_ERROR, "what was that?")
            self.told = True
            return super().decode(status, headers, body)

    bench = Bench(Forgetful("p1"))
    first = bench.flow("same", cache=True)
    first.request()
    first.ends(answer())
    with pytest.raises(LLMError, match="p1: its stored answer cannot be decoded again") as caught:
        bench.flow("same", cache=True).go()
    assert len(bench.sink.records) == 2
    record = bench.sink.records[1]
    assert (record.id, record.status) == (caught.value.call_id, LLMCallStatusEnum.ERROR)
    assert record.error_message == caught.value.message
    assert bench.rests()


# --- going away -------------------------------------------------------------------------------------------------------

Scene = Callable[[Bench], Flow]


def in_flight(bench: Bench) -> Flow:
    flow = bench.flow("mine")
    flow.request()
    return flow


def queued(bench: Bench) -> Flow:
    for text in ("one", "two"):
        bench.flow(text).request()
    flow = bench.flow("mine")
    flow.parks()
    return flow


def backing_off(bench: Bench) -> Flow:
    flow = in_flight(bench)
    flow.parks(failure(Outcome.SERVER_ERROR))
    return flow


def sent_again(bench: Bench) -> Flow:
    flow = backing_off(bench)
    bench.at(0.5)
    flow.request()
    return flow


def sent_but_not_looked_at(bench: Bench) -> Flow:
    flow = backing_off(bench)
    bench.at(0.5)  # the Send lies in the mailbox
    return flow


def at_the_fallback(bench: Bench) -> Flow:
    flow = bench.flow("mine", "p2/m2")
    flow.request()
    flow.request(failure(Outcome.AUTH))
    return flow


def following(bench: Bench) -> Flow:
    bench.flow("mine", cache=True).request()
    flow = bench.flow("mine", cache=True)
    flow.parks()
    return flow


def leading(bench: Bench) -> Flow:
    flow = bench.flow("mine", cache=True)
    flow.request()
    bench.flow("mine", cache=True).parks()
    return flow


SCENES = [in_flight, queued, backing_off, sent_again, sent_but_not_looked_at, at_the_fallback, following, leading]


@pytest.fixture
def busy() -> Iterator[Bench]:
    price = {"input": 1, "output": 2}
    bench = Bench(limits={"max_in_flight": 2}, budgets=[{"limit_usd": 1}], prices={"p1/m1": price, "p2/m2": price})
    yield bench
    bench.runtime.close()
    assert bench.rests()


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("leave", ["close", "interrupt", "raise"])
def test_whoever_goes_away_gives_everything_back(busy: Bench, scene: Scene, leave: str) -> None:
    flow = scene(busy)
    before = busy.runtime.stats()["finished"]
    steps = flow.steps
    if leave == "close":
        steps.close()
    elif leave == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            steps.throw(KeyboardInterrupt())
    else:
        # Not a flow's own exception: a runner that breaks while it performs. What a provider raises is another matter.
        with pytest.raises(SystemExit):
            steps.throw(SystemExit(3))
    assert busy.runtime.stats()["finished"] == before + 1
    record = busy.record
    assert (record.status, record.outcome) == (LLMCallStatusEnum.CANCELLED, Outcome.CANCELLED)
    assert record.error_code == "cancelled"
    assert record.error_message is not None
    assert record.error_message.endswith(": cancelled")
    assert len({attempt.number for attempt in record.attempts}) == len(record.attempts)
    assert busy.runtime.check() == ""
    assert busy.runtime.stats()["late"] == 0


def test_a_flow_that_was_never_started_leaves_nothing(bench: Bench) -> None:
    bench.flow().steps.close()
    assert bench.sink.records == []
    assert bench.runtime.stats()["submitted"] == 0


def test_closing_a_finished_flow_changes_nothing(bench: Bench) -> None:
    flow = bench.flow()
    flow.request()
    flow.ends(answer())
    flow.steps.close()
    assert bench.record.status is LLMCallStatusEnum.SUCCESS


def test_whoever_goes_away_before_he_read_his_answer_has_cancelled_and_paid() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 2}})
    leader, follower = bench.flow("same", cache=True), bench.flow("same", cache=True)
    leader.request()
    follower.parks()
    leader.ends(answer("hi", 10, 5))
    follower.steps.close()  # its Finish lies in the mailbox
    record = bench.sink.records[1]
    assert (record.status, record.saved) == (LLMCallStatusEnum.CANCELLED, 20_000)
    assert record.error_code == "cancelled"
    assert record.error_message == "p1/m1: cancelled"
    assert bench.rests()


# --- observers --------------------------------------------------------------------------------------------------------


def test_observers_are_told_under_no_lock_and_what_they_raise_changes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []

    def tell(event: object) -> None:
        assert bench.runtime.lock.acquire(blocking=False)
        bench.runtime.lock.release()
        told.append(event)
        raise RuntimeError("of the observer")

    client = bench.client(on_record=tell, on_error=tell)
    flow = Flow(client, ask("one"))
    flow.request()
    assert flow.ends(answer("hi")).content == "hi"
    failed = Flow(client, ask("two"))
    failed.request()
    with pytest.raises(LLMBadRequestError) as caught:
        failed.go(failure(Outcome.BAD_REQUEST))
    assert told == [*bench.sink.records, caught.value]
    assert caplog.text.count("an observer of llmcore raised") == 3
    assert bench.rests()


def test_observers_hear_of_a_cancelled_call(bench: Bench) -> None:
    told: list[CallRecord] = []
    flow = Flow(bench.client(on_record=told.append), ask("one"))
    flow.request()
    flow.steps.close()
    assert [record.status for record in told] == [LLMCallStatusEnum.CANCELLED]


def test_tool_calls_reach_the_caller_as_the_model_wrote_them(bench: Bench) -> None:
    class WithTools(ScriptedProvider):
        def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
            reply = super().decode(status, headers, body)
            assert isinstance(reply, Reply)
            reply.tool_calls = [ToolCall("c1", "look_up", '{ "spaces" : 1 }')]
            return reply

    bench = Bench(WithTools("p1"))
    flow = bench.flow()
    flow.request()
    assert flow.ends(answer()).tool_calls == [ToolCall("c1", "look_up", '{ "spaces" : 1 }')]
