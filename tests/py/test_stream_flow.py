"""A stream's flow, driven by hand: each step asked for and answered by the test, on a clock that stands."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.errors import LLMConnectionError, LLMError, LLMRateLimitError, LLMServerError, LLMTimeoutError
from llmcore.exchange import Exchange
from llmcore.flow import Park, Step
from llmcore.flow_stream import Deliver, Open, Read, Result
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.stream import StreamDecoder
from llmcore.runtime import Runtime
from llmcore.transport import TransportError
from llmcore.types import (
    CallRecord,
    Chunk,
    Failure,
    LLMCallStatusEnum,
    LLMResponse,
    Outcome,
    Priority,
    Reply,
    Source,
    ToolCallDelta,
)
from support.scripted import ListSink, ScriptedEstimator, ScriptedTransport, ask, bare_environment, settings_of

SECOND = 1_000_000_000
DONE = b"data: [DONE]\n\n"


def event(text: str = "", finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({"model": "m1-2024", "choices": [choice]}) + b"\n\n"


def usage(prompt: int = 10, completion: int = 5) -> bytes:
    told = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + msgspec.json.encode({"choices": [], "usage": told}) + b"\n\n"


class Head(Exchange):
    """The head of an answer, whose body the test hands in."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def close(self) -> None: ...


class Bench:
    """A runtime on a clock that stands, and flows that nobody runs but the test."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.sink = ListSink()
        prices = {"p1/m1": {"input": 1, "output": 2}, "p2/m2": {"input": 1, "output": 2}}
        self.runtime = Runtime(
            settings_of(**{"prices": prices, **settings}),
            tracker=self.sink,
            transport=ScriptedTransport(),
            clock=self.clock,
        )
        self.runtime.estimator = ScriptedEstimator()
        for name in ("p1", "p2"):
            self.runtime.adopt(OpenAIProvider("sk-a", f"http://127.0.0.1:9/{name}", name=name))
        self._kept: list[Flow] = []

    def flow(self, text: str = "hello", *fallbacks: str, **arguments: Any) -> "Flow":
        client = LLMClient("p1", "m1", runtime=self.runtime, fallbacks=fallbacks)
        flow = Flow(client, text, **arguments)
        self._kept.append(flow)
        return flow

    def at(self, seconds: float) -> None:
        self.clock.set(round(seconds * SECOND))
        self.runtime.tick()

    def rests(self) -> bool:
        stats = self.runtime.stats()
        waiting = [stats[name] for name in ("in_flight", "queued", "backing_off", "following")]
        reserved = {"requests": 0, "tokens": 0, "nano_usd": 0}
        return waiting == [0, 0, 0, 0] and stats["reserved"] == reserved and self.runtime.check() == ""

    @property
    def record(self) -> CallRecord:
        (record,) = self.sink.records
        return record


class Flow:
    """A stream's flow and what it came to."""

    def __init__(
        self, client: LLMClient, text: str, *, input_tokens: int = 0, deadline: float | None = None, cache: bool = False
    ) -> None:
        messages = ask(text, input_tokens)
        self.steps: Generator[Step, Result, LLMResponse] = client._prepare(
            messages, None, False, None, 100, None, None, Priority.MEDIUM, deadline, cache, None, {}, stream=True
        )
        self.response: LLMResponse | None = None

    def go(self, result: Result = None) -> Step | None:
        """The next thing that has to happen outside; None when there is a response."""
        try:
            return self.steps.send(result)
        except StopIteration as end:
            self.response = end.value
            return None

    def opens(self, result: Result = None) -> Open:
        step = self.go(result)
        assert isinstance(step, Open)
        return step

    def reads(self, result: Result = None) -> None:
        assert isinstance(self.go(result), Read)

    def delivers(self, result: Result = None) -> list[Chunk]:
        step = self.go(result)
        assert isinstance(step, Deliver)
        return step.chunks

    def says(self, result: Result = None) -> list[str]:
        return [chunk.text for chunk in self.delivers(result)]

    def parks(self, result: Result = None) -> None:
        assert isinstance(self.go(result), Park)

    def ends(self, result: Result = None) -> LLMResponse:
        assert self.go(result) is None
        assert self.response is not None
        return self.response

    def begin(self, head: Head | None = None) -> None:
        """Until its first chunk is with the user."""
        self.opens()
        self.reads(head or Head())
        assert self.says(event("Hel")) == ["Hel"]


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- a stream that succeeds -------------------------------------------------------------------------------------------


