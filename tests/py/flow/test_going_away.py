"""Whoever goes away, wherever the call is, gives everything back."""

from collections.abc import Callable, Iterator

import pytest

from llmcore.types import LLMCallStatusEnum, Outcome
from support.flow_bench import Bench, Flow
from support.scripted import answer, failure

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
