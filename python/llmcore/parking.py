"""Waiting for a call's mailbox, for threads and for event loops, with one timer for all.

A parked thread waits on a lock of its own, which is released when something lands in its call's mailbox. One parked
thread holds the timer: it waits no longer than
to the engine's next deadline and then ticks for everybody; when it leaves, it hands the timer to another. Each event
loop with parked calls has one
``call_at``. Nobody polls, and nobody is woken for somebody else's message.

The clock is trusted, not the timer: whoever wakes up looks at the time again.
"""

import asyncio
import threading
from typing import Protocol

from llmcore.call import Call
from llmcore.clock import Clock

__all__ = ["Parking", "Ticker"]

_FAR = 1 << 62


class Ticker(Protocol):
    """What parking needs of the runtime whose calls are parked."""

    clock: Clock

    @property
    def lock(self) -> threading.Lock:
        """Held during every input to the engine."""

    def next_deadline(self) -> int | None:
        """When a tick is due, in monotonic nanoseconds."""

    def tick(self, not_before: int = 0) -> None:
        """Lets the engine see the time."""


class Parking:
    """The parked calls of one runtime. All methods but the two waits expect the runtime's lock to be held."""

    def __init__(self, runtime: Ticker) -> None:
        self._runtime = runtime
        self._threads: dict[int, _ThreadSpot] = {}
        self._holder: _ThreadSpot | None = None
        self._loops: dict[asyncio.AbstractEventLoop, _LoopTimer] = {}
        self._deadline = _FAR

    @property
    def occupied(self) -> bool:
        """Whether anybody waits, so that deadlines matter."""
        return bool(self._threads) or bool(self._loops)

    def deadline_is(self, deadline: int | None) -> None:
        """Tells the timers when the next tick is due; they are touched only when that moved earlier."""
        new = _FAR if deadline is None else deadline
        earlier = new < self._deadline
        self._deadline = new
        if earlier:
            if self._holder is not None:
                self._holder.nudge()
            for loop, timer in list(self._loops.items()):
                if not timer.rearm():
                    del self._loops[loop]

    # --- threads
    # ----------------------------------------------------------------------------------------------------------

    def wait(self, call: Call) -> None:
        """Blocks the calling thread until the call's mailbox has something in it."""
        runtime = self._runtime
        lock = runtime.lock
        spot = _ThreadSpot()
        try:
            with lock:
                if call.mailbox:
                    return
                call.wake = spot.nudge
                self._threads[id(spot)] = spot
                self._deadline = _or_far(runtime.next_deadline())
                if self._holder is None:
                    self._holder = spot
            while True:
                with lock:
                    if call.mailbox:
                        return
                    call.wake = spot.nudge
                    holds = self._holder is spot
                    deadline = self._deadline
                    spot.rest()
                if not holds or deadline == _FAR or not runtime.clock.runs:
                    spot.wait(None)
                else:
                    seconds = (deadline - runtime.clock.now()[0]) / 1e9
                    if seconds <= 0 or not spot.wait(seconds):
                        runtime.tick()
        finally:
            with lock:
                call.wake = None
                self._threads.pop(id(spot), None)
                if self._holder is spot:
                    self._holder = next(iter(self._threads.values()), None)
                    if self._holder is not None:
                        self._holder.nudge()

    # --- event loops
    # ------------------------------------------------------------------------------------------------------

    async def wait_async(self, call: Call) -> None:
        """Suspends the running task until the call's mailbox has something in it."""
        runtime = self._runtime
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()
        home = threading.get_ident()

        def wake() -> None:
            try:
                if threading.get_ident() == home:
                    _set(arrived)
                else:
                    loop.call_soon_threadsafe(_set, arrived)
            except RuntimeError:  # the loop was closed under its tasks: nobody waits any more
                pass

        with runtime.lock:
            if call.mailbox:
                return
            call.wake = wake
            self._deadline = _or_far(runtime.next_deadline())
            timer = self._loops.get(loop)
            if timer is None:
                timer = self._loops[loop] = _LoopTimer(self, loop, home)
            timer.parked += 1
            timer.rearm()
        try:
            await arrived
        finally:
            if loop.is_closed():
                # The collector ends a task that was abandoned, at any moment: also while this thread has the lock.
                self._loops.pop(loop, None)
            else:
                self._leave(call, loop, timer)

    def _leave(self, call: Call, loop: asyncio.AbstractEventLoop, timer: "_LoopTimer") -> None:
        with self._runtime.lock:
            call.wake = None
            timer.parked -= 1
            if timer.parked == 0:
                timer.disarm()
                self._loops.pop(loop, None)

    def due(self) -> int:
        """The deadline the timers go by."""
        return self._deadline

    def clock_runs(self) -> bool:
        """Whether timers make sense at all."""
        return bool(self._runtime.clock.runs)

    def now(self) -> int:
        """Monotonic nanoseconds."""
        return int(self._runtime.clock.now()[0])

    def tick(self, at: int) -> None:
        """A timer that was set for `at` has fired."""
        self._runtime.tick(at)


class _ThreadSpot:
    """Where one thread waits."""

    __slots__ = ("_lock", "_nudged")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._nudged = False

    def nudge(self) -> None:
        """Wakes the thread, once, until it rests again. Under the runtime's lock."""
        if not self._nudged:
            self._nudged = True
            self._lock.release()

    def rest(self) -> None:
        """Takes back a nudge that came before the thread waited. Under the runtime's lock."""
        if self._nudged:
            self._lock.acquire()
            self._nudged = False

    def wait(self, seconds: float | None) -> bool:
        """Waits for a nudge; False when `seconds` passed without one. Interrupted by signals in the main thread."""
        if seconds is None:
            got = self._lock.acquire()
        else:
            got = self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        if got:
            # Leave the lock as rest() expects it after a nudge: taken by nobody.
            self._lock.release()
        return got


class _LoopTimer:
    """The one ``call_at`` of an event loop that has parked calls."""

    __slots__ = ("_at", "_handle", "_home", "_loop", "_parking", "parked")

    def __init__(self, parking: Parking, loop: asyncio.AbstractEventLoop, home: int) -> None:
        self._parking = parking
        self._loop = loop
        self._home = home
        self._handle: asyncio.TimerHandle | None = None
        self._at = _FAR
        self.parked = 0

    def rearm(self) -> bool:
        """Sets the timer to the parking's deadline if that is earlier than what it is set to. From any thread.

        :return: False when the loop is closed
        """
        if self._parking.due() < self._at and self._parking.clock_runs():
            try:
                if threading.get_ident() == self._home:
                    self._arm()
                else:
                    self._loop.call_soon_threadsafe(self._arm)
            except RuntimeError:
                return False
        return True

    def disarm(self) -> None:
        """Stops the timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at = _FAR

    def _arm(self) -> None:
        due = self._parking.due()
        if due >= self._at or due == _FAR or not self.parked:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at = due
        delay = max((due - self._parking.now()) / 1e9, 0.0)
        self._handle = self._loop.call_later(delay, self._fire)

    def _fire(self) -> None:
        at, self._at, self._handle = self._at, _FAR, None
        # A loop's timer may fire a hair early by the loop's own resolution: what it was set for has come.
        self._parking.tick(at)
        if self.parked:
            self._arm()


def _or_far(deadline: int | None) -> int:
    return _FAR if deadline is None else deadline


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
