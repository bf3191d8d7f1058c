"""Two at one spool, and one that dies between its commit and what follows: every call is counted once."""

import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ledger.making import NOW, ask, call, count
from llmcore._core import LedgerBatch
from llmcore.ledger.check import check
from llmcore.ledger.database import Database
from llmcore.ledger.entries import CLOSE, encode
from llmcore.ledger.inserts import Inserts
from llmcore.ledger.spool import Spool, folders_for
from llmcore.ledger.stats import report
from llmcore.ledger.tracker import UsageTracker

# Records calls and dies right behind the n-th commit of the writer: what it wrote is in the database, and its spool
# does not know it yet.
DYING = """
    import os, signal, sys
    from ledger.making import call
    from llmcore.ledger.spool import Spool
    from llmcore.ledger.tracker import UsageTracker

    path, commits = sys.argv[1], int(sys.argv[2])
    tracker = UsageTracker(path)
    for _ in range(100):
        tracker.record(call(cost=7))
    for _ in range(commits - 1):
        assert tracker.flush(30)
        for _ in range(100):
            tracker.record(call(cost=7))

    def die(self, through):
        os.kill(os.getpid(), signal.SIGKILL)

    Spool.release = die
    tracker.flush(30)
"""


@pytest.mark.parametrize("commits", [1, 3])
def test_a_drainer_killed_between_its_commit_and_the_checkpoint_counts_nothing_twice(
    tmp_path: Path, commits: int
) -> None:
    path = tmp_path / "calls.db"
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DYING), str(path), str(commits)],
        check=False,
        cwd=tests,
        env={"PYTHONPATH": str(tests), "PATH": "", "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert count(path) == 100 * commits  # they were committed
    assert any(path.with_name(path.name + ".spool").iterdir())  # and are in the spool still

    with closing(UsageTracker(str(path))) as heir:
        heir.record(call(cost=7))  # the next process takes the spool over
        assert heir.flush(30)
        heir._writer._adopt()

    assert count(path) == 100 * commits + 1
    total = report(str(path)).total
    assert (total.calls, total.cost_nano_usd, total.pending) == (100 * commits + 1, 7 * (100 * commits + 1), 0)
    assert check(str(path)).problems == []


def test_two_drainers_of_one_spool_write_every_call_once(url: str, tmp_path: Path) -> None:
    """Both read the same entries, in batches that overlap in every way, and write them at the same time."""
    Database(url).connect().close()
    entries = [encode(call(cost=3, created_at=NOW), None) for _ in range(600)]
    start = threading.Barrier(4)
    failed: list[BaseException] = []

    def drain(size: int) -> None:
        try:
            with closing(Database(url).connect()) as connection:
                inserts = Inserts(connection)
                start.wait(30)
                for first in range(0, len(entries), size):
                    while True:
                        batch = LedgerBatch()
                        for number, entry in enumerate(entries[first : first + size], first + 1):
                            assert batch.add(number, CLOSE, entry)
                        try:
                            inserts.write(connection, "the spool", batch, min(first + size, len(entries)))
                            break
                        except Exception as error:
                            if "locked" not in str(error):
                                raise
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=drain, args=(size,)) for size in (1, 7, 50, 600)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    total = report(url).total
    assert (total.calls, total.cost_nano_usd) == (600, 1800)
    assert check(url).problems == []


def test_of_two_that_want_a_spool_that_was_left_one_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    folders = folders_for(None, str(path), path)
    Database(str(path)).connect().close()
    left = Spool(folders)
    for _ in range(500):
        left.append(CLOSE, encode(call(cost=1), None))
    left.close()
    trackers = [UsageTracker(str(path)) for _ in range(2)]
    start = threading.Barrier(2)

    def use(tracker: UsageTracker) -> None:
        start.wait(30)
        tracker.record(call(cost=1))
        tracker.flush(30)
        for _ in range(3000):  # what others left is taken over when there is nothing else to do
            if sum(one.stats().adopted for one in trackers) == 500:
                break
            pause.wait(0.01)
        tracker.close()

    pause = threading.Event()
    threads = [threading.Thread(target=use, args=(tracker,)) for tracker in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tracker.stats().adopted for tracker in trackers) == 500
    assert count(path) == 502
    assert ask(path, "SELECT sum(cost_nano_usd) FROM llm_calls") == [(502,)]
    assert not path.with_name(path.name + ".spool").exists()
