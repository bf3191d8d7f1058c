"""The report, of a run and of the ledger, as text and as JSON."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmcore.cli.report import moment, render
from llmcore.errors import LLMConfigError
from llmcore.ledger.report import ReportBuilder
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source, Usage
from support.server import Answer, ScriptedServer

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def call(number: int, status: LLMCallStatusEnum = LLMCallStatusEnum.SUCCESS, **fields: Any) -> CallRecord:
    defaults: dict[str, Any] = {
        "id": str(number),
        "call_type": "chat",
        "outcome": Outcome.OK,
        "source": Source.PROVIDER,
        "provider": "openai",
        "model": "gpt-4o-mini",
        "context": CallContext(),
        "usage": Usage(input_uncached=100, cache_read=20, output_text=10, reasoning=5),
        "cost": 12_300_000,
        "latency": 250_000_000,
        "queued": 40_000_000,
    }
    return CallRecord(status=status, **(defaults | fields))


def test_the_text_says_everything_once() -> None:
    builder = ReportBuilder()
    for number in range(3):
        builder.add(call(number))
    builder.add(call(3, LLMCallStatusEnum.CACHED, source=Source.CACHE, cost=0, saved=12_300_000, queued=0))
    builder.add(call(4, LLMCallStatusEnum.CACHED, source=Source.JOINED, cost=0, saved=12_300_000))
    builder.add(call(5, LLMCallStatusEnum.FALLBACK, provider="llama", model="smollm2", cost=0, call_type=None))
    builder.add(call(6, cost=None, model="mystery"))
    builder.add(
        call(
            7,
            LLMCallStatusEnum.REFUSED,
            outcome=Outcome.OVER_BUDGET,
            source=Source.NONE,
            usage=None,
            error_code="over_budget",
        )
    )

    text = render(builder.build())

    head, _, tables = text.partition("\n\n")
    assert head.splitlines() == [
        "calls     8: 4 ok, 1 cached, 1 coalesced, 1 fallback, 0 failed, 1 refused",
        "attempts  0",
        "tokens    840 in (140 from the provider's cache), 105 out (35 of them reasoning)",
        "cost      $0.0492, and an unknown amount for 1 of the calls",
        "saved     $0.0246 by the cache and by coalescing",
        "latency   p50 250 ms, p95 250 ms, p99 250 ms, most 250 ms",
        "waiting   280 ms for limits, all calls together; 40 ms the longest",
        "errors    1 over_budget",
    ]
    rows = {line.split("  ")[0]: line.split()[1:] for line in tables.splitlines() if line}
    assert rows["openai/gpt-4o-mini"] == ["6", "1", "600", "75", "$0.0492", "250", "ms", "250", "ms"]
    assert rows["openai/mystery"][4:7] == ["$0", "+", "?"]
    assert "(none)" in rows
    widths = {len(line) for line in tables.split("\n\n")[0].splitlines()}
    assert len(widths) == 1


def test_one_model_and_one_call_type_need_no_tables() -> None:
    builder = ReportBuilder()
    builder.add(call(1))

    assert "\n\n" not in render(builder.build())


def test_tables_stay_readable_whatever_the_names_and_however_many() -> None:
    builder = ReportBuilder()
    for number in range(60):
        builder.add(call(number, call_type=f"type {number}", model=f"\x1b[2J{number % 2}" * 5000))

    lines = render(builder.build()).splitlines()

    assert max(map(len, lines)) < 160
    assert all(line.isprintable() for line in lines)
    assert lines[-1] == "... and 10 more (--json has them all)"
    assert sum(line.startswith("type ") for line in lines) == 50


def test_nothing_is_a_report_too() -> None:
    assert render(ReportBuilder().build()).startswith("calls     0: 0 ok")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("90m", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 11, 19, 12, 0, tzinfo=UTC)),
        (" 7d ", datetime(2026, 11, 13, 12, 0, tzinfo=UTC)),
        ("2w", datetime(2026, 11, 6, 12, 0, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T08:30", datetime(2026, 11, 1, 8, 30, tzinfo=UTC)),
        ("2026-11-01T08:30+02:00", datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_told_by_its_age_or_its_date(text: str, means: datetime) -> None:
    assert moment(text, NOW) == means


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "-7d", "2026-13-01", "999999w"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(LLMConfigError, match="is no time"):
        moment(text, NOW)


def test_the_ledger_of_a_run_reports_what_the_run_reported(
    run: Callable[..., Any],
    requests: Callable[..., Path],
    request_of: Callable[..., dict[str, Any]],
    server: ScriptedServer,
    tmp_path: Path,
) -> None:
    server.handler = lambda received: (
        Answer.error(400, "no") if "r3" in received.json["messages"][0]["content"] else Answer.chat()
    )
    lines = [request_of(f"r{number}", f"r{number % 4}", call_type="chat", game_id="g1") for number in range(8)]
    arguments = ["--provider", "openai", "--base-url", server.base_url, "-o", "out.jsonl", "--database", "calls.db"]

    ran = run("batch", requests(lines), *arguments, "--json")
    told = json.loads(ran.out)
    ledger = run("report", "--database", "calls.db", "--json")

    assert ledger.code == 0
    kept = json.loads(ledger.out)
    # The ledger rounds times to what its columns hold.
    for report in (told, kept):
        for section in (report["total"], *report["by_call_type"].values(), *report["by_model"].values()):
            section.pop("latency")
            section.pop("queue_ms")
            section.pop("queue_ms_max")
    assert kept == told
    assert (told["total"]["ok"], told["total"]["cached"] + told["total"]["joined"], told["total"]["failed"]) == (
        3,
        3,
        2,
    )
    assert told["total"]["cost_usd"] == "0.000014400"

    text = run("report", "--database", f"sqlite:///{tmp_path / 'calls.db'}", "--since", "1h")
    assert "3 ok" in text.out
    assert text.out.startswith("since ")


def test_the_context_beside_a_request_and_its_id_are_in_the_ledger(
    run: Callable[..., Any], requests: Callable[..., Path], request_of: Callable[..., dict[str, Any]]
) -> None:
    import sqlite3

    line = request_of("r1", call_type="commentary", game_id="g1", hand_number=4, tags=["a"], shard=2)

    run("batch", requests([line]), "--provider", "offline", "-o", "out.jsonl", "--database", "calls.db")

    with closing(sqlite3.connect("calls.db")) as database, database:
        row = database.execute("SELECT call_type, game_id, hand_number, tags, metadata FROM llm_calls").fetchone()
    assert row[:3] == ("commentary", "g1", 4)
    assert json.loads(row[3]) == ["a"]
    assert json.loads(row[4]) == {"shard": 2, "custom_id": "r1"}


def test_a_ledger_that_is_not_there_is_named(run: Callable[..., Any]) -> None:
    ran = run("report", "--database", "nowhere.db")

    assert ran.code == 2
    assert "nowhere.db" in ran.err
    assert "Traceback" not in ran.err


def test_no_ledger_has_no_report(run: Callable[..., Any]) -> None:
    ran = run("report", "--database", "none")

    assert ran.code == 2
    assert "--database" in ran.err


@pytest.mark.parametrize("database", ["missing/calls.db", "notes.txt"])
def test_a_database_that_cannot_hold_the_ledger_ends_a_run_before_its_first_call(
    run: Callable[..., Any], requests: Callable[..., Path], server: ScriptedServer, tmp_path: Path, database: str
) -> None:
    (tmp_path / "notes.txt").write_text("dear diary " * 1000)
    arguments = ["--provider", "openai", "--base-url", server.base_url, "-o", "out.jsonl", "--database", database]

    ran = run("batch", requests(3), *arguments)

    assert ran.code == 2
    assert database in ran.err
    assert "Traceback" not in ran.err
    assert server.requests == []


def test_the_version_is_told(run: Callable[..., Any]) -> None:
    from llmcore import __version__

    ran = run("--version")

    assert (ran.code, ran.out) == (0, f"llmcore {__version__}\n")
