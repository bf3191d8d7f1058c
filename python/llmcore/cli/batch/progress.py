"""What a running batch shows: a bar on a terminal, a plain line now and then elsewhere. Always on standard error."""

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from llmcore.cli.text import clock, compact, dollars, say

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Progress", "Tally"]

#: Seconds between two looks at the numbers, on a terminal and elsewhere.
_BAR_EVERY = 0.125
_LINE_EVERY = 10.0
#: Seconds over which the rate is taken.
_WINDOW = 15.0


@dataclass(slots=True)
class Tally:
    """Where a run is. Plain numbers that the runner keeps and anyone may read."""

    #: of this run: answered, not answered, malformed
    ok: int = 0
    failed: int = 0
    malformed: int = 0
    #: finished by an earlier run
    passed: int = 0
    tokens: int = 0
    cost: int = 0
    #: calls whose cost is not known
    unpriced: int = 0
    #: attempts that failed; most are made again
    retries: int = 0
    #: bytes of the input that were read, and all of them where that is known
    consumed: int = 0
    size: int | None = None

    @property
    def done(self) -> int:
        """Results of this run."""
        return self.ok + self.failed + self.malformed


class Progress:
    """Shows a tally; ``tick`` returns after how many seconds it wants to be called again.

    :param stream: where to write; a bar if it is a terminal
    :param monotonic: seconds that never go back
    """

    def __init__(
        self,
        tally: Tally,
        label: str,
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = tally
        self._stream = sys.stderr if stream is None else stream
        self._monotonic = monotonic
        self._samples: deque[tuple[float, int, int]] = deque()
        self._sample()
        self._terminal = self._stream.isatty()
        self._bar: Bar | None = _bar(self._stream, label) if self._terminal else None

    def tick(self) -> float:
        """Shows how things stand."""
        self._sample()
        if self._bar is not None:
            tally = self._tally
            self._bar.update(self._bar.task_ids[0], total=tally.size, completed=tally.consumed, status=self.status())
            self._bar.refresh()
            return _BAR_EVERY
        self.say(self.status())
        return _LINE_EVERY

    @property
    def first(self) -> float:
        """Seconds until the first tick."""
        return _BAR_EVERY if self._bar is not None else _LINE_EVERY

    def say(self, text: str) -> None:
        """Writes a line of its own, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(text, self._stream)

    def close(self) -> None:
        """Shows the last state and gives the terminal back."""
        if self._bar is not None:
            self.tick()
            self._bar.stop()
            self._bar = None

    def status(self) -> str:
        """The numbers as one line."""
        tally = self._tally
        parts = [f"{tally.done:,} done"]
        if tally.failed or tally.malformed:
            parts.append(f"{tally.failed + tally.malformed:,} failed")
        if tally.retries:
            parts.append(f"{tally.retries:,} attempts failed")
        rate, bytes_per_second = self._rates()
        parts.append(f"{rate:,.1f}/s" if rate >= 1 or not rate else f"{rate * 60:.1f}/min")
        parts.append(f"{compact(tally.tokens)} tokens")
        cost = dollars(tally.cost)
        parts.append(f"{cost} + {tally.unpriced:,} of unknown price" if tally.unpriced else cost)
        if tally.size:
            if not self._terminal:
                parts.append(f"{tally.consumed / tally.size:.0%}")
            if bytes_per_second > 0:
                parts.append(f"ETA {clock((tally.size - tally.consumed) / bytes_per_second)}")
        return ", ".join(parts)

    def _sample(self) -> None:
        now = self._monotonic()
        self._samples.append((now, self._tally.done, self._tally.consumed))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW:
            self._samples.popleft()

    def _rates(self) -> tuple[float, float]:
        """Results and bytes of input per second, lately."""
        (then, done, consumed), (now, done_now, consumed_now) = self._samples[0], self._samples[-1]
        elapsed = now - then
        return ((done_now - done) / elapsed, (consumed_now - consumed) / elapsed) if elapsed > 0 else (0.0, 0.0)


def _bar(stream: TextIO, label: str) -> "Bar":
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.fields[status]}", markup=False),
        console=Console(file=stream),
        auto_refresh=False,
    )
    bar.add_task(escape(label), total=None, status="")
    bar.start()
    return bar
