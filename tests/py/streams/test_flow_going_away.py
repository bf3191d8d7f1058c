"""Whoever leaves a stream, wherever it is, gives everything back but what he got."""

from collections.abc import Callable, Iterator

import pytest

from llmcore.types import LLMCallStatusEnum, Outcome
from support.stream_bench import Bench, Flow, Head, event, spent

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
