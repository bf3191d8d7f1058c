"""``llmcore batch``: opens what a run needs, runs it, reports, and says how to go on."""

import asyncio
import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from llmcore.cli.batch.judge import Judge, ListeningTransport
from llmcore.cli.batch.lines import Job, LineReader
from llmcore.cli.batch.options import Options, settings_for, workers_for
from llmcore.cli.batch.output import OutputError, OutputFile, TakenUp, peek
from llmcore.cli.batch.progress import Progress, Tally
from llmcore.cli.batch.runner import Ending, Runner, Verdict
from llmcore.cli.batch.seen import SeenIds
from llmcore.cli.batch.source import Source
from llmcore.cli.text import command, say, show
from llmcore.errors import LLMConfigError

if TYPE_CHECKING:
    from llmcore.aclient import AsyncLLMClient
    from llmcore.config import Settings
    from llmcore.ledger.report import ReportBuilder
    from llmcore.ledger.tracker import UsageTracker
    from llmcore.types import CallRecord, LLMResponse

__all__ = ["run_batch"]

#: Calls that may wait for the ledger's database.
_MOST_PENDING = 20_000

_OK, _SOME_FAILED, _UNUSABLE, _INTERRUPTED = 0, 1, 2, 130


def run_batch(options: Options) -> int:
    """Runs ``llmcore batch`` and returns its exit code.

    :raises LLMError: something that is needed is missing or wrong
    """
    try:
        settings = settings_for(options)
        with ExitStack() as stack:
            source_file = _open_input(options.source)
            stack.callback(os.close, source_file)
            seen = stack.enter_context(SeenIds())
            if options.dry_run:
                return _dry_run(options, settings, source_file, seen)
            return _run(options, settings, source_file, *_open_outputs(options, stack, source_file, seen), seen)
    except OutputError as error:
        raise LLMConfigError(str(error)) from None
    except sqlite3.Error as error:
        raise LLMConfigError(
            f"the ids of the requests cannot be kept in a temporary file ({error}); "
            "make room, or name a folder that has it in SQLITE_TMPDIR"
        ) from None


def _open_outputs(options: Options, stack: ExitStack, source_file: int, seen: SeenIds) -> tuple[OutputFile, OutputFile]:
    """The files for answers and for errors, taken up."""
    if options.output is None:
        raise LLMConfigError("the file for the results is missing; name it with -o OUT.jsonl")
    if options.output == Path("-"):
        raise LLMConfigError("results are not mixed with the report on standard output; name a file with -o OUT.jsonl")
    stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _as_interrupt))
    source = os.fstat(source_file)
    for path in (options.output, options.failed):
        if (
            path is not None
            and path.exists()
            and stat.S_ISREG(source.st_mode)
            and os.path.samestat(path.stat(), source)
        ):
            raise LLMConfigError(f"{path} is the input itself; name another file for the results")
    output = stack.enter_context(OutputFile(options.output))
    failures = output
    if options.failed is not None and not (options.failed.exists() and output.is_same(options.failed.stat())):
        failures = stack.enter_context(OutputFile(options.failed))
    for file in (output,) if failures is output else (output, failures):
        _say_taken_up(file, file.take_up(seen))
    return output, failures


def _open_input(name: str) -> int:
    """Opens the input for reading; "-" is standard input.

    :raises LLMConfigError: it cannot be read
    """
    if name == "-":
        return os.dup(0)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise IsADirectoryError(0, "it is a folder")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LLMConfigError(
            f"{name} cannot be read ({reason}); name a file of requests, or - for standard input"
        ) from None
    return descriptor


def _say_taken_up(file: OutputFile, found: TakenUp) -> None:
    parts = []
    if found.ok or found.failed:
        for_good = f" ({found.failed:,} of them failed for good)" if found.failed else ""
        parts.append(f"{found.ok + found.failed:,} finished requests{for_good} are not made again")
    if found.dropped:
        parts.append(f"{found.dropped:,} errors are dropped and their requests looked at again")
    if found.torn:
        parts.append(f"{found.torn:,} bytes of incomplete lines were moved to {found.aside}")
    if parts:
        say(f"{file.path}: {', '.join(parts)}.")


def _dry_run(options: Options, settings: "Settings", source_file: int, seen: SeenIds) -> int:
    from llmcore.cli.batch.estimate import Estimator, render
    from llmcore.runtime import NoLedger, Runtime

    for path in (options.output, options.failed):
        if path is not None:
            peek(path, seen)
    runtime = Runtime(settings, tracker=NoLedger())
    source = Source(LineReader(source_file), seen, model=options.model, default_model=_default_model(settings))
    found = Estimator(runtime, settings.provider, settings.cache.enabled).read(source)
    show(render(found, settings.provider))
    return _SOME_FAILED if found.malformed else _OK


