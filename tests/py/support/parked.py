"""Whoever parks, with the least of a runtime that parking needs."""

import asyncio
import threading
from collections.abc import Callable
from typing import cast

import pytest

from llmcore import parking as module
from llmcore._core import Abort
from llmcore.call import Call, Observers
from llmcore.clock import Clock, ManualClock
from llmcore.parking import Parking
from llmcore.types import CallContext

HOUR = 3_600_000_000_000
PATIENCE = 30.0


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


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)
