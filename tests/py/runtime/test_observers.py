"""Who is told of alerts and records, and may call a model itself."""

import pytest

from llmcore._core import AlertRecord
from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.types import CallRecord
from support.runtimes import PRICE, records_of, runtime_of
from support.scripted import answer, ask


def test_alerts_reach_every_client_that_asked_and_what_they_raise_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = runtime_of(answer("hi", 1000, 100), budgets=[{"limit_usd": 0.0012, "alerts": [50, 100]}], prices=PRICE)
    told: list[tuple[str, int]] = []

    def tell(alert: AlertRecord) -> None:
        assert runtime.stats()["in_flight"] == 0  # under no lock
        told.append((alert.scope, alert.percent))
        raise RuntimeError("of the observer")

    watching = AsyncLLMClient("p1", "m1", runtime=runtime, on_alert=tell)
    client = LLMClient("p1", "m1", runtime=runtime, on_alert=tell)
    assert client.complete(ask("dear", 1000), max_tokens=100).content == "hi"
    assert told == [("global", 50)] * 2 + [("global", 100)] * 2
    assert caplog.text.count("an observer of llmcore raised") == 4
    assert watching.stats()["submitted"] == 1


def test_an_observer_may_call_a_model_itself() -> None:
    runtime = runtime_of()
    inner: list[str] = []
    plain = LLMClient("p1", "m1", runtime=runtime)

    def tell(record: CallRecord) -> None:
        inner.append(plain.complete(ask("what was that?")).content)

    LLMClient("p1", "m1", runtime=runtime, on_record=tell).complete(ask("outer"))
    assert inner == ["echo"]
    assert len(records_of(runtime)) == 2