def _run(
    options: Options, settings: "Settings", source_file: int, output: OutputFile, failures: OutputFile, seen: SeenIds
) -> int:
    from llmcore.cli.report import render, render_json
    from llmcore.ledger.report import ReportBuilder

    tracker = _tracker(settings)
    report = ReportBuilder()
    reader = LineReader(source_file)
    source = Source(reader, seen, model=options.model, default_model=_default_model(settings))
    tally = Tally(size=reader.size)
    try:
        verdict = asyncio.run(_run_all(options, settings, source, output, failures, tally, tracker, report))
    finally:
        if tracker is not None:
            tracker.close()
        for file in (output, failures):
            file.sync()
    found = report.build()
    unseen = None
    if found.total.calls or options.json:
        try:
            show(render_json(found) if options.json else render(found))
        except LLMConfigError as error:
            unseen = error.message
    if tracker is not None:
        _say_unrecorded(tracker)
    code = _conclude(options, verdict, tally, source)
    if unseen is None:
        return code
    say(f"The results are complete, but {unseen}.")
    return code or _SOME_FAILED


async def _run_all(
    options: Options,
    settings: "Settings",
    source: Source,
    output: OutputFile,
    failures: OutputFile,
    tally: Tally,
    tracker: "UsageTracker | None",
    report: "ReportBuilder",
) -> Verdict:
    """Runs the batch in the running loop, and closes what belongs to the loop."""
    from llmcore.aclient import AsyncLLMClient
    from llmcore.runtime import NoLedger, Runtime
    from llmcore.transport import create_transport

    workers = workers_for(options, settings)
    judge = Judge(row=max(100, 2 * workers))

    def record(facts: "CallRecord") -> None:
        report.add(facts)
        runner.record(facts)

    def behind() -> bool:
        """Whether the ledger is being written more slowly than calls are made. One that fails holds nothing up."""
        if tracker is None:
            return False
        stats = tracker.stats()
        return stats.pending > _MOST_PENDING and stats.last_error is None

    runtime = Runtime(
        settings,
        tracker=NoLedger() if tracker is None else tracker,
        transport=ListeningTransport(create_transport(), judge),
        observer=judge.see,
    )
    try:
        client = AsyncLLMClient(
            settings.provider,
            _default_model(settings) or "-",
            runtime=runtime,
            fallbacks=options.fallbacks,
            on_record=record,
        )
        progress = Progress(tally, Path(options.source).name)
        runner = Runner(_caller(client, options), source, output, failures, tally, progress, judge, workers, behind)
        try:
            return await runner.run()
        finally:
            progress.close()
    finally:
        await runtime.aclose()


def _tracker(settings: "Settings") -> "UsageTracker | None":
    """The ledger, opened; None if there is to be none.

    :raises LedgerError: it cannot be used
    """
    from llmcore.runtime import ledger_of

    tracker = ledger_of(settings)
    if tracker is not None:
        tracker.check()
    return tracker


def _say_unrecorded(tracker: "UsageTracker") -> None:
    stats = tracker.stats()
    missing = stats.pending + stats.dropped + stats.rejected
    if missing:
        why = f": {stats.last_error}" if stats.last_error else ""
        say(f"{missing:,} calls are not in the ledger {tracker.location}{why}. Their results are complete.")


def _conclude(options: Options, verdict: Verdict, tally: Tally, source: Source) -> int:
    """Says what happened beside the report, and how to go on."""
    passed = source.finished_ok + source.finished_failed
    parts = [f"{tally.ok:,} ok", f"{tally.failed:,} failed"]
    if tally.malformed:
        parts.append(f"{tally.malformed:,} malformed lines")
    if passed:
        parts.append(f"{passed:,} finished before")
    failed = tally.failed + tally.malformed + source.finished_failed
    where = options.failed or options.output
    again = command(["llmcore", *sys.argv[1:]])
    said = f"{options.source}: {', '.join(parts)}."
    if verdict.ending is Ending.COMPLETE:
        if failed:
            said += f" The errors are in {where}; run the same command again to repeat those that may pass."
        say(said)
        return _SOME_FAILED if failed else _OK
    if verdict.ending is Ending.INTERRUPTED:
        say(f"{said} Interrupted; to go on where it stopped: {again}")
        return _INTERRUPTED
    if verdict.ending is Ending.FULL:
        say(f"{said} {verdict.reason}; make room, then go on where it stopped: {again}")
        return _SOME_FAILED
    reason = verdict.reason.rstrip(".")
    say(f"{said} The run was ended because no call can succeed: {reason}. Mend that, then go on: {again}")
    return _UNUSABLE


def _default_model(settings: "Settings") -> str | None:
    """The model of lines that name none; None where the provider has no default."""
    try:
        return settings.model_for(settings.provider)
    except LLMConfigError:
        return None


def _caller(client: "AsyncLLMClient", options: Options) -> "Callable[[Job], Awaitable[LLMResponse]]":
    """Makes the call of a job through `client`."""

    async def call(job: Job) -> "LLMResponse":
        return await client.complete(
            job.messages,
            model=job.model,
            priority=options.priority if job.priority is None else job.priority,
            call_type=job.call_type,
            **job.params,
            **job.context,
        )

    return call


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
