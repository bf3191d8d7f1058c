"""The tracker: what is recorded is in the database, once, whoever records and however the process ends."""

import gc
import logging
import sqlite3
import threading
import uuid
import weakref
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event

from ledger.making import NOW, ask, attempts, call, count, run_python
from llmcore._core import Usage
from llmcore.errors import LedgerError
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, Outcome


def test_a_recorded_call_and_its_attempts_are_in_the_database(path: Path) -> None:
    tries = attempts(Usage(input_uncached=7), [Outcome.TIMEOUT, Outcome.OK])
    record = call(attempts=tries, usage=tries[-1].usage, context=CallContext(game_id="g1"))
    tracker = UsageTracker(f"sqlite:///{path}")

    tracker.record(record)

    assert tracker.flush(timeout=30)
    assert ask(path, "SELECT id, game_id, input_tokens, attempts FROM llm_calls") == [(record.id, "g1", 7, 2)]
    assert ask(path, "SELECT call_id, number, outcome FROM llm_attempts") == [
        (record.id, 1, "timeout"),
        (record.id, 2, "ok"),
    ]
    tracker.close()


def test_what_is_pending_is_written_without_being_asked(path: Path) -> None:
    tracker = UsageTracker(str(path))
    pause = threading.Event()
    for n in (1, 2, 3):  # the first starts the thread, the others wake it
        tracker.record(call())
        for _ in range(3000):
            if tracker.stats().written == n:
                break
            pause.wait(0.01)
        assert count(path) == n
    tracker.close()


def test_flush_waits_for_what_was_recorded_before_it(path: Path) -> None:
    tracker = UsageTracker(str(path))
    for n in range(1, 6):
        for _ in range(n * 100):
            tracker.record(call())
        assert tracker.flush()
        assert count(path) == n * (n + 1) // 2 * 100
    tracker.close()


def test_flush_of_nothing_is_done_at_once_and_opens_nothing(path: Path) -> None:
    tracker = UsageTracker(str(path))
    assert tracker.flush(timeout=0)
    tracker.close()
    assert not path.exists()


def test_close_writes_what_is_pending_and_may_be_repeated(path: Path) -> None:
    tracker = UsageTracker(str(path))
    for _ in range(1000):
        tracker.record(call())

    tracker.close()
    tracker.close()

    assert count(path) == 1000
    assert tracker.stats().written == 1000
    assert not [thread for thread in threading.enumerate() if thread.name == "llmcore-ledger"]


def test_a_closed_tracker_drops_and_counts_and_says_so_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = UsageTracker(str(path))
    tracker.close()

    tracker.record(call())
    tracker.record(call())

    assert (tracker.stats().dropped, tracker.stats().pending) == (2, 0)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "is closed" in caplog.text


def test_many_threads_record_every_call_exactly_once(path: Path) -> None:
    threads, each = 8, 10_000
    tracker = UsageTracker(str(path))
    tries = attempts(Usage(input_uncached=3, output_text=2))

    def work(n: int) -> None:
        context = CallContext(user_id=f"user-{n}")
        for i in range(each):
            tracker.record(call(context=context, attempts=tries, usage=tries[0].usage, cost=i))

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert tracker.flush(timeout=60)

    stats = tracker.stats()
    tracker.close()
    assert (stats.written, stats.pending, stats.dropped, stats.rejected, stats.errors) == (threads * each, 0, 0, 0, 0)
    totals = "SELECT count(*), count(DISTINCT id), sum(total_tokens), sum(cost_nano_usd) FROM llm_calls"
    assert ask(path, totals) == [(80_000, 80_000, 5 * 80_000, threads * sum(range(each)))]
    assert ask(path, "SELECT count(*), sum(input_uncached), sum(output_text) FROM llm_attempts") == [
        (80_000, 240_000, 160_000)
    ]
    by_user = ask(path, "SELECT user_id, count(*) FROM llm_calls GROUP BY user_id ORDER BY user_id")
    assert by_user == [(f"user-{n}", each) for n in range(threads)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512, 700])
