"""Clients are views of a runtime: what they share, what tenants do not, and which arguments make none."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from llmcore._core import AlertRecord
from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.errors import LLMConfigError
from llmcore.runtime import Runtime
from llmcore.transport import NativeTransport, SdkTransport
from llmcore.types import LLMResponse
from support.runtimes import NOTHING, PATIENCE, records_of, runtime_of
from support.scripted import ListSink, ScriptedProvider, ScriptedTransport, answer, ask, settings_of

# --- clients are views ------------------------------------------------------------------------------------------------


def test_a_thousand_clients_made_per_request_share_one_limit() -> None:
    transport = ScriptedTransport()
    runtime = Runtime(
        settings_of(limits={"max_in_flight": 3}), tracker=ListSink(), transport=transport, clock=ManualClock()
    )
    runtime.adopt(ScriptedProvider("p1"))

    async def one(index: int) -> LLMResponse:
        return await AsyncLLMClient("p1", "m1", runtime=runtime).complete(ask(f"{index}"))

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one(index)) for index in range(1000)]
        await asyncio.sleep(0)
        assert len(transport.open) == 3
        assert (runtime.stats()["in_flight"], runtime.stats()["queued"]) == (3, 997)
        peak = 0
        while transport.open:
            peak = max(peak, len(transport.open))
            transport.open[0].answer(answer())
            for _ in range(6):  # the answer reaches its task, and the next call its transport
                await asyncio.sleep(0)
        assert peak == 3
        assert len(await asyncio.gather(*tasks)) == 1000

    asyncio.run(all_of_them())
    assert len(records_of(runtime)) == 1000
    assert runtime.stats()["reserved"] == NOTHING
    assert runtime.check() == ""


def test_clients_made_per_request_leave_nothing_in_the_runtime() -> None:
    runtime = runtime_of()
    told: list[AlertRecord] = []
    for index in range(100):
        LLMClient("p1", "m1", runtime=runtime, on_alert=told.append).complete(ask(f"{index}"))
    gc.collect()
    assert len(runtime._alert_observers) == 0
    assert len(runtime._calls) == 0
    assert not runtime.parking.occupied


def test_sync_and_async_clients_share_the_cache() -> None:
    runtime = runtime_of()
    first = LLMClient("p1", "m1", runtime=runtime).complete(ask("same"), cache=True)
    second = asyncio.run(AsyncLLMClient("p1", "m1", runtime=runtime).complete(ask("same"), cache=True))
    assert (first.cache_hit, second.cache_hit, second.content) == (False, True, first.content)


def test_the_default_runtime_is_one_for_the_process() -> None:
    start = threading.Barrier(8)
    found: list[Runtime] = []

    def get() -> None:
        start.wait(PATIENCE)
        found.append(Runtime.default())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert LLMClient("offline").runtime is AsyncLLMClient("offline").runtime is found[0]


def test_a_closed_default_runtime_is_replaced() -> None:
    first = Runtime.default()
    first.close()
    assert Runtime.default() is not first
    assert LLMClient("offline").complete(ask("hello")).content


def test_settings_or_a_tracker_make_a_runtime_of_ones_own() -> None:
    sink = ListSink()
    by_settings = LLMClient("offline", settings=settings_of())
    by_tracker = LLMClient("offline", tracker=sink)
    assert len({id(by_settings.runtime), id(by_tracker.runtime), id(Runtime.default())}) == 3
    by_tracker.complete(ask("hello"))
    assert len(sink.records) == 1
    for client in (by_settings, by_tracker):
        client.close()
        with pytest.raises(LLMConfigError, match="closed"):
            client.complete(ask("hello"))
    assert sink.closed == 0  # it is the caller's


def test_closing_a_view_of_a_shared_runtime_closes_nothing() -> None:
    runtime = runtime_of()
    with LLMClient("p1", "m1", runtime=runtime) as client:
        client.complete(ask("one"))
    assert LLMClient("p1", "m1", runtime=runtime).complete(ask("two")).content == "echo"


def test_a_runtime_and_settings_contradict_each_other() -> None:
    runtime = runtime_of()
    with pytest.raises(LLMConfigError, match="not both"):
        LLMClient("p1", "m1", runtime=runtime, settings=settings_of())
    with pytest.raises(LLMConfigError, match="not both"):
        AsyncLLMClient("p1", "m1", runtime=runtime, tracker=ListSink())


def test_a_transport_may_be_named() -> None:
    with Runtime(settings_of(), tracker=ListSink(), transport="sdk") as runtime:
        assert type(runtime.transport) is SdkTransport
    with Runtime(settings_of(), tracker=ListSink(), transport="native") as runtime:
        assert type(runtime.transport) is NativeTransport
    with pytest.raises(LLMConfigError, match='transport= is "native", "sdk" or a Transport, not \'curl\''):
        Runtime(settings_of(), tracker=ListSink(), transport="curl")  # type: ignore[arg-type]


def test_two_objects_cannot_have_one_name() -> None:
    runtime = runtime_of()
    with pytest.raises(LLMConfigError, match="another provider named 'p1'"):
        LLMClient(ScriptedProvider("p1"), "m1", runtime=runtime)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"provider": 5}, "provider is a name or an LLMProvider, not int"),
        ({"provider": "opnai"}, "no provider 'opnai'; known are"),
        ({"fallbacks": ("opnai",)}, "no provider 'opnai'; known are"),
        ({"fallbacks": "offline"}, r"write fallbacks=\('offline',\)"),
        ({"fallbacks": 5}, "fallbacks is a sequence of names"),
        ({"fallbacks": ["offline", None]}, "fallbacks is a sequence of names"),
        ({"runtime": "mine"}, "runtime= is a Runtime, not str"),
        ({"runtime": None, "settings": {"provider": "offline"}}, "settings= is a Settings object, not dict"),
        ({"runtime": None, "tracker": "sqlite:///calls.db"}, "tracker= is a UsageTracker or another Sink, not str"),
    ],
)
def test_a_client_that_cannot_be_made_says_which_argument_is_wrong(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(LLMConfigError, match=complaint):
        LLMClient(**{"provider": "p1", "model": "m1", "runtime": runtime_of(), **arguments})


def test_the_name_of_a_provider_may_be_written_in_any_case() -> None:
    runtime = runtime_of()
    client = LLMClient("Offline", fallbacks=("OFFLINE",), runtime=runtime)
    assert (client.provider, client.model) == ("offline", "offline")
    assert client.complete(ask("hello")).provider == "offline"
    assert runtime.provider("OFFLINE") is runtime.provider("offline")


@pytest.mark.parametrize("tenant", ["", None, 7, "\ud800"])
def test_a_tenant_is_a_name(tenant: Any) -> None:
    with pytest.raises(LLMConfigError, match="tenant"):
        LLMClient("p1", "m1", runtime=runtime_of(), tenant=tenant)


# --- tenants ----------------------------------------------------------------------------------------------------------


def test_tenants_share_neither_cache_nor_limits() -> None:
    transport = ScriptedTransport()
    runtime = runtime_of(transport=transport, limits={"max_in_flight": 1})

    async def both() -> None:
        tasks = [
            asyncio.create_task(
                AsyncLLMClient("p1", "m1", runtime=runtime, tenant=tenant).complete(ask("same"), cache=True)
            )
            for tenant in ("north", "south", "north")
        ]
        await asyncio.sleep(0)
        assert len(transport.open) == 2  # one for each; the third joined its own tenant's
        for index, exchange in enumerate(list(transport.open)):
            exchange.answer(answer(f"answer {index}"))
        north, south, again = await asyncio.gather(*tasks)
        assert (north.content, south.content, again.content) == ("answer 0", "answer 1", "answer 0")
        assert (north.cache_hit, south.cache_hit, again.cache_hit) == (False, False, True)

    asyncio.run(both())
