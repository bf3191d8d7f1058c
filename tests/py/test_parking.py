"""Waiting for a mailbox: who is woken, who holds the timer, and what happens to those who go away."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from llmcore import parking as module
from llmcore._core import Abort
from llmcore.aclient import AsyncLLMClient
from llmcore.call import Call, Observers
from llmcore.client import LLMClient
from llmcore.clock import Clock, ManualClock
from llmcore.errors import LLMTimeoutError, QueueTimeoutError
from llmcore.parking import Parking
from llmcore.runtime import Runtime
from llmcore.transport import Transport
from llmcore.types import CallContext, HttpRequest, HttpResponse
from support.scripted import (
    ListSink,
    ScriptedProvider,
    ScriptedTransport,
    answer,
    ask,
    bare_environment,
    settings_of,
)

HOUR = 3_600_000_000_000
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


class RunningClock(ManualClock):
    """Shows what the test says, but as a clock that runs: timers are set by it."""

    runs = True


class Toy:
    """The least that parking needs of a runtime. Its engine is the test."""

    def __init__(self) -> None:
        self.time = RunningClock()
        self.clock: Clock = self.time
        self.lock = threading.Lock()
        self.deadline: int | None = None
        self.ticks: list[tuple[str, int]] = []
        self.later: list[int] = []  # the deadlines that ticks bring about
        self.ticked = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.on_enter: Callable[[], None] = lambda: None
        self.parking = Parking(self)

    def next_deadline(self) -> int | None:
        self.on_enter()
        self.entered.release()
        return self.deadline

    def tick(self, not_before: int = 0) -> None:
        with self.lock:
            self.ticks.append((threading.current_thread().name, not_before))
            self.deadline = self.later.pop(0) if self.later else None
            self.parking.deadline_is(self.deadline)
        self.ticked.release()

    def deliver(self, *calls: Call) -> None:
        """One message for each, as the runtime would put it there."""
        with self.lock:
            for call in calls:
                call.mailbox.append(cast("Abort", None))  # parking looks only whether there is something
                if call.wake is not None:
                    wake, call.wake = call.wake, None
                    wake()

    def due_at(self, deadline: int | None) -> None:
        with self.lock:
            self.deadline = deadline
            self.parking.deadline_is(deadline)


def call_of() -> Call:
    return Call("default", None, CallContext(), [], [], None, False, Observers())


@pytest.fixture
def toy() -> Toy:
    return Toy()


class Taken:
    """A lock that this very thread holds already: to wait for it would be to wait for ever."""

    def __enter__(self) -> None:
        raise AssertionError("deadlock")

    def __exit__(self, *exception: object) -> None:
        """Never entered."""


class Wakeups:
    """Counts how often each thread comes back from its spot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: dict[str, int] = {}
        counts = self.of

        class Spot(module._ThreadSpot):
            def wait(self, seconds: float | None) -> bool:
                got = super().wait(seconds)
                name = threading.current_thread().name
                counts[name] = counts.get(name, 0) + 1
                return got

        monkeypatch.setattr(module, "_ThreadSpot", Spot)


class Parked:
    """Threads that wait, each for its own call. The first of them holds the timer."""

    def __init__(self, toy: Toy, count: int) -> None:
        self.calls = [call_of() for _ in range(count)]
        self.threads = []
        for index, call in enumerate(self.calls):
            thread = threading.Thread(target=toy.parking.wait, args=(call,), name=str(index), daemon=True)
            thread.start()
            assert toy.entered.acquire(timeout=PATIENCE)
            self.threads.append(thread)

    def left(self, *indices: int) -> None:
        for index in indices:
            self.threads[index].join(PATIENCE)
            assert not self.threads[index].is_alive()

    def alive(self) -> int:
        return sum(thread.is_alive() for thread in self.threads)


def is_empty(parking: Parking) -> bool:
    return not parking.occupied and parking._holder is None


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_message_that_is_there_is_not_waited_for(toy: Toy) -> None:
    call = call_of()
    toy.deliver(call)
    toy.parking.wait(call)
    assert is_empty(toy.parking)


