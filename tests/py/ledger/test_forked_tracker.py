"""A tracker in forked children: neither process writes for the other, and none hangs."""

import os
from pathlib import Path

import pytest

from ledger.making import ask, count, run_python
from support.trackers import assert_sound


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_empty_and_neither_process_writes_for_the_other(path: Path) -> None:
    source = """
        import os, sys, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what this is about
        from ledger.making import call
        from llmcore.types import CallContext
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        parent, child = CallContext(user_id="parent"), CallContext(user_id="child")
        for _ in range(2000):
            tracker.record(call(context=parent))
        pid = os.fork()
        if pid == 0:
            stats = tracker.stats()
            assert (stats.pending, stats.written) == (0, 0), stats
            assert threading.active_count() == 1
            for _ in range(500):
                tracker.record(call(context=child))
            tracker.close()
            assert tracker.stats().written == 500, tracker.stats()
            os._exit(0)
        for _ in range(2000):
            tracker.record(call(context=parent))
        assert os.waitpid(pid, 0)[1] == 0
        tracker.close()
        assert tracker.stats().written == 4000, tracker.stats()
    """
    run_python(source, path)

    assert ask(path, "SELECT user_id, count(*) FROM llm_calls GROUP BY user_id") == [("child", 500), ("parent", 4000)]
    assert_sound(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("kind", ["file", "engine"])
def test_children_forked_in_the_middle_of_writing_never_hang(path: Path, kind: str) -> None:
    source = """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from ledger.making import call
        from llmcore import UsageTracker
        from sqlalchemy import create_engine
        target = sys.argv[1] if sys.argv[2] == "file" else create_engine("sqlite:///" + sys.argv[1])
        tracker = UsageTracker(target)
        tracker.check()
        for n in range(15):
            for _ in range(300):
                tracker.record(call())
            if os.fork() == 0:
                tracker.record(call())
                tracker.close()
                os._exit(tracker.stats().written != 1)
        codes = [os.wait()[1] for _ in range(15)]
        assert codes == [0] * 15, codes
        tracker.close()
        assert tracker.stats().written == 15 * 300, tracker.stats()
    """
    run_python(source, path, kind)

    assert count(path) == 15 * 301
    assert_sound(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_never_uses_a_connection_that_the_pool_of_a_host_inherited(path: Path) -> None:
    source = """
        import os, sys
        from ledger.making import call
        from llmcore import UsageTracker
        from sqlalchemy import create_engine
        engine = create_engine("sqlite:///" + sys.argv[1])
        engine.connect().close()
        assert engine.pool.checkedin() == 1
        tracker = UsageTracker(engine)
        if os.fork() == 0:
            empty = engine.pool.checkedin() == 0
            tracker.record(call())
            tracker.close()
            os._exit(not empty)
        assert os.wait()[1] == 0
        assert engine.pool.checkedin() == 1
    """
    run_python(source, path)
    assert count(path) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_tracker_closed_before_a_fork_stays_closed_in_the_child(path: Path) -> None:
    source = """
        import os, sys
        from ledger.making import call
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        tracker.close()
        if os.fork() == 0:
            tracker.record(call())
            os._exit(tracker.stats().dropped != 1)
        assert os.wait()[1] == 0
    """
    run_python(source, path)
    assert not path.exists()
