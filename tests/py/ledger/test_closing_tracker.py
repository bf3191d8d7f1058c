"""The end of a tracker: killed, closed by several at once, or at the very end of the interpreter."""

import signal
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ledger.making import call, count, start_python
from llmcore.ledger.tracker import UsageTracker
from support.trackers import assert_sound, closing_tracker, wait_for

# --- a process that dies ----------------------------------------------------------------------------------------------


def test_a_killed_process_leaves_a_sound_ledger_with_all_it_had_flushed(path: Path) -> None:
    source = """
        import sys
        from ledger.making import call
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        for _ in range(1000):
            tracker.record(call())
        tracker.flush()
        print("flushed", flush=True)
        while True:
            tracker.record(call())
    """
    with start_python(source, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "flushed\n"
        before = count(path)
        pause = threading.Event()
        while count(path) == before:  # in the middle of writing more
            pause.wait(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait(30)

    found = count(path)
    assert found > 1000
    assert_sound(path)
    with closing_tracker(path) as tracker:
        tracker.record(call())
        adopted = wait_for(tracker, lambda stats: stats.adopted > 0).adopted
    assert found < count(path) <= found + 1 + adopted
    assert_sound(path)


# --- leaving in a hurry -----------------------------------------------------------------------------------------------


def test_closing_from_several_threads_writes_everything_once(path: Path) -> None:
    tracker = UsageTracker(str(path))
    for _ in range(3000):
        tracker.record(call())

    workers = [threading.Thread(target=tracker.close) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert (tracker.stats().written, tracker.stats().pending) == (3000, 0)
    assert count(path) == 3000


def test_calls_recorded_while_another_thread_closes_are_written_or_counted(path: Path) -> None:
    for _ in range(10):
        tracker = UsageTracker(str(path))
        tracker.record(call())
        tracker.flush()
        before = count(path)
        begun = threading.Event()

        def work(tracker: UsageTracker = tracker, begun: threading.Event = begun) -> None:
            for i in range(2000):
                tracker.record(call())
                if i == 100:
                    begun.set()

        worker = threading.Thread(target=work)
        worker.start()
        begun.wait(30)
        tracker.close()
        worker.join()

        stats = tracker.stats()
        assert (stats.written + stats.dropped, stats.pending) == (2001, 0)
        assert count(path) - before == stats.written - 1


def test_what_is_recorded_when_no_thread_can_start_is_written_by_close(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:  # as at the end of the interpreter
        raise RuntimeError("can't create new thread at interpreter shutdown")

    tracker = UsageTracker(str(path))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        tracker.record(call())
        tracker.record(call())
        assert not tracker.flush(timeout=1)
        tracker.close()

    assert (tracker.stats().written, tracker.stats().pending) == (2, 0)
    assert count(path) == 2


def test_a_call_recorded_at_the_very_end_of_the_interpreter_is_not_an_error(path: Path) -> None:
    source = """
        import atexit, sys
        from ledger.making import call
        atexit.register(lambda: tracker.record(call()))
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        tracker.record(call())
    """
    with start_python(source, path) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert "is closed" in err
    assert count(path) == 1


def test_a_call_recorded_by_a_handler_that_runs_before_ours_is_written(path: Path) -> None:
    source = """
        import atexit, sys
        from ledger.making import call
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        atexit.register(lambda: tracker.record(call()))
    """
    with start_python(source, path) as process:
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert count(path) == 1


def test_the_interpreter_of_these_tests_finds_sqlite_new_enough() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        assert database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) >= 48 * 256, sys.version