def test_chunks_are_handed_out_as_they_come_and_the_response_is_that_of_a_whole_answer(bench: Bench) -> None:
    flow = bench.flow()
    asked = flow.opens()
    assert msgspec.json.decode(asked.request.body)["stream"] is True
    assert asked.timeout == 60.0
    bench.clock.set(SECOND)
    flow.reads(Head(x_request_id="r-1"))
    assert flow.says(event("Hel") + event("lo")) == ["Hel", "lo"]
    flow.reads()
    bench.clock.set(3 * SECOND)
    assert flow.delivers(event("", "stop")) == [Chunk(finish_reason="stop")]
    flow.reads()
    response = flow.ends(usage() + DONE)
    assert (response.content, response.model, response.finish_reason) == ("Hello", "m1-2024", "stop")
    assert (response.input_tokens, response.output_tokens, response.usage.estimated) == (10, 5, False)
    assert response.cost is not None
    assert response.cost.nano_usd == 20_000
    assert (response.status, response.attempts, response.latency_ms) == (LLMCallStatusEnum.SUCCESS, 1, 3000.0)
    assert response.request_id == "r-1"
    record = bench.record
    assert (record.first_token, record.latency, record.cost) == (SECOND, 3 * SECOND, 20_000)
    assert (record.status, record.finish_reason, record.response_model) == (response.status, "stop", "m1-2024")
    assert bench.rests()


def test_an_answer_whose_end_came_with_its_last_chunks_is_settled_before_they_are_handed_out(bench: Bench) -> None:
    flow = bench.flow()
    flow.opens()
    flow.reads(Head())
    step = flow.go(event("Hello") + event("", "stop") + usage() + DONE)
    assert isinstance(step, Deliver)
    assert [chunk.text for chunk in step.chunks] == ["Hello", ""]
    assert step.answer is not None
    assert bench.record.status is LLMCallStatusEnum.SUCCESS
    assert bench.rests()
    flow.steps.close()  # the user goes away with the last chunk in hand: the call is a success all the same
    assert len(bench.sink.records) == 1


def test_an_answer_in_one_piece_is_one_chunk(bench: Bench) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    message = {"role": "assistant", "content": "Hi.", "tool_calls": calls}
    body = msgspec.json.encode({"model": "m1", "choices": [{"message": message, "finish_reason": "tool_calls"}]})
    flow = bench.flow()
    flow.opens()
    flow.reads(Head())
    flow.reads(body[:20])
    flow.reads(body[20:])
    (chunk,) = flow.delivers(b"")
    assert chunk == Chunk("Hi.", tool_calls=[ToolCallDelta(0, "c1", "look", "{}")], finish_reason="tool_calls")
    assert flow.ends().content == "Hi."
    assert bench.rests()


def test_text_of_an_event_that_nobody_closed_is_handed_out_too(bench: Bench) -> None:
    flow = bench.flow()
    flow.begin()
    flow.reads()
    flow.reads(event("lo", "stop")[:-1])
    assert flow.says(b"") == ["lo"]
    assert flow.ends().content == "Hello"


def test_usage_that_was_not_told_is_estimated_and_says_so(bench: Bench) -> None:
    flow = bench.flow(input_tokens=40)
    flow.begin()
    flow.reads()
    flow.delivers(event("lo there", "stop"))
    flow.reads()
    response = flow.ends(DONE)
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.estimated) == (40, 3, True)


def test_the_headers_of_an_answer_count_when_they_come(bench: Bench) -> None:
    first, second = bench.flow("one"), bench.flow("two")
    first.begin(Head(x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="4s"))
    second.parks()
    bench.at(4)
    second.opens()


# --- before the first chunk -------------------------------------------------------------------------------------------


def test_until_the_first_chunk_a_failure_is_repeated(bench: Bench) -> None:
    flow = bench.flow()
    flow.opens()
    flow.reads(Head(429, retry_after="2"))
    flow.reads(b'{"error": {"message": "slow')
    flow.reads(b' down"}}')
    flow.parks(b"")
    bench.at(2)
    flow.opens()
    flow.parks(TransportError(Outcome.CONNECTION, "refused"))
    bench.at(5)
    flow.opens()
    flow.reads(Head())
    flow.reads(b": comments and a role are no chunk\n\n" + event(role="assistant"))
    flow.delivers(event("Hi", "stop") + DONE)
    response = flow.ends()
    assert (response.content, response.attempts) == ("Hi", 3)
    outcomes = [attempt.outcome for attempt in bench.record.attempts]
    assert outcomes == [Outcome.RATE_LIMITED, Outcome.CONNECTION, Outcome.OK]
    assert bench.rests()


