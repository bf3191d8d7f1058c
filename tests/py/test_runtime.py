"""What a runtime shares and what it keeps apart: clients, tenants, processes, observers, context, and its end."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llmcore
from llmcore._core import AlertRecord
from llmcore.aclient import AsyncLLMClient
from llmcore.call_context import current_context
from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.config import Settings
from llmcore.errors import BudgetExceededError, LLMCancelledError, LLMConfigError, LLMError, LLMValidationError
from llmcore.prepare import most_output
from llmcore.providers.offline import OfflineProvider
from llmcore.runtime import NoLedger, Runtime
from llmcore.transport import Transport
from llmcore.types import CallRecord, HttpRequest, HttpResponse, LLMRequest, LLMResponse, Money, Outcome, Texts, Usage
from support.scripted import (
    ListSink,
    ScriptedProvider,
    ScriptedTransport,
    answer,
    ask,
    bare_environment,
    failure,
    settings_of,
)

PATIENCE = 30.0
NOTHING = {"requests": 0, "tokens": 0, "nano_usd": 0}
PRICE = {"p1/m1": {"input": 1, "output": 2}}


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    bare_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("LLMCORE_DATABASE_URL", "none")
    monkeypatch.setattr(Runtime, "_default", None)
    yield
    if Runtime._default is not None:
        Runtime._default.close()


class EchoTransport(Transport):
    """Answers at once, with what it was asked or with the next of `script`."""

    def __init__(self, *script: HttpResponse) -> None:
        super().__init__()
        self.script = list(script)
        self.requests: list[HttpRequest] = []
        self.closed = 0

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        self.requests.append(request)
        return self.script.pop(0) if self.script else answer("echo", 10, 5)

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - the interface
        return self.send(request, timeout)

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def runtime_of(*script: HttpResponse, transport: Transport | None = None, **settings: Any) -> Runtime:
    runtime = Runtime(
        settings_of(**settings),
        tracker=ListSink(),
        transport=transport or EchoTransport(*script),
        clock=ManualClock(),
    )
    runtime.adopt(ScriptedProvider("p1"))
    return runtime


def records_of(runtime: Runtime) -> list[CallRecord]:
    assert isinstance(runtime.sink, ListSink)
    return runtime.sink.records


def until(true: Any) -> None:
    """Waits for another thread. What it waits for is sure to come, or the test hangs and fails."""
    for _ in range(int(PATIENCE * 1000)):
        if true():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came")


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


# --- the end ----------------------------------------------------------------------------------------------------------


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


# --- forks ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_working_engine_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, threading
            from llmcore.client import LLMClient
            from llmcore.runtime import Runtime
            from support.scripted import ListSink, ScriptedProvider, ScriptedTransport, answer, ask, settings_of

            class Gate(ScriptedTransport):
                def send(self, request, timeout):
                    return super().send(request, timeout) if b"held" in request.body else answer("echo")

            transport = Gate()
            sink = ListSink()
            runtime = Runtime(settings_of(limits={"max_in_flight": 2}), tracker=sink, transport=transport)
            runtime.adopt(ScriptedProvider("p1"))
            client = LLMClient("p1", "m1", runtime=runtime)
            held = threading.Thread(target=client.complete, args=(ask("held"),))
            held.start()
            while not transport.open:
                pass
            locked, release = threading.Event(), threading.Event()

            def hold():
                with runtime.lock, Runtime._default_lock:
                    locked.set()
                    release.wait()

            holder = threading.Thread(target=hold)
            holder.start()
            locked.wait()
            seed = runtime._config.seed
            child = os.fork()
            if child == 0:
                assert (runtime.stats()["submitted"], runtime.stats()["in_flight"]) == (0, 0)
                assert not runtime.parking.occupied
                for text in ("one", "two", "three"):
                    assert client.complete(ask(text)).content == "echo"
                assert runtime.stats()["submitted"] == 3 and runtime.check() == ""
                assert runtime._config.seed != seed, "workers must not back off in step"
                assert Runtime.default() is not None
                os._exit(0)
            _, status = os.waitpid(child, 0)
            release.set()
            holder.join()
            assert client.complete(ask("parent")).content == "echo"
            transport.open[0].answer(answer())
            held.join()
            assert runtime.stats()["submitted"] == 2 and runtime.check() == ""
            assert len(sink.records) == 2
            print("child", os.waitstatus_to_exitcode(status), runtime.stats()["reserved"])
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), "PATH": "", "LLMCORE_DATABASE_URL": "none"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"child 0 {NOTHING}\n"


# --- observers --------------------------------------------------------------------------------------------------------


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


# --- context ----------------------------------------------------------------------------------------------------------


def test_calls_inherit_the_context_they_are_made_in() -> None:
    runtime = runtime_of()
    client = LLMClient("p1", "m1", runtime=runtime)
    with llmcore.context(user_id="alice", tags=("a",)):
        with llmcore.context(game_id=7, tags=["b"], metadata={"k": 1}):
            client.complete(ask("inner"), user_id="bob", hand_number=3)
        client.complete(ask("outer"))
    client.complete(ask("outside"))
    inner, outer, outside = (record.context for record in records_of(runtime))
    assert (inner.user_id, inner.game_id, inner.hand_number) == ("bob", "7", 3)
    assert (inner.tags, inner.metadata) == (("a", "b"), {"k": 1})
    assert (outer.user_id, outer.game_id, outer.tags) == ("alice", None, ("a",))
    assert (outside.user_id, outside.tags) == (None, ())


async def test_tasks_inherit_the_context_they_were_made_in_and_threads_do_not() -> None:
    with llmcore.context(user_id="alice"):
        task = asyncio.create_task(asyncio.to_thread(current_context))
        found: list[str | None] = []
        thread = threading.Thread(target=lambda: found.append(current_context().user_id))
        thread.start()
        thread.join(PATIENCE)
    assert (await task).user_id == "alice"
    if sys.version_info < (3, 14):  # from then on a thread may inherit, as the interpreter is configured
        assert found == [None]
    assert current_context().user_id is None


def test_no_public_name_is_hidden_by_a_module_of_that_name() -> None:
    """Importing llmcore.context would put the module in the place of the function."""
    folder = Path(llmcore.__path__[0])
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert names & set(llmcore.__all__) == set()


def test_an_unknown_context_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LLMValidationError, match=r"'gameid' is no context field.*game_id"), llmcore.context(gameid=1):
        raise AssertionError("entered")


def test_what_is_no_context_goes_to_the_provider() -> None:
    class Sent(ScriptedProvider):
        params: dict[str, Any]

        def encode(self, request: Any) -> HttpRequest:
            self.params = request.params
            return super().encode(request)

    runtime = Runtime(settings_of(), tracker=ListSink(), transport=EchoTransport(), clock=ManualClock())
    provider = Sent("p1")
    LLMClient(provider, "m1", runtime=runtime).complete(ask("hello"), user_id="alice", top_p=0.5)
    assert provider.params == {"top_p": 0.5}
    assert records_of(runtime)[0].context.user_id == "alice"


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"messages": []}, "non-empty list"),
        ({"messages": "hello"}, "non-empty list"),
        ({"messages": [{"content": "hello"}]}, r"messages\[0\]"),
        ({"messages": [{"role": "user", "content": "a"}, "b"]}, r"messages\[1\]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"deadline": 0}, "deadline"),
        ({"deadline": float("nan")}, "deadline"),
        ({"deadline": float("inf")}, "deadline"),
        ({"temperature": float("inf")}, "temperature"),
        ({"tags": "one"}, "tags"),
        ({"hand_number": "3"}, "hand_number"),
        ({"priority": "high"}, r"priority is Priority\.HIGH, MEDIUM or LOW, not 'high'"),
        ({"call_type": 5}, "call_type is a string, not 5"),
        ({"call_type": "\ud800"}, "call_type holds half of a surrogate pair"),
        ({"user_id": "\ud800"}, "user holds half of a surrogate pair"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_happens(arguments: dict[str, Any], complaint: str) -> None:
    runtime = runtime_of(budgets=[{"scope": "user=*", "limit_usd": 1}], prices=PRICE)
    client = LLMClient("p1", "m1", runtime=runtime)
    with pytest.raises(LLMValidationError, match=complaint):
        client.complete(**{"messages": ask("hello"), **arguments})
    assert runtime.stats()["submitted"] == 0
    assert records_of(runtime) == []


# --- offline ----------------------------------------------------------------------------------------------------------


def test_the_offline_notice_is_said_once_and_only_when_nobody_chose(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmcore.prepare._said_offline", threading.Event())
    LLMClient("offline")
    LLMClient(settings=Settings(provider="offline")).close()
    assert capsys.readouterr().err == ""
    LLMClient()
    AsyncLLMClient()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("llmcore: no provider is configured") == 1
    assert "OPENAI_API_KEY" in said.err


def test_an_offline_answer_is_the_same_every_time_and_free() -> None:
    runtime = runtime_of(prices=PRICE)
    client = LLMClient("offline", runtime=runtime)
    first = client.complete(ask("hello"), call_type="summarization")
    second = client.complete(ask("hello"), call_type="summarization")
    assert first.content == second.content != ""
    assert (first.cost, first.fallback_used) == (Money(0), False)


# --- what a call will cost --------------------------------------------------------------------------------------------


def test_an_estimate_prices_the_expected_and_the_worst_case_without_a_call() -> None:
    runtime = runtime_of(prices=PRICE)
    client = LLMClient("p1", "m1", runtime=runtime)
    estimate = client.estimate_cost([{"role": "user", "content": "x" * 4000}], max_tokens=500)
    assert (estimate.provider, estimate.model, estimate.max_output_tokens) == ("p1", "m1", 500)
    assert estimate.input_tokens == 3 + 4 + 4000 * 190 // 1000
    assert estimate.expected is not None
    assert estimate.worst_case is not None
    assert estimate.expected == Money(estimate.input_tokens * 1000 + 500 * 2000)
    assert estimate.worst_case > estimate.expected
    assert estimate.price_source == "config"
    assert runtime.stats()["submitted"] == 0


def test_an_estimate_of_an_unknown_model_has_tokens_and_no_price() -> None:
    estimate = LLMClient("p1", "m1", runtime=runtime_of(prices=PRICE)).estimate_cost(ask("hello"), model="m9")
    assert (estimate.model, estimate.expected, estimate.worst_case, estimate.price_source) == ("m9", None, None, None)
    assert estimate.input_tokens > 0
    assert estimate.max_output_tokens == 2800


def test_an_estimate_needs_no_key() -> None:
    runtime = Runtime(settings_of(), tracker=ListSink(), transport=EchoTransport())
    estimate = LLMClient("openai", "gpt-4o-mini", runtime=runtime).estimate_cost(ask("hello"))
    assert estimate.expected is not None
    assert estimate.expected.nano_usd > 0


@pytest.mark.parametrize(
    ("params", "most"),
    [
        ({"n": 3}, 300),
        ({"n": 3, "max_completion_tokens": 50}, 150),
        ({"n": 0, "max_completion_tokens": -5}, 100),
        ({"n": True, "max_completion_tokens": "many"}, 100),
        ({"n": 10**30}, 1 << 40),
    ],
)
def test_the_worst_case_is_every_answer_at_its_limit(params: dict[str, Any], most: int) -> None:
    assert most_output(LLMRequest("m1", ask("hello"), max_tokens=100, params=params)) == most


def test_a_budget_sets_aside_every_answer_that_is_asked_for() -> None:
    runtime = runtime_of(budgets=[{"limit_usd": 0.0007}], prices=PRICE)  # 300 output tokens and a short prompt
    client = LLMClient("p1", "m1", runtime=runtime)
    with pytest.raises(BudgetExceededError):
        client.complete(ask("hello"), max_tokens=100, n=4)
    assert client.complete(ask("hello"), max_tokens=100, n=3).content == "echo"


# --- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_are_zero_at_rest_and_say_what_is_held_while_busy() -> None:
    transport = ScriptedTransport()
    runtime = runtime_of(transport=transport, budgets=[{"limit_usd": 1}], prices=PRICE)
    client = AsyncLLMClient("p1", "m1", runtime=runtime)

    async def look() -> None:
        task = asyncio.create_task(client.complete(ask("hello"), max_tokens=100))
        await asyncio.sleep(0)
        held = client.stats()
        assert (held["in_flight"], held["reserved"]["requests"]) == (1, 1)
        assert held["reserved"]["tokens"] > 100
        assert held["reserved"]["nano_usd"] > 100 * 2000
        transport.open[0].answer(failure(Outcome.BAD_REQUEST))
        with pytest.raises(LLMError):
            await task

    asyncio.run(look())
    rest = runtime.stats()
    assert (rest["in_flight"], rest["queued"], rest["reserved"]) == (0, 0, NOTHING)


def test_the_offline_provider_is_asked_anew_for_another_kind_of_call() -> None:
    runtime = Runtime(settings_of(provider="offline"), tracker=ListSink())
    client = LLMClient("offline", runtime=runtime)
    kinds = ("player_decision", "summarization", "player_decision")
    answers = [client.complete(ask("What now?"), cache=True, call_type=kind) for kind in kinds]
    assert [answer.cache_hit for answer in answers] == [False, False, True]
    assert answers[0].content == answers[2].content != answers[1].content
    runtime.close()


def test_a_body_that_is_not_strictly_json_is_shown_all_the_same() -> None:
    body = b'\xef\xbb\xbf{"logprob": NaN, "text": "caf\xe9"}'
    shown = LLMResponse("", "m", "p", Usage(), None, "id", body=body).raw_response
    assert shown["text"] == "caf\ufffd"
    assert shown["logprob"] != shown["logprob"]


def test_a_call_made_while_another_is_answered_is_its_child() -> None:
    sink = ListSink()
    runtime = Runtime(settings_of(provider="offline"), tracker=sink)

    class Asking(OfflineProvider):
        """Asks another provider before it answers."""

        name = "asking"

        def answer(self, request: LLMRequest, call_type: str | None) -> bytes:
            LLMClient("offline", runtime=runtime).complete(ask("And you?"))
            return super().answer(request, call_type)

    with llmcore.context(trace_id="t1"):
        LLMClient(Asking(), "m", runtime=runtime).complete(ask("What now?"))
        LLMClient("offline", runtime=runtime).complete(ask("Next."))
    child, parent, other = sink.records
    assert child.context.parent_call_id == parent.id
    assert parent.context.parent_call_id is None
    assert other.context.parent_call_id is None
    assert {record.context.trace_id for record in sink.records} == {"t1"}
    runtime.close()
