"""The time that drivers hand to the engine. Injected, so that tests step it by hand."""

from typing import Protocol

from llmcore._core import now as system_now

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """A source of time."""

    #: whether time passes by itself: parked calls then wait for it, otherwise for somebody to call Runtime.tick()
    runs: bool

    def now(self) -> tuple[int, int]:
        """(monotonic nanoseconds, wall nanoseconds since the Unix epoch)"""


class SystemClock:
    """The system's clocks."""

    runs = True

    now = staticmethod(system_now)


class ManualClock:
    """A clock that stands until it is told the time.

    :param wall: the wall time at monotonic 0, in nanoseconds since the Unix epoch
    """

    runs = False

    def __init__(self, wall: int = 1_700_000_000_000_000_000) -> None:
        self._mono = 0
        self._wall = wall

    def now(self) -> tuple[int, int]:
        return self._mono, self._wall + self._mono

    def set(self, mono: int) -> None:
        """Moves to `mono` nanoseconds after the start. Call the runtime's tick() afterwards."""
        self._mono = mono