def test_chunks_that_came_together_with_an_error_are_not_shown_but_repeated_and_paid(bench: Bench) -> None:
    flow = bench.flow(input_tokens=10)
    flow.opens()
    flow.reads(Head())
    flow.parks(event("Hello") + b'data: {"error": {"message": "overloaded", "code": 503}}\n\n')
    bench.at(1)
    flow.opens()
    flow.reads(Head())
    assert flow.says(event("Hi", "stop") + usage() + DONE) == ["Hi"]
    assert flow.ends().attempts == 2
    assert [attempt.cost for attempt in bench.record.attempts] == [10 * 1000 + 2 * 2000, 20_000]


def test_the_next_provider_streams_instead(bench: Bench) -> None:
    flow = bench.flow("hello", "p2/m2")
    flow.opens()
    flow.reads(Head(401))
    step = flow.opens(b"")
    assert step.request.url.startswith("http://127.0.0.1:9/p2/")
    flow.reads(Head())
    flow.delivers(event("Hi", "stop") + DONE)
    response = flow.ends()
    assert (response.provider, response.fallback_used) == ("p2", True)


def test_the_offline_provider_streams_word_by_word(bench: Bench) -> None:
    flow = bench.flow("hello", "offline")
    flow.opens()
    flow.reads(Head(401))
    chunks = flow.delivers(b"")
    response = flow.ends()
    words = [chunk.text for chunk in chunks if chunk.text]
    assert "".join(words) == response.content
    assert len(words) == len(response.content.split()) > 5
    assert chunks[-1].finish_reason == "stop"
    assert (response.provider, response.usage.estimated) == ("offline", False)


def test_html_with_status_200_is_a_failure_like_any(bench: Bench) -> None:
    bench = Bench(retry={"max_attempts": 1})
    flow = bench.flow()
    flow.opens()
    flow.reads(Head(content_type="text/html"))
    flow.reads(b"<html><body>502 Bad Gateway")
    with pytest.raises(LLMServerError) as caught:
        flow.go(b"")
    assert caught.value.partial is None
    assert bench.record.cost == 0
    assert bench.rests()


# --- after it ---------------------------------------------------------------------------------------------------------


def spent(bench: Bench) -> int:
    (account,) = bench.runtime.stats()["budgets"]
    return int(account["spent_nano_usd"])


BROKEN: list[tuple[Result, type[LLMError], LLMCallStatusEnum]] = [
    (b"", LLMConnectionError, LLMCallStatusEnum.ERROR),
    (TransportError(Outcome.CONNECTION, "reset"), LLMConnectionError, LLMCallStatusEnum.ERROR),
    (TransportError(Outcome.TIMEOUT, "silence"), LLMTimeoutError, LLMCallStatusEnum.TIMEOUT),
    (
        b'data: {"error": {"message": "slow down", "type": "rate_limit_error", "code": 429}}\n\n',
        LLMRateLimitError,
        LLMCallStatusEnum.RATE_LIMITED,
    ),
]


