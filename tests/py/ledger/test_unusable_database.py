"""A database that is not there, not writable, or no database: calls go on, and nothing is lost in silence."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ledger.making import call, count, run_python, start_python
from llmcore.errors import LedgerError
from llmcore.ledger.tracker import UsageTracker
from support.trackers import assert_sound, record_timed, wait_for


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
