"""Streams of others: from the cache, and from an identical call in flight."""

import pytest

from llmcore.client import LLMClient
from llmcore.errors import LLMConnectionError
from llmcore.flow_stream import Deliver, Read
from llmcore.types import Chunk, LLMCallStatusEnum, LLMResponse, Source
from support.scripted import ask
from support.stream_bench import DONE, Bench, Flow, Head, event, usage

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
