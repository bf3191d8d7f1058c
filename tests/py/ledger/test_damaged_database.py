"""A damaged database is kept aside and begun anew; what is not ours stays where it is."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from ledger.making import call, count
from llmcore.errors import LedgerError
from llmcore.ledger.damage import set_aside
from llmcore.ledger.tracker import UsageTracker


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
