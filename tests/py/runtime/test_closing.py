"""The end of a runtime: what is in flight is cancelled, and the ledger gets its last row."""

import asyncio
import threading

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.errors import LLMCancelledError, LLMConfigError, LLMError
from llmcore.runtime import NoLedger, Runtime
from llmcore.types import CallRecord, Outcome, Texts
from support.runtimes import NOTHING, PATIENCE, EchoTransport, records_of, runtime_of, until
from support.scripted import ListSink, ScriptedProvider, ScriptedTransport, ask, failure, settings_of


def test_close_cancels_what_is_in_flight_and_what_waits() -> None:
    transport = ScriptedTransport()
    runtime = runtime_of(transport=transport, limits={"max_in_flight": 1})
    client = LLMClient("p1", "m1", runtime=runtime)
    raised: list[BaseException] = []

    def call(text: str) -> None:
        try:
            client.complete(ask(text))
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=call, args=(text,), daemon=True) for text in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    until(lambda: transport.open and runtime.stats()["queued"] == 2)
    runtime.close()
    runtime.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert [type(error) for error in raised] == [LLMCancelledError] * 3
    assert [record.outcome for record in records_of(runtime)] == [Outcome.CANCELLED] * 3
    assert runtime.stats()["reserved"] == NOTHING
    assert runtime.check() == ""
    with pytest.raises(LLMConfigError, match="closed"):
        client.complete(ask("four"))


def test_close_cancels_what_backs_off_and_what_follows() -> None:
    runtime = runtime_of(failure(Outcome.SERVER_ERROR))
    client = LLMClient("p1", "m1", runtime=runtime)
    raised: list[LLMError] = []

    def call() -> None:
        try:
            client.complete(ask("same"), cache=True)
        except LLMError as error:
            raised.append(error)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: (runtime.stats()["backing_off"], runtime.stats()["following"]) == (1, 1))
    runtime.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert [type(error) for error in raised] == [LLMCancelledError] * 2


async def test_aclose_cancels_tasks_too() -> None:
    transport = ScriptedTransport()
    runtime = runtime_of(transport=transport, limits={"max_in_flight": 1})
    client = AsyncLLMClient("p1", "m1", runtime=runtime)
    tasks = [asyncio.create_task(client.complete(ask(text))) for text in ("one", "two")]
    await asyncio.sleep(0)
    await runtime.aclose()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [LLMCancelledError] * 2
    assert len(records_of(runtime)) == 2


class StrictSink(ListSink):
    """Refuses what comes after its end."""

    def begin(self, call: CallRecord) -> None:
        """Of no interest here."""

    def record(self, call: CallRecord, texts: Texts | None = None) -> None:
        assert not self.closed, "a row came after the ledger was closed"
        super().record(call)


def test_a_runtime_that_owns_its_ledger_closes_it_after_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = StrictSink()
    monkeypatch.setattr("llmcore.runtime.ledger_of", lambda settings: sink)
    transport = ScriptedTransport()
    runtime = Runtime(settings_of(), transport=transport, clock=ManualClock())
    runtime.adopt(ScriptedProvider("p1"))
    client = LLMClient("p1", "m1", runtime=runtime)
    raised: list[LLMError] = []

    def call() -> None:
        try:
            client.complete(ask("one"))
        except LLMError as error:
            raised.append(error)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    until(lambda: len(transport.open) == 20)
    runtime.close()
    assert (len(sink.records), sink.closed) == (20, 1)
    for thread in threads:
        thread.join(PATIENCE)
    assert len(raised) == 20


async def test_an_async_runtime_that_owns_its_ledger_closes_it_after_the_last_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = StrictSink()
    monkeypatch.setattr("llmcore.runtime.ledger_of", lambda settings: sink)
    runtime = Runtime(settings_of(), transport=ScriptedTransport(), clock=ManualClock())
    runtime.adopt(ScriptedProvider("p1"))
    client = AsyncLLMClient("p1", "m1", runtime=runtime)
    tasks = [asyncio.create_task(client.complete(ask("one"))) for _ in range(20)]
    await asyncio.sleep(0)
    await runtime.aclose()
    assert (len(sink.records), sink.closed) == (20, 1)
    await asyncio.gather(*tasks, return_exceptions=True)


def test_no_ledger_is_a_ledger() -> None:
    sink = NoLedger()
    runtime = Runtime(settings_of(), tracker=sink, transport=EchoTransport())
    runtime.adopt(ScriptedProvider("p1"))
    assert LLMClient("p1", "m1", runtime=runtime).complete(ask("hello")).content == "echo"
    assert sink.flush()
    runtime.close()
