"""``llmcore calls``, ``trace`` and ``db``: what they print, in every shape, and what they say when that cannot be."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.making import MILLISECOND, NOW, SECOND, call
from llmcore._core import now, uuid7
from llmcore.cli.output import as_csv
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source, Texts

ROOT = Path(__file__).parents[3]
Run = Callable[..., Any]

FAILED: dict[str, Any] = {
    "status": LLMCallStatusEnum.ERROR,
    "source": Source.NONE,
    "outcome": Outcome.SERVER_ERROR,
    "cost": None,
}


@pytest.fixture
def record() -> Callable[..., list[CallRecord]]:
    def write(*records: CallRecord) -> list[CallRecord]:
        tracker = UsageTracker("calls.db")
        for one in records:
            tracker.record(one, Texts(messages=[{"role": "user", "content": "a secret"}], response="another"))
        tracker.close()
        return list(records)

    return write


@pytest.fixture
def recorded(record: Callable[..., list[CallRecord]]) -> list[CallRecord]:
    wall = now()[1]
    production = CallContext(tags=("production",), user_id="alice")
    return record(
        call(created_at=wall - 3 * SECOND),
        call(created_at=wall - 2 * SECOND, context=production, **FAILED),
        call(created_at=wall - SECOND, context=CallContext(tags=("test",), session_id="s1"), **FAILED),
        call(created_at=wall - 30 * 86_400 * SECOND, context=production, **FAILED),
    )


def test_calls_are_found_by_status_age_and_tag(run: Run, recorded: list[CallRecord]) -> None:
    ran = run("calls", "--database", "calls.db", "--status", "error", "--since", "7d", "--tag", "production")

    assert (ran.code, ran.err) == (0, "")
    heading, line = ran.out.splitlines()
    assert heading.split()[:3] == ["created", "(UTC)", "id"]
    assert recorded[1].id in line
    assert line.split()[3:] == ["error", "chat", "openai/gpt-4o-mini", "120", "?", "500", "ms", "server_error"]
    assert run("calls", "--database", "calls.db", "--tag", "none").out == "no calls\n"


def test_calls_are_printed_as_json_and_csv(run: Run, recorded: list[CallRecord]) -> None:
    found = json.loads(run("calls", "--database", "calls.db", "--json").out)
    rows = list(csv.DictReader(io.StringIO(run("calls", "--database", "calls.db", "--csv").out)))

    assert [one["id"] for one in found] == [row["id"] for row in rows] == [recorded[n].id for n in (2, 1, 0, 3)]
    assert found[2]["cost_nano_usd"] == int(rows[2]["cost_nano_usd"]) == recorded[0].cost
    assert (found[1]["tags"], rows[1]["tags"]) == (["production"], '["production"]')
    assert "secret" not in json.dumps(found)


def test_any_column_filters_and_sorts_and_pages_follow_each_other(run: Run, recorded: list[CallRecord]) -> None:
    def ids(*arguments: str) -> list[str]:
        return [one["id"] for one in json.loads(run("calls", "--database", "calls.db", "--json", *arguments).out)]

    assert ids("--where", "session_id=s1") == [recorded[2].id]
    assert ids("--where", "fallback_used=true") == []
    assert ids("--where", "attempts=1", "--sort", "created_at", "--limit", "1") == [recorded[3].id]
    assert ids("--user", "alice", "--user", "bob") == [recorded[1].id, recorded[3].id]
    assert ids("--after", recorded[1].id) == [recorded[0].id, recorded[3].id]
    page = run("calls", "--database", "calls.db", "--limit", "2").out
    assert page.splitlines()[-1] == f"... and perhaps more: --after {recorded[1].id}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("calls", "--status", "happy"), "status is one of"),
        (("calls", "--where", "colour=red"), "calls have no 'colour'"),
        (("calls", "--where", "colour"), "write COLUMN=VALUE"),
        (("calls", "--where", "attempts=many"), "nothing that attempts holds"),
        (("calls", "--sort", "prompt; DROP TABLE llm_calls"), "calls are sorted by"),
        (("calls", "--since", "yesterday"), "--since 'yesterday' is no time"),
        (("calls", "--until", "later"), "--until 'later' is no time"),
        (("calls", "--after", "nobody"), "is not in the ledger"),
        (("calls", "--json", "--csv"), "exclude each other"),
        (("calls", "--limit", "0"), "must be a whole number"),
        (("trace", "nobody"), "no trace and no call 'nobody'"),
        (("db", "cleanup"), "--days"),
        (("db", "cleanup", "--days", "-1"), "--days"),
    ],
)
def test_one_sentence_tells_what_is_wrong(run: Run, recorded: list[CallRecord], arguments: Any, says: str) -> None:
    ran = run(*arguments, "--database", "calls.db")

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", [("report",), ("calls",), ("trace", "t"), ("db", "cleanup", "--days", "9")])
def test_without_a_ledger_there_is_nothing_to_see(run: Run, command: tuple[str, ...]) -> None:
    for database in ("nowhere.db", "none"):
        ran = run(*command, "--database", database)
        assert (ran.code, ran.out) == (2, "")
        assert len(ran.err.strip().splitlines()) == 1
    assert not Path("nowhere.db").exists()


@pytest.mark.parametrize("command", [("report",), ("calls",), ("trace", "t"), ("db", "check"), ("db", "upgrade")])
def test_a_damaged_file_is_named_and_left_as_it_is(run: Run, command: tuple[str, ...]) -> None:
    damaged = b"SQLite format 3\x00" + b"\xff" * 5000
    Path("calls.db").write_bytes(damaged)

    ran = run(*command, "--database", "calls.db")

    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.strip().splitlines()) == 1
    assert "is damaged or no SQLite database: move the file away" in ran.err
    assert Path("calls.db").read_bytes() == damaged


def test_a_trace_is_a_tree(run: Run, record: Callable[..., list[CallRecord]]) -> None:
    root, second, third = uuid7(), uuid7(), uuid7()
    end = NOW + 3500 * MILLISECOND

    def inside(parent: str | None) -> CallContext:
        return CallContext(trace_id="trace-1", parent_call_id=parent)

    record(
        call(id=root, context=inside(None), call_type="rag_synthesis", cost=3_000_000, latency=2 * SECOND),
        call(id=second, context=inside(root), call_type="rag_query", created_at=NOW + 1, cost=1_000_000),
        call(id=third, context=inside(second), call_type="embedding", created_at=NOW + 2, latency=7 * MILLISECOND),
        call(context=inside(root), call_type="rag_query", created_at=NOW + 3 * SECOND, completed_at=end, **FAILED),
        call(context=CallContext(trace_id="trace-2")),
    )

    ran = run("trace", "trace-1", "--database", "calls.db")

    first, heading, *lines = ran.out.splitlines()
    assert re.fullmatch(r"trace trace-1: 4 calls, \$0\.0040\d* \+ \?, 3\.50 s from the first to the last", first)
    assert heading.split() == ["call", "status", "model", "tokens", "cost", "latency", "error"]
    tree = [line[: len(line) - len(line.lstrip())] + line.split()[0] for line in lines]
    assert tree == ["rag_synthesis", "  rag_query", "    embedding", "  rag_query"]
    assert "$0.00300" in lines[0]
    assert "2.00 s" in lines[0]
    assert "server_error" in lines[3]
    assert run("trace", third, "--database", "calls.db").out.splitlines()[1:] == [heading, *lines]
    depths = [one["depth"] for one in json.loads(run("trace", "trace-1", "--database", "calls.db", "--json").out)]
    assert depths == [0, 1, 2, 1]
    table = csv.DictReader(io.StringIO(run("trace", "trace-1", "--database", "calls.db", "--csv").out))
    assert [row["depth"] for row in table] == ["0", "1", "2", "1"]


def test_a_call_of_no_trace_is_shown_with_what_was_made_inside_it(
    run: Run, record: Callable[..., list[CallRecord]]
) -> None:
    first, again = uuid7(), uuid7()
    record(
        call(id=first, context=CallContext(), call_type="extraction", cost=3_000_000),
        call(id=again, context=CallContext(parent_call_id=first), call_type="extraction", cost=4_000_000),
        call(context=CallContext(), call_type="extraction"),
    )
    heading, _, *lines = run("trace", first, "--database", "calls.db").out.splitlines()
    assert heading.startswith(f"trace {first}: 2 calls, $0.0070")
    assert [line.split()[0] for line in lines] == ["extraction", "extraction"]
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2]
    assert len(run("trace", again, "--database", "calls.db").out.splitlines()) == 3


def test_calls_that_are_inside_each_other_are_printed_once(run: Run, record: Callable[..., list[CallRecord]]) -> None:
    one, other, own = uuid7(), uuid7(), uuid7()
    record(
        call(id=one, context=CallContext(trace_id="t", parent_call_id=other)),
        call(id=other, context=CallContext(trace_id="t", parent_call_id=one)),
        call(id=own, context=CallContext(trace_id="t", parent_call_id=own)),
        call(context=CallContext(trace_id="t", parent_call_id="elsewhere")),
    )
    found = json.loads(run("trace", "t", "--database", "calls.db", "--json").out)
    assert len({one["id"] for one in found}) == len(found) == 4


def test_a_report_as_csv_has_the_figures_of_the_other(run: Run, recorded: list[CallRecord]) -> None:
    told = json.loads(run("report", "--database", "calls.db", "--json").out)
    rows = list(csv.DictReader(io.StringIO(run("report", "--database", "calls.db", "--csv").out)))

    assert [(row["by"], row["name"]) for row in rows] == [
        ("total", ""),
        ("model", "openai/gpt-4o-mini"),
        ("call_type", "chat"),
    ]
    for row in rows:
        assert int(row["calls"]) == told["total"]["calls"] == 4
        assert int(row["cost_nano_usd"]) == told["total"]["cost_nano_usd"]
        assert float(row["latency_p95_ms"]) == told["total"]["latency"]["p95_ms"]
    assert json.loads(run("report", "--database", "calls.db", "--until", "7d", "--json").out)["total"]["calls"] == 1


def test_a_database_is_made_checked_and_cleaned_up(run: Run, record: Callable[..., list[CallRecord]]) -> None:
    assert run("db", "check", "--database", "calls.db").code == 1
    made = run("db", "upgrade", "--database", "calls.db")
    assert (made.code, made.out) == (0, "the ledger is at revision 0002, up to date\n")
    again = json.loads(run("db", "upgrade", "--database", "calls.db", "--json").out)
    assert again == {"before": "0002", "after": "0002"}
    wall = now()[1]
    record(call(created_at=wall), call(created_at=wall - 91 * 86_400 * SECOND))

    checked = run("db", "check", "--database", "calls.db")
    assert checked.code == 0
    assert checked.out.splitlines()[1:] == ["calls 2, pending 0, attempts 2, texts 2", "nothing is wrong with it"]
    assert json.loads(run("db", "check", "--database", "calls.db", "--json").out)["calls"] == 2
    cleaned = run("db", "cleanup", "--days", "90", "--database", "calls.db")
    assert (cleaned.code, cleaned.out) == (0, "removed 1 call older than 90 days\n")
    assert run("db", "cleanup", "--days", "90", "--database", "calls.db", "--csv").out == "removed,days\n0,90\n"
    assert run("db", "check", "--database", "calls.db").code == 0


def test_sums_that_do_not_add_up_are_found(run: Run, recorded: list[CallRecord]) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect("calls.db")) as database, database:
        database.execute("DELETE FROM llm_sums WHERE status = 'success' AND scope = 'day'")
    ran = run("db", "check", "--database", "calls.db")
    assert ran.code == 1
    assert "the sums by the day count 3 calls, and there are 4" in ran.out


FORGERIES = ("a\nok 2026", "a\r\nb", "a\x1b[2J\x1b[31mred", "a\u2028b", "a\x00b", "a\u202eb", "\x9b31m", "a\tb")


def test_nothing_that_was_recorded_writes_a_line_of_its_own(run: Run, record: Callable[..., list[CallRecord]]) -> None:
    for text in FORGERIES:
        context = CallContext(trace_id="t", user_id=text, player_name=text, tags=(text,), metadata={text: text})
        record(
            call(
                call_type=text,
                provider=text,
                model=text,
                error_code=text,
                error_message=text,
                context=context,
                **FAILED,
            )
        )
    plain = {command: run(*command, "--database", "calls.db") for command in [("calls",), ("trace", "t"), ("report",)]}
    for command, ran in plain.items():
        assert ran.code == 0
        assert all(character.isprintable() for line in ran.out.split("\n") for character in line), command
    assert len(plain["calls",].out.splitlines()) == 1 + len(FORGERIES)
    assert len(plain["trace", "t"].out.splitlines()) == 2 + len(FORGERIES)
    told, table = (run("calls", "--database", "calls.db", shape).out for shape in ("--json", "--csv"))
    assert all(character.isprintable() for line in (told + table).split("\n") for character in line)
    assert len(table.splitlines()) == 1 + len(FORGERIES)


def test_a_cell_of_csv_is_no_formula() -> None:
    assert as_csv([{"a": "=cmd()", "b": -1}], ("a", "b")) == "a,b\n'=cmd(),-1"


@pytest.mark.parametrize(
    "command", ["report", "calls", "trace", "db upgrade", "db check", "db cleanup", "ledger import"]
)
def test_the_manual_names_every_option_and_no_other(run: Run, command: str) -> None:
    manual = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    said = run(*command.split(), "--help").out

    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", said)) - {"--help"}
    section = manual.partition(f"## llmcore {command}\n")[2].partition("\n## ")[0]
    section += manual.partition("## What they share\n")[2].partition("\n## ")[0] if section else ""
    shared = {"--database", "--json", "--csv", "--since", "--until"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section)) - shared == options - shared
    assert {"--database", "--json", "--csv"} <= options