def test_batches_of_any_size_are_whole(path: Path, size: int) -> None:
    two = attempts(Usage(output_text=1), [Outcome.OVERLOADED, Outcome.OK])
    tracker = UsageTracker(str(path))
    for _ in range(size):
        tracker.record(call(attempts=two))
    tracker.close()

    assert count(path) == size
    assert ask(path, "SELECT number, count(*), sum(output_text) FROM llm_attempts GROUP BY number") == [
        (1, size, 0),
        (2, size, size),
    ]


def test_recording_a_call_again_updates_its_row(path: Path) -> None:
    record = call(cost=None)
    tracker = UsageTracker(str(path))
    tracker.record(record)
    tracker.flush()
    record.cost = 5
    tracker.record(record)
    tracker.record(record)
    tracker.close()

    assert ask(path, "SELECT id, cost_nano_usd FROM llm_calls") == [(record.id, 5)]
    assert count(path, "llm_attempts") == 1


def test_a_call_is_not_in_the_database_without_its_attempts(path: Path) -> None:
    tracker = UsageTracker(str(path))
    tracker.check()
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON llm_attempts WHEN NEW.request_id = 'refused' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        database.commit()

    tracker.record(call(request_id="refused"))
    good = call()
    tracker.record(good)
    tracker.close()

    assert ask(path, "SELECT id FROM llm_calls") == ask(path, "SELECT call_id FROM llm_attempts") == [(good.id,)]
    assert (tracker.stats().written, tracker.stats().rejected) == (1, 1)


def test_a_row_that_the_database_refuses_costs_only_itself(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = UsageTracker(str(path))
    for i in range(600):
        tracker.record(call(id="short") if i == 300 else call())
    tracker.close()

    stats = tracker.stats()
    assert (stats.written, stats.rejected, stats.dropped, stats.pending) == (599, 1, 0, 0)
    assert count(path) == 599
    assert "1 call is not recorded, refused by the database: CHECK constraint failed" in caplog.text


def test_values_that_a_driver_cannot_take_are_recorded_as_near_as_can_be(path: Path) -> None:
    user = uuid.uuid4()
    odd: list[dict[str, Any]] = [
        {"user_id": user},
        {"player_name": "Bob \ud83d"},
        {"hand_number": 2**70},
        {"game_id": 17},
    ]
    tracker = UsageTracker(str(path))
    for context in odd:
        tracker.record(call(context=CallContext(**context)))
    tracker.close()

    assert tracker.stats().rejected == 0
    found = ask(path, "SELECT user_id, player_name, hand_number, game_id FROM llm_calls ORDER BY rowid")
    assert found == [
        (str(user), None, None, None),
        (None, "Bob ?", None, None),
        (None, None, None, None),
        (None, None, None, "17"),
    ]


def test_a_tracker_that_is_forgotten_writes_what_is_left_and_its_thread_ends(path: Path) -> None:
    tracker = UsageTracker(str(path))
    for _ in range(100):
        tracker.record(call())
    gone = weakref.ref(tracker)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "llmcore-ledger"]

    del tracker
    gc.collect()

    assert gone() is None
    thread.join(30)
    assert not thread.is_alive()
    assert count(path) == 100


def test_making_a_tracker_touches_nothing(tmp_path: Path) -> None:
    probe = """
        import sys, threading
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        print("sqlalchemy" in sys.modules, threading.active_count())
    """
    assert run_python(probe, tmp_path / "calls.db") == "False 1\n"
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_just_ends_has_written_its_calls(path: Path) -> None:
    source = """
        import sys
        from ledger.making import call
        from llmcore import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        for _ in range(100):
            tracker.record(call())
    """
    run_python(source, path)
    assert count(path) == count(path, "llm_attempts") == 100


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_have_written_their_calls(path: Path, tmp_path: Path, method: str) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import multiprocessing, sys, warnings\n"
        "from ledger.making import call\n"
        "from llmcore import UsageTracker\n"
        "def work(path, tracker=None):\n"
        "    tracker = UsageTracker(path)\n"
        "    for _ in range(10):\n"
        "        tracker.record(call())\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context(sys.argv[2])\n"
        "    workers = [context.Process(target=work, args=(sys.argv[1],)) for _ in range(3)]\n"
        "    for worker in workers: worker.start()\n"
        "    for worker in workers: worker.join()\n"
        "    print([worker.exitcode for worker in workers])\n"
    )
    out = run_python(
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
        *(script, path, method),
    )
    assert out == "[0, 0, 0]\n"
    assert count(path) == 30