def test_a_message_wakes_its_own_thread_and_no_other(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    wakeups = Wakeups(monkeypatch)
    parked = Parked(toy, 20)
    toy.deliver(parked.calls[7])
    parked.left(7)
    assert parked.alive() == 19
    assert wakeups.of == {"7": 1}
    toy.deliver(*parked.calls)
    parked.left(*range(20))
    assert is_empty(toy.parking)


def test_the_holder_hands_the_timer_to_one_other_thread(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    wakeups = Wakeups(monkeypatch)
    toy.deadline = HOUR
    parked = Parked(toy, 20)
    toy.time.set(HOUR - 10_000_000)  # the holder went to sleep for an hour; whoever follows it, for 10 ms
    toy.deliver(parked.calls[0])
    parked.left(0)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert toy.ticks == [("1", 0)]
    assert set(wakeups.of) <= {"0", "1"}  # the heir may have taken over before it slept
    toy.deliver(*parked.calls)
    parked.left(*range(20))
    assert is_empty(toy.parking)


def test_a_deadline_that_moves_earlier_wakes_the_holder_alone(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    wakeups = Wakeups(monkeypatch)
    toy.deadline = 2 * HOUR
    parked = Parked(toy, 10)
    toy.due_at(3 * HOUR)
    assert toy.parking._holder is not None
    assert not toy.parking._holder._nudged  # later: nobody need know
    toy.due_at(HOUR)
    toy.time.set(HOUR)
    toy.due_at(HOUR - 1)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert [name for name, _ in toy.ticks] == ["0"]
    assert set(wakeups.of) <= {"0"}
    toy.deliver(*parked.calls)
    parked.left(*range(10))


def test_a_thread_that_parked_without_a_deadline_learns_of_one(toy: Toy) -> None:
    parked = Parked(toy, 1)
    toy.later = [0, 0]
    toy.due_at(0)
    for _ in range(3):
        assert toy.ticked.acquire(timeout=PATIENCE)
    toy.deliver(*parked.calls)
    parked.left(0)


def test_a_timer_that_runs_out_ticks_without_anybodys_help(toy: Toy) -> None:
    toy.deadline = 20_000_000  # 20 ms of real time: the toy's clock shows 0 all along
    parked = Parked(toy, 3)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert toy.ticks == [("0", 0)]
    toy.deliver(*parked.calls)
    parked.left(0, 1, 2)


def test_an_interrupt_while_parking_leaves_no_ghost_with_the_timer(toy: Toy) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    toy.on_enter = interrupt
    call = call_of()
    with pytest.raises(KeyboardInterrupt):
        toy.parking.wait(call)
    assert is_empty(toy.parking)
    assert call.wake is None
    toy.on_enter = lambda: None
    toy.deadline = 0
    parked = Parked(toy, 1)  # the next one gets the timer
    assert toy.ticked.acquire(timeout=PATIENCE)
    toy.deliver(*parked.calls)
    parked.left(0)


# --- event loops ------------------------------------------------------------------------------------------------------


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)


async def parked_tasks(toy: Toy, count: int) -> tuple[list[Call], list[asyncio.Task[None]]]:
    calls = [call_of() for _ in range(count)]
    tasks = [asyncio.create_task(toy.parking.wait_async(call)) for call in calls]
    await asyncio.sleep(0)  # each runs to where it waits
    assert all(call.wake is not None for call in calls)
    return calls, tasks


def count_timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """Every timer that is set on the running loop from here."""
    loop = asyncio.get_running_loop()
    handles: list[asyncio.TimerHandle] = []
    call_later = loop.call_later

    def counted(delay: float, *arguments: Any, **more: Any) -> asyncio.TimerHandle:
        handles.append(call_later(delay, *arguments, **more))
        return handles[-1]

    monkeypatch.setattr(loop, "call_later", counted)
    return handles


async def test_a_message_wakes_its_own_task_and_no_other(toy: Toy) -> None:
    calls, tasks = await parked_tasks(toy, 20)
    toy.deliver(calls[7])
    await asyncio.wait_for(tasks[7], PATIENCE)
    assert [task.done() for task in tasks].count(True) == 1
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert is_empty(toy.parking)


async def test_a_message_from_another_thread_wakes_the_task(toy: Toy) -> None:
    calls, tasks = await parked_tasks(toy, 2)
    await asyncio.to_thread(toy.deliver, *calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert is_empty(toy.parking)


async def test_a_loop_has_one_timer_however_many_wait(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    handles = count_timers(monkeypatch)
    toy.deadline = HOUR
    calls, tasks = await parked_tasks(toy, 50)
    assert len(handles) == 1
    toy.due_at(2 * HOUR)  # later: it stays as it is
    assert len(handles) == 1
    toy.due_at(HOUR // 2)
    assert [handle.cancelled() for handle in handles] == [True, False]
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert handles[1].cancelled()


async def test_a_timer_that_fires_says_what_it_was_set_for(toy: Toy) -> None:
    """A loop's timer may be early by its resolution; the engine must see the deadline as come all the same."""
    toy.deadline = 1
    calls, tasks = await parked_tasks(toy, 3)
    await until(lambda: bool(toy.ticks))
    assert [at for _, at in toy.ticks] == [1]
    assert toy.clock.now()[0] == 0
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


async def test_a_timer_that_fired_is_set_for_the_next_deadline(toy: Toy) -> None:
    toy.deadline, toy.later = 1, [2, 3]
    calls, tasks = await parked_tasks(toy, 2)
    await until(lambda: len(toy.ticks) == 3)
    assert [at for _, at in toy.ticks] == [1, 2, 3]
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


async def test_a_deadline_moved_by_another_thread_rearms_the_timer(toy: Toy) -> None:
    toy.deadline = HOUR
    calls, tasks = await parked_tasks(toy, 3)
    await asyncio.to_thread(toy.due_at, 5)
    await until(lambda: bool(toy.ticks))
    assert [at for _, at in toy.ticks] == [5]
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


async def test_a_cancelled_task_leaves_nothing_behind(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    handles = count_timers(monkeypatch)
    toy.deadline = HOUR
    calls, tasks = await parked_tasks(toy, 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert is_empty(toy.parking)
    assert handles[0].cancelled()
    toy.deliver(*calls)  # nobody is there: nothing happens


async def test_threads_and_tasks_wait_side_by_side(toy: Toy) -> None:
    calls, tasks = await parked_tasks(toy, 2)
    for _ in calls:
        assert toy.entered.acquire(timeout=PATIENCE)
    parked = Parked(toy, 2)
    toy.deliver(*parked.calls)
    await asyncio.to_thread(parked.left, 0, 1)
    toy.due_at(0)  # the threads are gone, and with them their timer: the loop has its own
    await until(lambda: bool(toy.ticks))
    assert toy.ticks[0][0] == threading.current_thread().name
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


def test_a_loop_that_was_closed_under_its_tasks_harms_nobody_else(toy: Toy) -> None:
    loop = asyncio.new_event_loop()
    call = call_of()
    task = loop.create_task(toy.parking.wait_async(call))
    loop.run_until_complete(asyncio.sleep(0))
    assert call.wake is not None
    loop.close()
    parked = Parked(toy, 1)
    other = threading.Thread(target=toy.due_at, args=(0,))
    other.start()
    other.join(PATIENCE)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert toy.ticks[0] == ("0", 0)
    toy.deliver(call, *parked.calls)
    parked.left(0)
    cast("Any", task)._log_destroy_pending = False  # its complaint is what this test is about
    toy.lock = cast("threading.Lock", Taken())  # whoever collects the task may have it
    waiting = task.get_coro()
    assert waiting is not None
    waiting.close()
    assert is_empty(toy.parking)


# --- a real runtime ---------------------------------------------------------------------------------------------------


def runtime_with(transport: Transport, **settings: Any) -> Runtime:
    runtime = Runtime(settings_of(**settings), tracker=ListSink(), transport=transport)
    runtime.adopt(ScriptedProvider("p1"))
    return runtime


def at_rest(runtime: Runtime) -> bool:
    stats = runtime.stats()
    nothing = {"requests": 0, "tokens": 0, "nano_usd": 0}
    return (stats["in_flight"], stats["queued"], stats["reserved"]) == (0, 0, nothing)


def occupied(runtime: Runtime, transport: ScriptedTransport) -> threading.Thread:
    """A call that has the only slot."""
    client = LLMClient("p1", "m1", runtime=runtime)
    thread = threading.Thread(target=lambda: client.complete(ask("first")), daemon=True)
    thread.start()
    while not transport.open:
        threading.Event().wait(0.001)
    return thread


def test_a_deadline_passes_in_a_thread_though_nothing_else_happens() -> None:
    transport = ScriptedTransport()
    runtime = runtime_with(transport, limits={"max_in_flight": 1})
    first = occupied(runtime, transport)
    with pytest.raises(QueueTimeoutError):
        LLMClient("p1", "m1", runtime=runtime).complete(ask("second"), deadline=0.05)
    transport.open[0].answer(answer())
    first.join(PATIENCE)
    assert at_rest(runtime)
    runtime.close()


def test_a_deadline_shorter_than_the_holders_passes_in_time() -> None:
    transport = ScriptedTransport()
    runtime = runtime_with(transport, limits={"max_in_flight": 1})
    threads = [occupied(runtime, transport)]
    client = LLMClient("p1", "m1", runtime=runtime)
    threads.append(threading.Thread(target=lambda: client.complete(ask("patient")), daemon=True))
    threads[1].start()
    while not runtime.parking.occupied:
        threading.Event().wait(0.001)
    with pytest.raises(QueueTimeoutError):
        client.complete(ask("hasty"), deadline=0.05)
    transport.open[0].answer(answer())
    threads[0].join(PATIENCE)
    while not transport.open:
        threading.Event().wait(0.001)
    transport.open[0].answer(answer())
    threads[1].join(PATIENCE)
    assert at_rest(runtime)
    runtime.close()


async def test_a_deadline_passes_in_a_task_though_nothing_else_happens() -> None:
    transport = ScriptedTransport()
    runtime = runtime_with(transport, limits={"max_in_flight": 1})
    first = occupied(runtime, transport)
    with pytest.raises(QueueTimeoutError):
        await AsyncLLMClient("p1", "m1", runtime=runtime).complete(ask("second"), deadline=0.05)
    transport.open[0].answer(answer())
    await asyncio.to_thread(first.join, PATIENCE)
    assert at_rest(runtime)
    await runtime.aclose()


async def test_a_follower_times_out_while_its_leader_goes_on() -> None:
    transport = ScriptedTransport()
    runtime = runtime_with(transport)
    client = AsyncLLMClient("p1", "m1", runtime=runtime)
    leader = asyncio.create_task(client.complete(ask("same"), cache=True))
    await until(lambda: bool(transport.open))
    with pytest.raises(LLMTimeoutError):
        await client.complete(ask("same"), cache=True, deadline=0.05)
    transport.open[0].answer(answer("there"))
    assert (await leader).content == "there"
    await runtime.aclose()


class CountingTransport(Transport):
    """Answers, and counts how many are being answered. None is answered before `full` were open at once."""

    def __init__(self, full: int) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.full = full
        self.reached = threading.Event()
        self.now = 0
        self.peak = 0
        self.sent = 0

    def _begin(self) -> None:
        with self.lock:
            self.sent += 1
            self.now += 1
            self.peak = max(self.peak, self.now)
            if self.now == self.full:
                self.reached.set()

    def _end(self) -> HttpResponse:
        with self.lock:
            self.now -= 1
        return answer()

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        self._begin()
        assert self.reached.wait(PATIENCE)
        return self._end()

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - the interface
        self._begin()
        assert await asyncio.to_thread(self.reached.wait, PATIENCE)
        return self._end()

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""


def test_two_loops_and_many_threads_share_one_limit() -> None:
    transport = CountingTransport(full=4)
    runtime = runtime_with(transport, limits={"max_in_flight": 4})
    wrong: list[BaseException] = []

    def told(run: Callable[[], object]) -> None:
        try:
            run()
        except BaseException as error:
            wrong.append(error)

    def in_a_thread() -> None:
        client = LLMClient("p1", "m1", runtime=runtime)
        for index in range(25):
            client.complete(ask(f"{threading.current_thread().name} {index}"))

    async def in_a_loop() -> None:
        client = AsyncLLMClient("p1", "m1", runtime=runtime)
        calls: list[Awaitable[object]] = [client.complete(ask(f"task {index}")) for index in range(100)]
        await asyncio.gather(*calls)

    threads = [threading.Thread(target=told, args=(in_a_thread,)) for _ in range(8)]
    threads += [threading.Thread(target=told, args=(lambda: asyncio.run(in_a_loop()),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert transport.sent == 8 * 25 + 2 * 100
    assert transport.peak == 4
    assert at_rest(runtime)
    assert runtime.check() == ""
    assert is_empty(runtime.parking)
    runtime.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_parked_call_at_once_and_gives_everything_back(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, signal, sys, threading, time
            from llmcore.client import LLMClient
            from llmcore.runtime import Runtime
            from support.scripted import ListSink, ScriptedProvider, ScriptedTransport, answer, ask, settings_of

            transport = ScriptedTransport()
            sink = ListSink()
            runtime = Runtime(settings_of(limits={"max_in_flight": 1}), tracker=sink, transport=transport)
            runtime.adopt(ScriptedProvider("p1"))
            client = LLMClient("p1", "m1", runtime=runtime)
            threading.Thread(target=client.complete, args=(ask("first"),), daemon=True).start()
            while not transport.open:
                time.sleep(0.001)

            def press() -> None:
                while runtime.stats()["queued"] == 0 or not runtime.parking.occupied:
                    time.sleep(0.001)
                pressed.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

            pressed = []
            threading.Thread(target=press, daemon=True).start()
            try:
                client.complete(ask("second"))
            except KeyboardInterrupt:
                took = time.monotonic() - pressed[0]
            stats = runtime.stats()
            assert took < 5, took
            assert (stats["queued"], stats["in_flight"], runtime.parking.occupied) == (0, 1, False), stats
            assert [record.status.value for record in sink.records] == ["cancelled"]
            transport.open[0].answer(answer())
            while runtime.stats()["in_flight"]:
                time.sleep(0.001)
            print("gave back", runtime.stats()["reserved"], runtime.check())
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), "PATH": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gave back {'requests': 0, 'tokens': 0, 'nano_usd': 0}")
