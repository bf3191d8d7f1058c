"""The tables: what the migrations leave behind, what they refuse, and who may run them when."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from ledger.making import ask, call, count, run_python, start_python
from llmcore.errors import LedgerError
from llmcore.ledger import current_revision, downgrade, models, revisions, upgrade
from llmcore.ledger.database import Database
from llmcore.ledger.tracker import UsageTracker


def schema_of(path: Path) -> dict[str, str]:
    """The statement behind every table and index of the ledger, white space and the order of constraints aside."""
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%alembic%' AND type <> 'view'"
    rows = ask(path, query)
    return {
        name: " ".join(
            sorted(re.sub(r"\s+", " ", part).strip(" (),") for part in re.split(r"\n|, (?=[a-z_]+ [A-Z])", sql))
        )
        for name, sql in rows
    }


def test_the_newest_migration_leaves_the_tables_that_models_describes(path: Path, tmp_path: Path) -> None:
    upgrade(str(path))
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        ours = {"include_name": lambda name, kind, _: kind != "table" or name.startswith("llm_")}
        context = MigrationContext.configure(connection, opts={"compare_type": True, **ours})
        assert compare_metadata(context, models.metadata) == []
    engine.dispose()

    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    models.metadata.create_all(other)
    other.dispose()
    assert schema_of(path) == schema_of(tmp_path / "other.db")
    assert len(schema_of(path)) == 15


def test_head_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(revisions.__file__).parent / "migrations"))

    assert ScriptDirectory.from_config(config).get_current_head() == revisions.HEAD


def test_upgrade_downgrade_and_upgrade_again(path: Path) -> None:
    assert current_revision(str(path)) is None
    assert not path.exists()
    assert upgrade(str(path)) == revisions.HEAD
    assert upgrade(str(path)) == revisions.HEAD
    assert current_revision(str(path)) == revisions.HEAD
    assert downgrade(str(path), "base") is None
    assert schema_of(path) == {}
    assert upgrade(str(path)) == revisions.HEAD
    assert count(path) == 0


def test_an_unknown_revision_is_refused(path: Path) -> None:
    with pytest.raises(LedgerError, match="9999"):
        upgrade(str(path), "9999")


WRONG = {
    "a status that does not exist": "UPDATE llm_calls SET status = 'succes'",
    "a source that does not exist": "UPDATE llm_calls SET source = 'somewhere'",
    "an id that is no UUID": "UPDATE llm_calls SET id = 'call-1'",
    "an id of the right length that is no UUID": "UPDATE llm_calls SET id = replace(id, '-', '_')",
    "a negative reservation": "UPDATE llm_calls SET reserved_nano_usd = -1",
    "a negative cost as the provider says": "UPDATE llm_calls SET reported_cost_nano_usd = -1",
    "no tenant": "UPDATE llm_calls SET tenant = NULL",
    "negative input tokens": "UPDATE llm_calls SET input_tokens = -1",
    "negative output tokens": "UPDATE llm_calls SET output_tokens = -1",
    "negative cached tokens": "UPDATE llm_calls SET cached_tokens = -1",
    "negative reasoning tokens": "UPDATE llm_calls SET reasoning_tokens = -1",
    "negative total tokens": "UPDATE llm_calls SET total_tokens = -1",
    "a negative cost": "UPDATE llm_calls SET cost_nano_usd = -1",
    "a negative saving": "UPDATE llm_calls SET saved_nano_usd = -1",
    "a negative latency": "UPDATE llm_calls SET latency_ms = -0.001",
    "a negative wait": "UPDATE llm_calls SET queue_ms = -1",
    "a negative time to the first token": "UPDATE llm_calls SET first_token_ms = -1",
    "a negative number of attempts": "UPDATE llm_calls SET attempts = -1",
    "a negative number of images": "UPDATE llm_calls SET image_count = -1",
    "no provider": "UPDATE llm_calls SET provider = NULL",
    "no model": "UPDATE llm_calls SET model = NULL",
    "no time": "UPDATE llm_calls SET created_at = NULL",
    "the same call twice": "INSERT INTO llm_calls SELECT * FROM llm_calls",
    "an attempt number of zero": "UPDATE llm_attempts SET number = 0",
    "an attempt of no call": "UPDATE llm_attempts SET call_id = 'call-1'",
    "a negative bucket": "UPDATE llm_attempts SET cache_write_1h = -1",
    "a negative cost of an attempt": "UPDATE llm_attempts SET cost_nano_usd = -1",
    "a negative latency of an attempt": "UPDATE llm_attempts SET latency_ms = -1",
    "a negative delay asked for": "UPDATE llm_attempts SET retry_after_ms = -1",
    "the same attempt twice": "INSERT INTO llm_attempts SELECT * FROM llm_attempts",
}


@pytest.fixture(scope="module")
def one_call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "calls.db"
    tracker = UsageTracker(str(path))
    tracker.record(call())
    tracker.close()
    return path


@pytest.mark.parametrize("statement", [pytest.param(sql, id=what) for what, sql in WRONG.items()])
def test_the_database_refuses(statement: str, one_call: Path) -> None:
    with closing(sqlite3.connect(one_call)) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)


@pytest.mark.parametrize("column", ["owner_id", "user_id", "company_id", "game_id", "trace_id", "call_type", "model"])
def test_calls_are_found_by_index(column: str, one_call: Path) -> None:
    plan = ask(one_call, f"EXPLAIN QUERY PLAN SELECT * FROM llm_calls WHERE {column} = ?", "x")
    assert f"USING INDEX ix_llm_calls_{column}" in plan[0][3]


def test_calls_of_a_time_are_found_by_index(one_call: Path) -> None:
    plan = ask(one_call, "EXPLAIN QUERY PLAN SELECT * FROM llm_calls WHERE created_at >= ?", "2026-03-01")
    assert "USING INDEX ix_llm_calls_created_at" in plan[0][3]


def test_deleting_a_call_deletes_its_attempts_where_foreign_keys_are_on(one_call: Path) -> None:
    with closing(sqlite3.connect(one_call)) as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM llm_calls")
        assert database.execute("SELECT count(*) FROM llm_attempts").fetchone() == (0,)


def test_the_ledger_lives_in_a_database_of_a_host_beside_its_own_migrations(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('host-7')")
        database.execute("CREATE TABLE games (id TEXT PRIMARY KEY)")
        database.execute("INSERT INTO games VALUES ('g1')")
        database.commit()

    tracker = UsageTracker(str(path))
    tracker.record(call())
    tracker.close()
    assert downgrade(str(path), "base") is None

    assert ask(path, "SELECT * FROM alembic_version") == [("host-7",)]
    assert ask(path, "SELECT * FROM games") == [("g1",)]


def test_a_table_of_the_same_name_is_not_touched_and_the_error_says_so(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE llm_calls (id INTEGER PRIMARY KEY)")

    with pytest.raises(LedgerError, match=r"llm_calls already exists.*give the ledger a file of its own"):
        UsageTracker(str(path)).check()

    assert ask(path, "SELECT name FROM sqlite_master") == [("llm_calls",)]


def test_a_migration_that_fails_half_way_leaves_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE llm_attempts (id INTEGER PRIMARY KEY)")

    with pytest.raises(LedgerError, match="llm_attempts already exists"):
        upgrade(str(path))

    assert ask(path, "SELECT name FROM sqlite_master") == [("llm_attempts",)]


def test_a_ledger_of_a_newer_version_is_refused(path: Path) -> None:
    upgrade(str(path))
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE {revisions.VERSION_TABLE} SET version_num = '9999'")
        database.commit()

    with pytest.raises(LedgerError, match=r"another version of llmcore.*9999"):
        UsageTracker(str(path)).check()


def test_an_up_to_date_database_is_opened_without_alembic(path: Path) -> None:
    upgrade(str(path))

    probe = """
        import sys
        from llmcore.ledger.tracker import UsageTracker
        tracker = UsageTracker(sys.argv[1])
        assert "sqlalchemy" not in sys.modules
        tracker.check()
        assert "sqlalchemy" in sys.modules
        print("alembic" in sys.modules)
    """
    assert run_python(probe, path) == "False\n"


def test_processes_that_open_a_new_file_at_once_all_write_to_it(path: Path) -> None:
    source = """
        import sys
        from ledger.making import call
        from llmcore.ledger.tracker import UsageTracker
        import alembic.command, sqlalchemy
        tracker = UsageTracker(sys.argv[1])
        calls = [call() for _ in range(25)]
        print("ready", flush=True)
        sys.stdin.readline()
        for record in calls:
            tracker.record(record)
        tracker.close()
        print(tracker.stats())
    """
    processes = [start_python(source, path) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "written=25" in out
        assert err == ""
    assert count(path) == count(path, "llm_attempts") == 100
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_times_and_json_read_as_python_values(one_call: Path) -> None:
    tracker = UsageTracker(str(one_call))
    record = call()
    record.context.tags = ("a", "b")
    record.context.metadata = {"n": 1}
    tracker.record(record)
    tracker.close()

    columns = models.llm_calls.c
    with closing(Database(str(one_call)).connect_reading()) as connection:
        found = connection.execute(
            models.llm_calls.select()
            .where(columns.id == record.id)
            .with_only_columns(columns.created_at, columns.tags, columns["metadata"], columns.cache_hit)
        ).one()
        moment, tags, metadata, cache_hit = found
        naive = connection.execute(text("SELECT created_at FROM llm_calls WHERE id = :id"), {"id": record.id}).scalar()

    assert moment.isoformat() == "2026-03-01T12:00:00+00:00"
    assert naive == "2026-03-01 12:00:00.000000"
    assert (tags, metadata, cache_hit) == (["a", "b"], {"n": 1}, False)
