"""The tracker when things break: a database that fails never fails or delays a call, and nothing is lost in silence."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine

from ledger.making import ask, call, count, run_python, start_python
from llmcore.errors import LedgerError
from llmcore.ledger.damage import set_aside
from llmcore.ledger.tracker import TrackerStats, UsageTracker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


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


# --- a database that is locked ----------------------------------------------------------------------------------------

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


# --- a database that cannot be used -----------------------------------------------------------------------------------


def test_what_comes_while_there_is_no_database_arrives_once_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "later" / "calls.db"
    tracker = UsageTracker(str(path))
    assert record_timed(tracker, 300) < 0.05
    stats = wait_for(tracker, lambda stats: stats.errors >= 2)
    assert (stats.pending, stats.written) == (300, 0)

    path.parent.mkdir()

    assert tracker.flush(timeout=30)
    tracker.close()
    assert count(path) == count(path, "llm_attempts") == 300
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2
    assert "make the folder" in messages[0]
    assert "calls go on; they wait in" in messages[0]


def test_a_file_that_is_no_database_is_left_alone_and_replaced_by_hand(path: Path) -> None:
    path.write_bytes(b"dear diary " * 1000)
    with pytest.raises(LedgerError, match=r"no SQLite database: move the file away"):
        UsageTracker(str(path)).check()
    tracker = UsageTracker(str(path))
    tracker.record(call())
    wait_for(tracker, lambda stats: stats.errors > 0)
    assert path.read_bytes() == b"dear diary " * 1000

    path.rename(path.with_name("diary.txt"))

    assert tracker.flush(timeout=30)
    tracker.close()
    assert count(path) == 1


def damage(path: Path) -> bytes:
    """Ruins all but the header of a database; returns what it is then."""
    content = bytearray(path.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    path.write_bytes(content)
    return bytes(content)


def asides(path: Path) -> list[Path]:
    return [found for found in path.parent.glob(f"{path.name}.damaged-*") if not found.name.endswith(("-wal", "-shm"))]


def test_a_damaged_file_is_kept_aside_when_it_is_opened(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = UsageTracker(str(path))
    tracker.record(call())
    tracker.close()
    content = damage(path)

    tracker = UsageTracker(str(path))
    tracker.check()
    tracker.record(call())
    tracker.close()

    (aside,) = asides(path)
    assert aside.read_bytes() == content
    assert count(path) == 1
    assert f"is damaged: it is kept as {aside}, and a new one is begun" in caplog.text
    assert caplog.text.count("is damaged") == 1


def test_a_file_that_is_damaged_meanwhile_is_kept_aside_and_no_call_is_lost(path: Path) -> None:
    tracker = UsageTracker(str(path))
    tracker.record(call())
    assert tracker.flush(timeout=30)
    with closing(sqlite3.connect(path)) as other:  # what the writer has in its log goes into the file
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(path)
    for _ in range(5):
        tracker.record(call())

    assert tracker.flush(timeout=30)
    assert count(path) == 5
    assert len(asides(path)) == 1
    stats = tracker.stats()
    assert (stats.pending, stats.lost, stats.last_error) == (0, 0, None)
    tracker.close()


def test_two_that_find_the_damage_move_the_file_once(path: Path) -> None:
    UsageTracker(str(path)).check()
    file = path.stat()
    damage(path)
    start = threading.Barrier(8)
    moved: list[Path | None] = []

    def one() -> None:
        start.wait()
        moved.append(set_aside(path, (file.st_dev, file.st_ino)))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found for found in moved if found is not None] == asides(path)
    assert not path.exists()

    path.write_bytes(b"another")  # which came in its place
    assert set_aside(path, (file.st_dev, file.st_ino)) is None
    assert path.read_bytes() == b"another"


def test_what_is_not_ours_stays_where_it_is(path: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared.db"
    with closing(sqlite3.connect(shared)) as host:
        host.execute("CREATE TABLE games (id)")
        host.commit()
    UsageTracker(str(shared)).check()
    content = damage(shared)
    with pytest.raises(LedgerError, match="damaged or no SQLite database: move the file away"):
        UsageTracker(str(shared)).check()
    assert shared.read_bytes() == content

    UsageTracker(str(path)).check()
    content = damage(path)
    engine = create_engine(f"sqlite:///{path}")
    with pytest.raises(LedgerError, match="damaged or no SQLite database"):
        UsageTracker(engine).check()
    engine.dispose()
    assert path.read_bytes() == content

    essay = tmp_path / "essay.txt"
    essay.write_text("Of clocks. " * 1000)
    with pytest.raises(LedgerError, match="damaged or no SQLite database"):
        UsageTracker(str(essay)).check()
    assert essay.read_text() == "Of clocks. " * 1000
    assert asides(path) == asides(shared) == asides(essay) == []


def test_a_ledger_that_fails_does_not_keep_a_process_from_ending(tmp_path: Path) -> None:
    source = """
        import sys
        from ledger.making import call
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        tracker.record(call())
    """
    with start_python(source, tmp_path / "missing" / "calls.db") as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "1 call is not in the ledger yet because the ledger" in err
    assert "Traceback" not in err


AS_NOBODY = """
    import os, sys
    from ledger.making import call
    from llmcore import UsageTracker
    from llmcore.errors import LedgerError
    import alembic.command, sqlalchemy.dialects.sqlite
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    tracker = UsageTracker(sys.argv[1])
    try:
        tracker.check()
    except LedgerError as error:
        print(error)
    tracker.record(call())
    tracker.close()
    stats = tracker.stats()
    print(stats.dropped + stats.pending)
"""


@pytest.mark.parametrize("what", ["folder", "file", "file alone", "path"])
def test_a_folder_or_file_that_must_not_be_written_is_told(what: str) -> None:
    with TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name) / "ledger"
        folder.mkdir()
        path = folder / "calls.db"
        if what.startswith("file"):
            UsageTracker(str(path)).check()
            path.chmod(0o444)
        folder.chmod({"file alone": 0o777, "path": 0o000}.get(what, 0o555))
        folder.parent.chmod(0o755)
        out = run_python(AS_NOBODY, path)
        folder.chmod(0o755)
    assert (
        f"the ledger {path} cannot be written: allow this user to write to the file and to the folder {folder}" in out
    )
    assert out.endswith("\n1\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "llmcore-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a small disk needs the command mount")
    if done.returncode != 0:
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_what_comes_while_the_disk_is_full_arrives_when_there_is_room(small_disk: Path) -> None:
    path = small_disk / "calls.db"
    tracker = UsageTracker(str(path))
    tracker.record(call())
    tracker.flush()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass

    assert record_timed(tracker, 200) < 0.05
    stats = wait_for(tracker, lambda stats: stats.errors > 0)
    assert stats.last_error is not None
    assert "disk is full: make room" in stats.last_error
    filler.unlink()

    assert tracker.flush(timeout=30)
    tracker.close()
    stats = tracker.stats()
    assert (stats.written + stats.dropped, stats.pending) == (201, 0)
    assert count(path) == stats.written
    assert_sound(path)


# --- fork -------------------------------------------------------------------------------------------------------------


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
