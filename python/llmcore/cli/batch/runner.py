"""Runs a batch: so many workers take one line after the other, make its call and write its result.

Nothing is read before a worker is free for it. A run ends at the end of the input, at Ctrl-C or SIGTERM, when no call
can succeed (:mod:`llmcore.cli.batch.judge`), or when a result cannot be written.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from llmcore.cli.batch.judge import Judge
from llmcore.cli.batch.lines import Job, Malformed
from llmcore.cli.batch.output import OutputFile, OutputFull
from llmcore.cli.batch.progress import Progress, Tally
from llmcore.cli.batch.results import answer_line, failure_line, malformed_line
from llmcore.cli.batch.source import Source
from llmcore.errors import LLMConfigError, LLMError
from llmcore.types import CallRecord, LLMResponse, Outcome

__all__ = ["Ending", "Runner", "Verdict"]

#: Seconds that calls under way get after the first Ctrl-C.
_GRACE = 5.0
#: Seconds that workers may go on without looking up: an answer from the cache takes no waiting.
_TURN = 0.02
#: Seconds between two looks at how the run goes.
_LOOK = 0.1


class Ending(Enum):
    """Why a run ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    #: no call can succeed
    HOPELESS = "hopeless"
    #: a result could not be written
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended; `reason` says why where that needs saying."""

    ending: Ending
    reason: str = ""


class Runner:
    """One run over one source.

    :param call: makes a call and returns its answer or raises an LLMError
    :param output: takes results
    :param failures: takes the results that have an error
    :param workers: how many calls are under way at most
    :param behind: whether new calls had better wait for something else to keep up
    """

    def __init__(
        self,
        call: Callable[[Job], Awaitable[LLMResponse]],
        source: Source,
        output: OutputFile,
        failures: OutputFile,
        tally: Tally,
        progress: Progress,
        judge: Judge,
        workers: int,
        behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self._call = call
        self._source = source
        self._items = iter(source)
        self._output = output
        self._failures = failures
        self._tally = tally
        self._progress = progress
        self._judge = judge
        self._workers = workers
        self._behind = behind
        self._stopping = False
        self._verdict: Verdict | None = None
        self._under_way = 0
        self._records: dict[str, CallRecord] = {}
        #: results that wait for the first answer: writes them
        self._held: list[bytes] = []
        self._turn_ends = 0.0
        self._turn_ending = False
        self._tasks: list[asyncio.Task[None]] = []

    def record(self, record: CallRecord) -> None:
        """Takes the facts of a call that is about to return; an observer of the client."""
        self._records[record.id] = record

    async def run(self) -> Verdict:
        """Runs to the end and says which it was. Writes nothing after it returned."""
        loop = asyncio.get_running_loop()
        self._begin_turn(loop)
        with self._signals(loop):
            self._tasks = [loop.create_task(self._work()) for _ in range(self._workers)]
            watch = loop.create_task(self._watch())
            try:
                for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
                    # What a worker cannot handle is a defect: it has stopped the others, and is shown.
                    if isinstance(outcome, Exception):
                        raise outcome
            finally:
                watch.cancel()
                for task in self._tasks:
                    task.cancel()
        if self._verdict is not None:
            return self._verdict
        if self._held:
            return Verdict(Ending.HOPELESS, self._judge.cause)
        return Verdict(Ending.COMPLETE)

    # --- workers ------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (item := await self._next()) is not None:
                if isinstance(item, Malformed):
                    self._tally.malformed += 1
                    self._write(self._failures, malformed_line(item))
                else:
                    self._under_way += 1
                    try:
                        await self._make(item)
                    finally:
                        self._under_way -= 1
                if loop.time() > self._turn_ends:
                    await self._let_others(loop)
        except OutputFull as full:
            self._stop(Verdict(Ending.FULL, str(full)), at_once=True)
        except LLMConfigError as error:
            self._stop(Verdict(Ending.HOPELESS, error.message), at_once=True)
        except Exception:
            self._stop(None, at_once=True)
            raise

    async def _let_others(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the turn of all workers, so that signals and answers are seen; the next one begins after that."""
        if not self._turn_ending:
            self._turn_ending = True
            loop.call_soon(self._begin_turn, loop)
        await asyncio.sleep(_LOOK if self._behind() else 0)

    def _begin_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn_ending = False
        self._turn_ends = loop.time() + _TURN

    async def _next(self) -> Job | Malformed | None:
        """The next line; None when there is none for this run."""
        while not self._stopping:
            if self._judge.doubtful:
                await asyncio.sleep(_LOOK)
                continue
            item = next(self._items, None)
            if isinstance(item, float):
                await asyncio.sleep(item)
                continue
            self._tally.consumed = self._source.reader.consumed
            return item
        return None

    async def _make(self, job: Job) -> None:
        tally = self._tally
        try:
            response = await self._call(job)
        except LLMConfigError:
            raise
        except Exception as raised:
            error = raised if isinstance(raised, LLMError) else _defect(raised)
            if error.outcome is Outcome.CANCELLED:
                return  # by us: nothing to write, it is made again
            record = self._records.pop(error.call_id, None) if error.call_id else None
            line = failure_line(job.custom_id, job.number, error, record)
            if self._judge.call_failed(error):
                self._held.append(line)
                return
            self._release()
            self._write(self._failures, line)
            tally.failed += 1
            if record is not None:
                self._count(record)
            return
        record = self._records.pop(response.call_id, None)
        self._judge.call_answered()
        self._release()
        self._write(self._output, answer_line(job.custom_id, response, record))
        tally.ok += 1
        if record is not None:
            self._count(record)

    def _count(self, record: CallRecord) -> None:
        tally = self._tally
        if record.usage is not None:
            tally.tokens += record.usage.total_tokens
        if record.cost is None:
            tally.unpriced += 1
        else:
            tally.cost += record.cost

    def _write(self, output: OutputFile, line: bytes) -> None:
        if self._verdict is None or self._verdict.ending is Ending.INTERRUPTED:
            output.append(line)

    def _release(self) -> None:
        """There is an answer, so what was held back are failures like others."""
        if self._held and self._judge.answered:
            held, self._held = self._held, []
            for line in held:
                self._write(self._failures, line)
                self._tally.failed += 1

    # --- ending early -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Shows how things stand, and ends a run that is hopeless."""
        loop = asyncio.get_running_loop()
        show_at = loop.time() + self._progress.first
        suspected = False
        while True:
            await asyncio.sleep(_LOOK)
            # Seen twice, so that the calls have been told of their last attempts and `cause` is known.
            hopeless = self._judge.hopeless
            if hopeless and suspected:
                self._stop(Verdict(Ending.HOPELESS, self._judge.cause), at_once=True)
            suspected = hopeless
            self._tally.retries = self._judge.failed_attempts
            if loop.time() >= show_at:
                show_at = loop.time() + self._progress.tick()

    def _stop(self, verdict: Verdict | None, *, at_once: bool) -> None:
        self._stopping = True
        self._verdict = self._verdict or verdict
        if at_once:
            current = asyncio.current_task()
            for task in self._tasks:
                if task is not current:
                    task.cancel()

    def _interrupt(self) -> None:
        """Ctrl-C or SIGTERM: no new calls, a moment for those under way, and none at the second time."""
        again = self._stopping
        self._stop(Verdict(Ending.INTERRUPTED), at_once=again or not self._under_way)
        if not again and self._under_way:
            calls = "1 call" if self._under_way == 1 else f"{self._under_way} calls"
            self._progress.say(f"Stopping: {calls} under way may take {_GRACE:.0f} s more; Ctrl-C again drops them.")
            asyncio.get_running_loop().call_later(_GRACE, lambda: self._stop(None, at_once=True))

    @contextlib.contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        caught = (signal.SIGINT, signal.SIGTERM)
        for number in caught:
            loop.add_signal_handler(number, self._interrupt)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)


def _defect(raised: Exception) -> LLMError:
    """What no call may raise costs one line, not the run."""
    return LLMError(f"llmcore met a {type(raised).__name__} inside itself; please report it with the request")