@pytest.mark.parametrize(("came", "error", "status"), BROKEN)
def test_after_the_first_chunk_a_failure_surfaces_with_what_came_and_what_it_cost(
    came: Result, error: type[LLMError], status: LLMCallStatusEnum
) -> None:
    bench = Bench(budgets=[{"limit_usd": 1}])
    flow = bench.flow("hello", "p2/m2", "offline", input_tokens=100)
    flow.begin()
    flow.reads()
    flow.delivers(event(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"a'}}]))
    flow.reads()
    with pytest.raises(error) as caught:
        flow.go(came)
    partial = caught.value.partial
    assert partial is not None
    assert partial.content == "Hel"
    assert [(call.name, call.arguments) for call in partial.tool_calls] == [("look", '{"a')]
    assert partial.usage.estimated
    record = bench.record
    assert (record.status, len(record.attempts)) == (status, 1)
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.estimated) == (100, True)
    assert record.usage.output_tokens >= 1
    assert record.cost == 100 * 1000 + record.usage.output_tokens * 2000
    assert record.price_source == "config"
    assert spent(bench) == record.cost
    assert bench.rests()


def test_chunks_that_came_together_with_an_error_are_handed_out_before_it_is_raised(bench: Bench) -> None:
    flow = bench.flow()
    flow.begin()
    flow.reads()
    assert flow.says(event("lo") + b'data: {"error": {"message": "no more"}}\n\n') == ["lo"]
    with pytest.raises(LLMError) as caught:
        flow.go()
    assert caught.value.partial is not None
    assert caught.value.partial.content == "Hello"


def test_an_answer_that_lacks_only_the_end_mark_is_whole(bench: Bench) -> None:
    flow = bench.flow()
    flow.begin()
    flow.reads()
    flow.delivers(event("lo", "stop"))
    flow.reads()
    assert flow.ends(TransportError(Outcome.CONNECTION, "reset")).content == "Hello"


def test_a_deadline_that_another_call_notices_first_costs_what_was_delivered() -> None:
    bench = Bench(budgets=[{"limit_usd": 1}])
    flow = bench.flow(input_tokens=100, deadline=2)
    flow.begin()
    bench.at(1.9)
    assert not bench.rests()
    bench.at(2)  # the user has not come back yet, and somebody else's timer fires
    assert bench.rests()
    assert spent(bench) == 100 * 1000 + 2000
    with pytest.raises(LLMTimeoutError) as caught:
        flow.go()
    assert caught.value.partial is not None
    assert caught.value.partial.content == "Hel"
    assert (bench.record.status, bench.record.cost) == (LLMCallStatusEnum.TIMEOUT, 102_000)
    assert bench.runtime.stats()["late"] == 0


def test_an_end_that_arrives_together_with_its_deadline_still_counts(bench: Bench) -> None:
    flow = bench.flow(deadline=2)
    flow.begin()
    flow.reads()
    bench.clock.set(2 * SECOND)
    flow.delivers(event("lo", "stop") + usage() + DONE)
    assert flow.ends().content == "Hello"
    assert bench.rests()


def test_a_closed_runtime_ends_streams_and_pays_for_them(bench: Bench) -> None:
    flow = bench.flow(input_tokens=100)
    flow.begin()
    bench.runtime.close()
    assert bench.rests()
    with pytest.raises(LLMError) as caught:
        flow.go()
    assert caught.value.outcome is Outcome.CANCELLED
    assert (bench.record.status, bench.record.cost) == (LLMCallStatusEnum.CANCELLED, 102_000)


class BrokenDecoder(StreamDecoder):
    """A user's own, with a bug that shows at the second piece."""

    def __init__(self) -> None:
        self.fed = 0

    def feed(self, data: bytes) -> list[Chunk]:
        self.fed += 1
        if self.fed > 1:
            raise ZeroDivisionError("secret text")
        return [Chunk("four")]

    def finish(self) -> Reply | Failure:
        raise ZeroDivisionError("secret text")


def test_a_bug_in_a_users_decoder_ends_the_call_and_not_the_books(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OpenAIProvider, "stream_decoder", lambda self, headers=None: BrokenDecoder())
    flow = bench.flow(input_tokens=100)
    flow.opens()
    flow.reads(Head())
    assert flow.says(b"one") == ["four"]
    flow.reads()
    with pytest.raises(LLMServerError, match="own code raised ZeroDivisionError") as caught:
        flow.go(b"two")
    assert "secret text" not in str(caught.value)
    assert "provider p1 raised" in caplog.text
    assert bench.record.cost == 100 * 1000 + 2 * 2000
    assert bench.rests()


# --- answers of others ------------------------------------------------------------------------------------------------

WHOLE = event("Hel") + event("lo", reasoning="hm") + event("", "stop") + usage() + DONE


def run(flow: Flow, cuts: int) -> tuple[list[Chunk], LLMResponse]:
    """The whole of an answer that comes in pieces of that many bytes."""
    flow.opens()
    chunks: list[Chunk] = []
    step = flow.go(Head())
    at = 0
    while step is not None:
        if isinstance(step, Deliver):
            chunks += step.chunks
            step = flow.go()
        else:
            assert isinstance(step, Read)
            step = flow.go(WHOLE[at : at + cuts])
            at += cuts
    assert flow.response is not None
    return chunks, flow.response


@pytest.mark.parametrize("cuts", [1, 7, 64, 10_000])
def test_a_hit_gives_the_chunks_and_the_response_of_the_miss(bench: Bench, cuts: int) -> None:
    chunks, filled = run(bench.flow("same", cache=True), cuts)
    assert [chunk.text for chunk in chunks] == ["Hel", "lo", ""]
    hit = bench.flow("same", cache=True)
    assert hit.delivers() == chunks
    response = hit.ends()
    for field in ("content", "model", "provider", "usage", "tool_calls", "reasoning", "finish_reason", "body"):
        assert getattr(response, field) == getattr(filled, field), field
    assert (response.cache_hit, response.status) == (True, LLMCallStatusEnum.CACHED)
    assert response.saved.nano_usd == 20_000
    record = bench.sink.records[1]
    assert (record.source, record.cost, record.attempts) == (Source.CACHE, 0, [])
    assert bench.rests()


def test_whoever_joined_gets_the_chunks_when_the_leader_has_them_all(bench: Bench) -> None:
    leader, follower = bench.flow("same", cache=True), bench.flow("same", cache=True)
    leader.begin()
    follower.parks()
    leader.reads()
    leader.delivers(event("lo", "stop") + usage() + DONE)
    leader.ends()
    assert follower.says() == ["Hel", "lo"]
    response = follower.ends()
    assert (response.content, response.cache_hit, response.saved.nano_usd) == ("Hello", True, 20_000)
    assert [record.source for record in bench.sink.records] == [Source.PROVIDER, Source.JOINED]


def test_only_a_complete_stream_is_stored_and_a_follower_of_another_asks_itself(bench: Bench) -> None:
    leader, follower = bench.flow("same", cache=True), bench.flow("same", cache=True)
    leader.begin()
    follower.parks()
    leader.reads()
    with pytest.raises(LLMConnectionError):
        leader.go(b"")
    follower.opens()
    follower.steps.close()
    bench.flow("same", cache=True).opens()


def test_a_stream_and_a_whole_answer_do_not_answer_each_other() -> None:
    bench = Bench()
    client = LLMClient("offline", runtime=bench.runtime)
    messages = ask("same")
    whole = client.complete(messages, cache=True)
    streamed = client.stream(messages, cache=True).finish()
    assert (streamed.content, streamed.usage, streamed.cache_hit) == (whole.content, whole.usage, False)
    assert client.stream(messages, cache=True).finish().cache_hit
    assert client.complete(messages, cache=True).cache_hit


# --- going away -------------------------------------------------------------------------------------------------------

Scene = Callable[[Bench], Flow]


def opening(bench: Bench) -> Flow:
    flow = bench.flow("mine", input_tokens=100)
    flow.opens()
    return flow


def before_the_first_chunk(bench: Bench) -> Flow:
    flow = opening(bench)
    flow.reads(Head())
    return flow


def reading_a_refusal(bench: Bench) -> Flow:
    flow = opening(bench)
    flow.reads(Head(500))
    return flow


def with_a_chunk_in_hand(bench: Bench) -> Flow:
    flow = before_the_first_chunk(bench)
    flow.delivers(event("Hello there, "))
    return flow


def in_the_middle(bench: Bench) -> Flow:
    flow = with_a_chunk_in_hand(bench)
    flow.reads()
    return flow


def backing_off(bench: Bench) -> Flow:
    flow = reading_a_refusal(bench)
    flow.parks(b"")
    return flow


def queued(bench: Bench) -> Flow:
    for text in ("one", "two"):
        bench.flow(text).opens()
    flow = bench.flow("mine")
    flow.parks()
    return flow


def following(bench: Bench) -> Flow:
    bench.flow("mine", cache=True).begin()
    flow = bench.flow("mine", cache=True)
    flow.parks()
    return flow


def leading(bench: Bench) -> Flow:
    flow = bench.flow("mine", cache=True, input_tokens=100)
    flow.begin()
    bench.flow("mine", cache=True, input_tokens=100).parks()
    return flow


SEEN = [with_a_chunk_in_hand, in_the_middle, leading]
SCENES = [opening, before_the_first_chunk, reading_a_refusal, backing_off, queued, following, *SEEN]


@pytest.fixture
def busy() -> Iterator[Bench]:
    bench = Bench(limits={"max_in_flight": 2}, budgets=[{"limit_usd": 1}])
    yield bench
    bench.runtime.close()
    assert bench.rests()


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("leave", ["close", "interrupt"])
def test_whoever_goes_away_gives_everything_back_but_what_he_got(busy: Bench, scene: Scene, leave: str) -> None:
    flow = scene(busy)
    before = busy.runtime.stats()["finished"]
    if leave == "close":
        flow.steps.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            flow.steps.throw(KeyboardInterrupt())
    assert busy.runtime.stats()["finished"] == before + 1
    record = busy.record
    assert (record.status, record.outcome) == (LLMCallStatusEnum.CANCELLED, Outcome.CANCELLED)
    assert record.usage is not None
    if scene in SEEN:
        assert record.usage.estimated
        assert record.cost == 100 * 1000 + record.usage.output_tokens * 2000
        assert record.usage.output_tokens == (1 if scene is leading else 4)
        assert spent(busy) == record.cost
    else:
        assert (record.usage.total_tokens, record.cost) == (0, 0)
    assert busy.runtime.check() == ""
    assert busy.runtime.stats()["late"] == 0
