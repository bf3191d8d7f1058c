"""Deadlines and limits of a real runtime, while its calls are parked."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.errors import LLMTimeoutError, QueueTimeoutError
from llmcore.runtime import Runtime
from llmcore.transport import Transport
from llmcore.types import HttpRequest, HttpResponse
from support.parked import PATIENCE, is_empty, until
from support.scripted import ListSink, ScriptedProvider, ScriptedTransport, answer, ask, settings_of


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
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gave back {'requests': 0, 'tokens': 0, 'nano_usd': 0}")
