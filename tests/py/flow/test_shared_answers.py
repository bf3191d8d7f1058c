"""Answers of others: from the cache, and from an identical call in flight."""

from collections.abc import Mapping

import pytest

from llmcore.errors import LLMError
from llmcore.types import Failure, LLMCallStatusEnum, Outcome, Reply, Source
from support.flow_bench import Bench
from support.scripted import ScriptedProvider, answer


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