def test_a_relative_path_means_the_folder_of_that_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMCORE_DATABASE_URL", raising=False)
    (tmp_path / "elsewhere").mkdir()
    trackers = [UsageTracker(), UsageTracker("named.db"), UsageTracker("sqlite:///url.db")]
    monkeypatch.chdir("elsewhere")

    for tracker in trackers:
        tracker.record(call())
        tracker.close()

    assert [count(tmp_path / name) for name in ("llmcore.db", "named.db", "url.db")] == [1, 1, 1]
    assert trackers[0].location == str(tmp_path / "llmcore.db")


def test_the_environment_names_the_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCORE_DATABASE_URL", f"sqlite+aiosqlite:///{path}?timeout=3")
    tracker = UsageTracker()
    tracker.record(call())
    tracker.close()
    assert count(path) == 1


def test_a_location_shows_neither_user_nor_password_nor_options() -> None:
    tracker = UsageTracker("postgresql+psycopg://alice:s3cret@db.example:5432/app?password=other")
    assert tracker.location == "postgresql+psycopg://db.example:5432/app"
    assert repr(tracker) == "UsageTracker('postgresql+psycopg://db.example:5432/app')"


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_calls_never_go_to_a_file_that_is_no_longer_there(path: Path, change: str) -> None:
    tracker = UsageTracker(str(path))
    tracker.record(call())
    tracker.flush()

    path.rename(path.with_name("old.db"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if change == "replaced":
        path.touch()
    later = call()
    tracker.record(later)
    tracker.close()

    assert ask(path, "SELECT id FROM llm_calls") == [(later.id,)]


@pytest.fixture
def engine(path: Path) -> Any:
    engine = create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def test_an_engine_of_the_host_stays_as_it_is(path: Path, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE games (id TEXT PRIMARY KEY)")
        connection.commit()
    tracker = UsageTracker(engine)
    tracker.record(call())
    tracker.close()

    assert count(path) == 1
    assert ask(path, "PRAGMA journal_mode") == [("delete",)]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA temp_store").scalar() == 0
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert (
            connection.exec_driver_sql("SELECT count(*) FROM llm_calls JOIN games ON game_id = games.id").scalar() == 0
        )


def test_an_engine_that_begins_its_own_transactions_works(path: Path, engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def no_implicit_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    tracker = UsageTracker(engine)
    tracker.check()
    tracker.record(call())
    tracker.close()
    assert (count(path), tracker.stats().errors) == (1, 0)


def test_a_file_of_ours_is_in_wal_mode(path: Path) -> None:
    UsageTracker(str(path)).check()
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]


UNUSABLE = {
    "sqlite://": "in-memory",
    "sqlite:///:memory:": "in-memory",
    "sqlite:///file:shared?mode=memory&uri=true": "in-memory",
    "sqlite:///{folder}/missing/calls.db": "make the folder .*/missing",
    "sqlite:///{folder}": "it is a folder, so name a file in it",
    "mysql://user:s3cret@host/db": "SQLite or PostgreSQL, not in 'mysql'",
    "://s3cret": "no URL of a database",
    "none": "no ledger is configured",
}


@pytest.mark.parametrize("url", UNUSABLE)
def test_check_says_why_a_database_cannot_be_used_and_what_to_do(url: str, tmp_path: Path) -> None:
    tracker = UsageTracker(url.format(folder=tmp_path))

    with pytest.raises(LedgerError, match=UNUSABLE[url]) as caught:
        tracker.check()

    assert "LLMCORE_DATABASE_URL" in str(caught.value) or "name a file" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"ack": "now"}, {"on_full": "explode"}, {"content": "some"}, {"content": {"chat": ""}}]
)
def test_choices_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not"):
        UsageTracker("x.db", **wrong)


def test_stats_at_rest(path: Path) -> None:
    tracker = UsageTracker(str(path))
    tracker.record(call(created_at=NOW))
    tracker.flush()
    stats = tracker.stats()
    assert (stats.pending, stats.written, stats.lag_seconds, stats.last_error) == (0, 1, 0.0, None)
    tracker.close()
