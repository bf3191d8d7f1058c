"""Trackers of a ledger in a file, and what is asked of them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.making import ask, call
from llmcore.ledger.tracker import TrackerStats, UsageTracker


def wait_for(tracker: UsageTracker, reached: Callable[[TrackerStats], bool]) -> TrackerStats:
    """Waits until the stats say so; fails after 30 seconds."""
    pause = threading.Event()
    for _ in range(3000):
        stats = tracker.stats()
        if reached(stats):
            return stats
        pause.wait(0.01)
    raise AssertionError(tracker.stats())


def record_timed(tracker: UsageTracker, number: int) -> float:
    """Records calls and returns how long the slowest took, in seconds."""
    slowest = 0.0
    for _ in range(number):
        record = call()
        started = time.perf_counter()
        tracker.record(record)
        slowest = max(slowest, time.perf_counter() - started)
    return slowest


@contextmanager
def closing_tracker(path: Path) -> Iterator[UsageTracker]:
    tracker = UsageTracker(str(path))
    yield tracker
    tracker.close()


def assert_sound(path: Path) -> None:
    """No damage, no call without its attempts, no attempt without its call."""
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "SELECT count(*) FROM llm_calls WHERE id NOT IN (SELECT call_id FROM llm_attempts)") == [(0,)]
    assert ask(path, "SELECT count(*) FROM llm_attempts WHERE call_id NOT IN (SELECT id FROM llm_calls)") == [(0,)]
