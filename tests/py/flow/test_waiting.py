"""A call that waits: for its turn, for its next attempt, for the end of its time."""

from llmcore.flow import Perform
from llmcore.types import Outcome
from support.flow_bench import SECOND, Bench
from support.scripted import answer, failure


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
