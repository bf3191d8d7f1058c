"""A database that is locked never delays a call, and what waited for it is written."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.making import call, count, start_python
from llmcore.errors import LedgerError
from llmcore.ledger.tracker import UsageTracker
from support.trackers import closing_tracker, record_timed, wait_for

HOLD_LOCK = """
    import sqlite3, sys
    database = sqlite3.connect(sys.argv[1], isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    sys.stdin.readline()
    database.execute("ROLLBACK")
    print("free", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Another process holds the lock of a file, until it is told to let go."""
    with start_python(HOLD_LOCK, path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"

        def let_go() -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "free\n"

        try:
            yield let_go
        finally:
            process.kill()


def test_calls_go_on_while_another_process_locks_the_database(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = UsageTracker(str(path))
    tracker.record(call())
    tracker.flush()

    with locked(path) as let_go:
        slowest = record_timed(tracker, 500)
        stats = wait_for(tracker, lambda stats: stats.errors >= 2)
        slowest = max(slowest, record_timed(tracker, 500))
        assert stats.last_error is not None
        assert "locked by another process" in stats.last_error
        assert stats.lag_seconds > 1
        assert not tracker.flush(timeout=0.01)
        assert tracker.stats().pending == 1000
        let_go()
        assert tracker.flush(timeout=30)

    assert slowest < 0.05
    stats = tracker.stats()
    tracker.close()
    assert (stats.written, stats.pending, stats.dropped, stats.last_error) == (1001, 0, 0, None)
    assert count(path) == 1001
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.WARNING]
    assert "is written again; nothing was lost" in caplog.records[1].message


def test_a_new_tracker_waits_for_a_locked_database_too(path: Path) -> None:
    UsageTracker(str(path)).check()
    with locked(path) as let_go:
        with pytest.raises(LedgerError, match="locked by another process"):
            UsageTracker(str(path)).check()
        tracker = UsageTracker(str(path))
        tracker.record(call())
        wait_for(tracker, lambda stats: stats.errors > 0)
        let_go()
        assert tracker.flush(timeout=30)
        tracker.close()
    assert count(path) == 1


def test_close_waits_until_a_database_is_no_longer_locked(path: Path) -> None:
    tracker = UsageTracker(str(path))
    tracker.check()
    with locked(path) as let_go:
        tracker.record(call())
        closing_thread = threading.Thread(target=tracker.close, args=(30,))
        closing_thread.start()
        wait_for(tracker, lambda stats: stats.errors > 0)
        let_go()
        closing_thread.join(60)

    assert (tracker.stats().written, tracker.stats().dropped) == (1, 0)
    assert count(path) == 1


def test_close_waits_for_a_locked_database_but_not_for_ever(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = UsageTracker(str(path))
    tracker.check()
    with locked(path):
        tracker.record(call())
        tracker.close(timeout=0.2)

    assert (tracker.stats().dropped, tracker.stats().pending) == (0, 1)
    assert "1 call is not in the ledger yet because" in caplog.text
    assert count(path) == 0
    UsageTracker(str(path)).check()
    with closing_tracker(path) as another:
        another.record(call())
        assert another.flush(timeout=30)
        wait_for(another, lambda stats: stats.adopted == 1)
    assert count(path) == 2
