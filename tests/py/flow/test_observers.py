"""Who is told of a call, under which circumstances, and what comes of their own failures."""

import pytest

from llmcore.errors import LLMBadRequestError
from llmcore.types import CallRecord, LLMCallStatusEnum, Outcome
from support.flow_bench import Bench, Flow
from support.scripted import answer, ask, failure


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
