"""What goes wrong before the first chunk is repeated or failed over; after it, it is told with what came."""

import pytest

from llmcore.errors import LLMConnectionError, LLMError, LLMRateLimitError, LLMServerError, LLMTimeoutError
from llmcore.flow_stream import Result
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.stream import StreamDecoder
from llmcore.transport import TransportError
from llmcore.types import Chunk, Failure, LLMCallStatusEnum, Outcome, Reply, Usage
from support.flow_bench import SECOND
from support.stream_bench import DONE, Bench, Head, event, spent, usage

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


class NoAnswer(StreamDecoder):
    def feed(self, data: bytes) -> list[Chunk]:
        return []

    def finish(self) -> Reply | Failure:
        return None  # type: ignore[return-value]


def test_a_users_decoder_that_ends_in_nothing_is_told_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OpenAIProvider, "stream_decoder", lambda self, headers=None: NoAnswer())
    flow = bench.flow(input_tokens=100)
    flow.opens()
    flow.reads(Head())
    with pytest.raises(LLMServerError, match="own code raised TypeError"):
        flow.go(b"")
    assert "neither a Reply nor a Failure" in caplog.text
    assert bench.rests()


def test_an_answer_with_another_status_than_200_is_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Reply("one", "m1", Usage(input_uncached=1, output_text=1))
    monkeypatch.setattr(OpenAIProvider, "decode", lambda self, status, headers, body: taken)
    bench = Bench(retry={"max_attempts": 1})
    flow = bench.flow(input_tokens=100)
    flow.opens()
    flow.reads(Head(201))
    with pytest.raises(LLMServerError, match="HTTP 201 instead of a stream"):
        flow.go(b"")
    assert bench.rests()


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
