"""The sums that the writer keeps are those of the rows, whatever is written, in which order, and how often."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from ledger.making import MILLISECOND, NOW, SECOND, batch_of, call
from llmcore._core import LatencySketch, ledger_name, uuid7
from llmcore.ledger.check import check
from llmcore.ledger.database import Database
from llmcore.ledger.entries import CLOSE, NOTE, OPEN
from llmcore.ledger.inserts import Inserts
from llmcore.ledger.rollups import AMOUNTS, KEY, READ, rebuild
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source

STATUS = LLMCallStatusEnum
HOUR = 3600 * SECOND
ENDINGS = [
    (STATUS.SUCCESS, Source.PROVIDER, Outcome.OK),
    (STATUS.CACHED, Source.CACHE, Outcome.OK),
    (STATUS.CACHED, Source.JOINED, Outcome.OK),
    (STATUS.FALLBACK, Source.PROVIDER, Outcome.OK),
    (STATUS.ERROR, Source.NONE, Outcome.SERVER_ERROR),
    (STATUS.REFUSED, Source.NONE, Outcome.OVER_BUDGET),
]


class Ledger:
    """A database, and writing to it as a tracker does."""

    def __init__(self, url: str, spool: str = "one") -> None:
        self.connection = Database(url).connect()
        self.inserts = Inserts(self.connection)
        self.spool = spool
        self.position = 0

    def write(self, *entries: tuple[int, CallRecord]) -> None:
        batch = batch_of(*entries, after=self.position)
        self.position += len(entries)
        rejected, error = self.inserts.write(self.connection, self.spool, batch, self.position)
        assert (rejected, error) == (0, None)

    def lose(self) -> None:
        self.inserts.lose_pending(self.connection, self.spool)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    found = Ledger(url)
    with closing(found.connection):
        yield found


def expected(connection: Connection) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """What the sums should be, from the rows, in the plainest way."""
    sums: dict[tuple[str, ...], list[Any]] = {}
    created = (
        "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
        if connection.dialect.name == "postgresql"
        else "created_at"
    )
    columns = ", ".join(READ).replace("created_at", created)
    for row in connection.exec_driver_sql(f"SELECT {columns} FROM llm_calls WHERE status <> 'pending'"):
        told = dict(zip(READ, row, strict=True))
        rest = tuple(told[name] or "" for name in KEY[3:])
        day = f"{told['created_at'][:10]} 00"
        places = [("hour", told["created_at"][:13], ""), ("day", day, "")]
        if told["user_id"] is not None:
            places.append(("user", day, told["user_id"]))
        if told["company_id"] is not None:
            places.append(("company", day, told["company_id"]))
        amounts = {name: told.get(name) or 0 for name in AMOUNTS}
        amounts |= {"calls": 1, "unpriced_calls": int(told["cost_nano_usd"] is None)}
        amounts["queue_ns"] = round(told["queue_ms"] * MILLISECOND)
        for place in places:
            known = sums.setdefault((*place, *rest), [[0] * len(AMOUNTS), 0, LatencySketch()])
            known[0] = [old + amounts[name] for old, name in zip(known[0], AMOUNTS, strict=True)]
            known[1] = max(known[1], amounts["queue_ns"])
            if told["source"] == "provider":
                known[2].add(round(told["latency_ms"] * MILLISECOND))
    connection.rollback()
    return {key: (*known[0], known[1], known[2].to_bytes()) for key, known in sums.items()}


def kept(connection: Connection) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """What the table says."""
    start = (
        "to_char(start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"
        if connection.dialect.name == "postgresql"
        else "substr(start, 1, 13)"
    )
    columns = ", ".join((*KEY, *AMOUNTS, "queue_ns_max", "latency")).replace("start", start)
    found = {}
    for row in connection.exec_driver_sql(f"SELECT {columns} FROM llm_sums").fetchall():
        sketch = LatencySketch()
        sketch.merge_bytes(row[-1] or b"")
        found[tuple(row[: len(KEY)])] = (*row[len(KEY) : -1], sketch.to_bytes())
    connection.rollback()
    return found


def some_call(luck: random.Random, **changes: Any) -> CallRecord:
    status, source, outcome = luck.choice(ENDINGS)
    latency = luck.randrange(10 * SECOND)
    fields: dict[str, Any] = {
        "status": status,
        "source": source,
        "outcome": outcome,
        "call_type": luck.choice(["chat", "rag_query", None]),
        "model": luck.choice(["gpt-4o", "gpt-4o-mini"]),
        "cost": luck.choice([None, 0, luck.randrange(10**12)]),
        "saved": luck.randrange(10**9),
        "latency": latency,
        "queued": luck.randrange(latency + 1),
        "created_at": NOW + luck.randrange(30 * HOUR),
        "tenant": luck.choice(["default", "acme"]),
        "context": CallContext(
            user_id=luck.choice([None, "alice", "bob"]), company_id=luck.choice([None, "acme", "initech"])
        ),
    }
    return call(**(fields | changes))


def begun(record: CallRecord, **changes: Any) -> CallRecord:
    """The same call when it was only begun."""
    fields = {name: getattr(record, name) for name in CallRecord.__struct_fields__}
    return CallRecord(**(fields | {"status": STATUS.PENDING, "usage": None, "cost": None, "attempts": ()} | changes))


def test_each_call_counts_in_four_places(ledger: Ledger) -> None:
    alice = CallContext(user_id="alice", company_id="acme")
    ledger.write((CLOSE, call(context=alice, cost=5)), (CLOSE, call(context=alice, cost=7)), (CLOSE, call(cost=None)))

    found = {key[:3]: amounts for key, amounts in kept(ledger.connection).items()}

    calls, cost, unpriced = AMOUNTS.index("calls"), AMOUNTS.index("cost_nano_usd"), AMOUNTS.index("unpriced_calls")
    assert {place: (sums[calls], sums[cost], sums[unpriced]) for place, sums in found.items()} == {
        ("hour", "2026-03-01 12", ""): (3, 12, 1),
        ("day", "2026-03-01 00", ""): (3, 12, 1),
        ("user", "2026-03-01 00", "alice"): (2, 12, 0),
        ("company", "2026-03-01 00", "acme"): (2, 12, 0),
    }


@pytest.mark.parametrize("seed", range(4))
def test_sums_are_those_of_the_rows(ledger: Ledger, seed: int) -> None:
    luck = random.Random(seed)
    known: list[CallRecord] = []
    for _ in range(12):
        batch: list[tuple[int, CallRecord]] = []
        for _ in range(luck.randrange(1, 25)):
            what = luck.random()
            if known and what < 0.1:  # the same again
                batch.append((CLOSE, luck.choice(known)))
            elif known and what < 0.3:  # another end, where and when it was
                old = luck.choice(known)
                new = some_call(luck, id=old.id, created_at=old.created_at)
                known[known.index(old)] = new
                batch.append((CLOSE, new))
            elif what < 0.5:
                record = some_call(luck)
                batch.append((OPEN, begun(record, reserved=luck.choice([None, luck.randrange(10**9)]))))
                if luck.random() < 0.5:
                    known.append(record)
                    batch.append((CLOSE, record))
            else:
                record = some_call(luck)
                known.append(record)
                batch.append((CLOSE, record))
        ledger.write(*batch)
        if luck.random() < 0.2:
            ledger.lose()
        assert kept(ledger.connection) == expected(ledger.connection)
    assert check(ledger.connection.engine).problems == []


some_lists = st.lists(
    st.tuples(st.sampled_from([OPEN, CLOSE]), st.integers(0, 5), st.integers(0, 2**32)), min_size=1, max_size=30
)


@given(some_lists)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_are_those_of_the_rows_for_any_history(tmp_path: Path, history: list[tuple[int, int, int]]) -> None:
    path = tmp_path / f"{uuid7()}.db"
    ledger = Ledger(f"sqlite:///{path}")
    ids = [uuid7() for _ in range(6)]
    with closing(ledger.connection):
        for kind, number, seed in history:
            record = some_call(random.Random(seed), id=ids[number], created_at=NOW + number * 7 * HOUR)
            ledger.write((kind, begun(record, reserved=seed) if kind == OPEN else record))
        ledger.lose()
        assert kept(ledger.connection) == expected(ledger.connection)


def test_a_call_that_was_lost_and_is_answered_after_all_moves(ledger: Ledger) -> None:
    record = call(cost=70, latency=2 * SECOND, context=CallContext(user_id="alice"))
    ledger.write((OPEN, begun(record, reserved=100)), (CLOSE, call(cost=1)))
    ledger.lose()
    status, cost = KEY.index("status"), AMOUNTS.index("cost_nano_usd")
    lost = {key[status]: sums[cost] for key, sums in kept(ledger.connection).items()}
    assert lost == {"success": 1, "lost": 100}

    ledger.write((CLOSE, record))

    assert kept(ledger.connection) == expected(ledger.connection)
    assert {key[status] for key in kept(ledger.connection)} == {"success"}


def test_a_call_that_is_written_again_with_more_of_its_context_moves_nothing_else(ledger: Ledger) -> None:
    record = call(cost=5)
    ledger.write((CLOSE, record))
    record.context = CallContext(user_id="alice", trackable_type="Game", trackable_id="7")

    ledger.write((CLOSE, record))

    assert kept(ledger.connection) == expected(ledger.connection)
    assert len(kept(ledger.connection)) == 3


@pytest.mark.parametrize("together", [True, False])
def test_a_note_to_a_call_moves_it_to_its_user(ledger: Ledger, together: bool) -> None:
    record = call(cost=5, call_type=None)
    named = call(call_type="chat", context=CallContext(user_id="bob"))
    told = CallContext(user_id="alice", trackable_type="Assignment", trackable_id="7")
    calls = [(CLOSE, record), (CLOSE, named)]
    notes = [(NOTE, call(id=one.id, call_type="quiz", context=told)) for one in (record, named)]
    notes.append((NOTE, call(context=told)))  # to nobody
    if together:
        ledger.write(*calls, *notes)
    else:
        ledger.write(*calls)
        ledger.write(*notes)

    rows = ledger.connection.exec_driver_sql(
        "SELECT call_type, user_id, trackable_type, trackable_id FROM llm_calls ORDER BY user_id"
    ).fetchall()
    assert [tuple(row) for row in rows] == [("quiz", "alice", "Assignment", "7"), ("chat", "bob", "Assignment", "7")]
    ledger.connection.rollback()
    assert kept(ledger.connection) == expected(ledger.connection)
    users = {key[KEY.index("name")]: key[KEY.index("call_type")] for key in kept(ledger.connection) if key[0] == "user"}
    assert users == {"alice": "quiz", "bob": "chat"}


def test_what_is_refused_is_not_counted_and_what_is_repaired_counts_as_it_is_stored(ledger: Ledger) -> None:
    good, bad = call(cost=1), call(cost=2, id="no uuid")
    odd = call(cost=4, model="m" * 3000, tenant="t" * 3000, context=CallContext(user_id="u" * 5000, hand_number=1))
    batch = batch_of((CLOSE, good), (CLOSE, bad), (CLOSE, odd))

    rejected, error = ledger.inserts.write(ledger.connection, "one", batch, 3)

    assert (rejected, error is None) == (1, False)
    found = kept(ledger.connection)
    assert sum(sums[0] for key, sums in found.items() if key[0] == "hour") == 2
    assert sum(sums[AMOUNTS.index("cost_nano_usd")] for key, sums in found.items() if key[0] == "day") == 5
    assert max(len(part) for key in found for part in key) <= 200


def test_names_that_are_cut_stay_apart() -> None:
    one, other = "x" * 300 + "1", "x" * 300 + "2"
    assert len(ledger_name(one)) == 200
    assert ledger_name(one) != ledger_name(other)
    assert ledger_name("x" * 200) == "x" * 200
    assert ledger_name(None) == ledger_name("") == ""


def test_sums_stop_at_the_end_of_their_range(ledger: Ledger) -> None:
    most = 2**63 - 1
    for _ in range(2):
        ledger.write((CLOSE, call(cost=most, saved=most)), (CLOSE, call(cost=most, saved=1)))
    costs = [sums[AMOUNTS.index("cost_nano_usd")] for sums in kept(ledger.connection).values()]
    assert costs == [most, most]


def test_many_small_batches_keep_the_sketch_small(ledger: Ledger) -> None:
    luck = random.Random(1)
    for _ in range(400):
        ledger.write((CLOSE, call(latency=luck.randrange(1, 60 * SECOND))))
    longest = ledger.connection.exec_driver_sql("SELECT max(length(latency)) FROM llm_sums").scalar()
    assert longest is not None
    assert longest < 4200
    ledger.connection.rollback()
    assert kept(ledger.connection) == expected(ledger.connection)


def test_a_failed_transaction_adds_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError("the plug")

    with monkeypatch.context() as patch:
        patch.setattr(ledger.inserts, "_move", fail)
        with pytest.raises(OSError, match="the plug"):
            ledger.write((CLOSE, call()))
    ledger.position = 0
    ledger.write((CLOSE, call()))
    assert kept(ledger.connection) == expected(ledger.connection)
    assert len(kept(ledger.connection)) == 2


def test_new_prices_are_summed_by_a_rebuild(ledger: Ledger) -> None:
    luck = random.Random(5)
    ledger.write(*((CLOSE, some_call(luck)) for _ in range(50)))
    ledger.connection.exec_driver_sql("UPDATE llm_calls SET cost_nano_usd = 42 WHERE model = 'gpt-4o'")
    rebuild(ledger.connection, "2026-03-01", "2026-03-02")
    ledger.connection.commit()
    assert kept(ledger.connection) == expected(ledger.connection)


def test_writers_at_once_add_up(url: str) -> None:
    """Several processes write the same hours, and end each other's calls."""
    shared = [some_call(random.Random(n), id=uuid7(), created_at=NOW + n) for n in range(20)]
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            luck = random.Random(number)
            ledger = Ledger(url, f"spool-{number}")
            with closing(ledger.connection):
                for _ in range(15):
                    records = [some_call(luck) for _ in range(10)]
                    old = luck.choice(shared)
                    records.append(some_call(luck, id=old.id, created_at=old.created_at))
                    ledger.write(*((CLOSE, record) for record in records))
        except BaseException as error:
            failed.append(error)

    first = Ledger(url, "shared")
    with closing(first.connection):
        first.write(*((CLOSE, record) for record in shared))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with closing(Database(url).connect()) as connection:
        assert kept(connection) == expected(connection)
