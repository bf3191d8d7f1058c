"""The ledger in PostgreSQL: migrations, monthly tables, and what is written there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from ledger.making import NOW, attempts, call, start_python
from llmcore._core import Usage, uuid7
from llmcore.errors import LedgerError
from llmcore.ledger import current_revision, downgrade, models, revisions, upgrade
from llmcore.ledger.partitions import drop_before, make_ahead
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, Outcome

pytestmark = pytest.mark.slow

MARCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 86_400 * 10**9


@pytest.fixture
def database(postgresql: str) -> Iterator[Connection]:
    """A connection to a database with a ledger."""
    upgrade(postgresql)
    engine = create_engine(postgresql)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    found = [tuple(row) for row in connection.exec_driver_sql(query)]
    connection.rollback()
    return found


def tables(connection: Connection) -> set[str]:
    return {name for (name,) in rows(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_the_tables_are_those_that_models_describes(database: Connection) -> None:
    ours = {"include_name": lambda name, kind, _: kind != "table" or name in models.metadata.tables}
    context = MigrationContext.configure(database, opts={"compare_type": True, **ours})
    # SQLite alone ties texts and attempts to their call: a month must be free to go in PostgreSQL.
    differences = [entry for entry in compare_metadata(context, models.metadata) if entry[0] != "add_fk"]
    assert differences == []


def test_upgrade_downgrade_and_upgrade_again(postgresql: str) -> None:
    assert current_revision(postgresql) is None
    with pytest.raises(LedgerError, match="has no ledger"):
        UsageTracker(postgresql).check()
    assert upgrade(postgresql) == revisions.HEAD
    assert downgrade(postgresql, "base") is None
    engine = create_engine(postgresql)
    with engine.connect() as connection:
        assert {name for name in tables(connection) if name.startswith("llm_")} == set()
    engine.dispose()
    assert upgrade(postgresql) == revisions.HEAD


def test_calls_go_to_the_table_of_their_month(postgresql: str, database: Connection) -> None:
    make_ahead(database, MARCH, 2)
    tracker = UsageTracker(postgresql)
    retried = attempts(Usage(input_uncached=100, output_text=20), [Outcome.OVERLOADED, Outcome.OK])
    tracker.record(call(attempts=retried))
    tracker.record(call(created_at=NOW + 31 * DAY))
    tracker.record(call(created_at=NOW - 400 * DAY))
    tracker.close()

    assert tracker.stats().written == 3
    where = rows(database, "SELECT tableoid::regclass::text, count(*) FROM llm_calls GROUP BY 1 ORDER BY 1")
    assert where == [("llm_calls_2026_03", 1), ("llm_calls_2026_04", 1), ("llm_calls_default", 1)]
    assert rows(database, "SELECT count(*) FROM llm_attempts_2026_03") == [(2,)]


def test_writing_a_call_again_changes_nothing(postgresql: str, database: Connection) -> None:
    record = call(cost=7)
    for _ in range(2):
        tracker = UsageTracker(postgresql)
        tracker.record(record)
        tracker.close()
    assert rows(database, "SELECT count(*), sum(cost_nano_usd) FROM llm_calls") == [(1, 7)]
    assert rows(database, "SELECT count(*) FROM llm_attempts") == [(1,)]


def test_old_months_are_dropped_and_nothing_else(postgresql: str, database: Connection) -> None:
    make_ahead(database, MARCH, 3)
    tracker = UsageTracker(postgresql)
    for days in (0, 31, 61):
        tracker.record(call(created_at=NOW + days * DAY))
    tracker.close()

    dropped = drop_before(database, datetime(2026, 4, 30, tzinfo=UTC))
    database.commit()

    assert dropped == ["llm_calls_2026_03", "llm_attempts_2026_03", "llm_payloads_2026_03"]
    assert rows(database, "SELECT count(*) FROM llm_calls") == [(2,)]


def test_months_are_made_ahead_once(database: Connection) -> None:
    december = datetime(2030, 12, 31, 23, 59, tzinfo=UTC)
    made = make_ahead(database, december, 2)
    assert [name for name in made if name.startswith("llm_calls")] == ["llm_calls_2030_12", "llm_calls_2031_01"]
    assert make_ahead(database, december, 2) == []


def test_the_months_to_come_are_there_after_an_upgrade(database: Connection) -> None:
    now = datetime.now(UTC)
    later = now.replace(day=1) + timedelta(days=32)
    assert {f"llm_calls_{now:%Y_%m}", f"llm_payloads_{later:%Y_%m}"} <= tables(database)


def test_a_month_that_the_default_table_has_rows_of_stays_there(postgresql: str, database: Connection) -> None:
    tracker = UsageTracker(postgresql)
    tracker.record(call())
    tracker.close()
    made = make_ahead(database, MARCH, 1)
    assert made == ["llm_payloads_2026_03"]
    assert rows(database, "SELECT count(*) FROM llm_calls_default") == [(1,)]


def test_the_ledger_is_joined_with_tables_of_the_host(postgresql: str, database: Connection) -> None:
    database.exec_driver_sql("CREATE TABLE games (id TEXT PRIMARY KEY, name TEXT)")
    database.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    database.exec_driver_sql("INSERT INTO games VALUES ('g1', 'Friday')")
    database.exec_driver_sql("INSERT INTO alembic_version VALUES ('host-7')")
    database.commit()
    tracker = UsageTracker(postgresql)
    tracker.record(call(context=CallContext(game_id="g1"), cost=2_500))
    tracker.close()

    query = "SELECT g.name, u.status FROM games AS g JOIN api_usage AS u ON u.game_id = g.id"
    assert rows(database, query) == [("Friday", "ok")]
    assert rows(database, "SELECT micro_usd FROM llm_usage_records") == [(2,)]
    database.rollback()
    assert downgrade(postgresql, "base") is None
    assert rows(database, "SELECT name FROM games") == [("Friday",)]
    assert rows(database, "SELECT version_num FROM alembic_version") == [("host-7",)]


@pytest.mark.parametrize("wrong", ["status = 'succes'", "id = 'call-1'", "input_tokens = -1", "cost_nano_usd = -1"])
def test_the_database_refuses(wrong: str, postgresql: str, database: Connection) -> None:
    tracker = UsageTracker(postgresql)
    tracker.record(call())
    tracker.close()
    with pytest.raises(Exception, match="violates check constraint"):
        database.exec_driver_sql(f"UPDATE llm_calls SET {wrong}")


def test_two_processes_migrate_at_once(postgresql: str) -> None:
    source = """
        import sys
        from llmcore.ledger import upgrade
        import alembic.command, sqlalchemy
        print("ready", flush=True)
        sys.stdin.readline()
        print(upgrade(sys.argv[1]))
    """
    processes = [start_python(source, postgresql) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out, err) == (f"{revisions.HEAD}\n", "")


def test_ids_are_kept_as_they_are(postgresql: str, database: Connection) -> None:
    name = uuid7(NOW)
    tracker = UsageTracker(postgresql)
    tracker.record(call(id=name))
    tracker.close()
    assert rows(database, "SELECT id, tenant FROM llm_calls") == [(name, "default")]
