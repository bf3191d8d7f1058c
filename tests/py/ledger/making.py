"""Calls to record, made by the real engine, and plain looks into a SQLite ledger."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from llmcore._core import AttemptRecord, Config, Engine, LedgerBatch, PriceCard, Rates, Send, Target, Usage, uuid7
from llmcore.ledger.entries import Payload, encode
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Priority, Source

NOW = 1_772_366_400_000_000_000  # 2026-03-01 12:00:00 UTC
SECOND = 1_000_000_000
MILLISECOND = 1_000_000

PRICES = PriceCard(Rates(input=150_000_000, cache_read=75_000_000, output=600_000_000, reasoning=600_000_000))


def batch_of(*entries: tuple[int, CallRecord] | tuple[int, CallRecord, Payload | None], after: int = 0) -> LedgerBatch:
    """Entries, each of a kind, as a writer takes them from a spool; their numbers follow `after`."""
    batch = LedgerBatch()
    for number, (kind, record, *payload) in enumerate(entries, after + 1):
        assert batch.add(number, kind, encode(record, payload[0] if payload else None))
    return batch


def attempts(
    usage: Usage,
    outcomes: Sequence[Outcome] = (Outcome.OK,),
    *,
    provider: str = "openai",
    model: str = "gpt-4o-mini",
    wall: int = NOW,
    latency: int = 500 * MILLISECOND,
    retry_after: int = 0,
) -> list[AttemptRecord]:
    """What an engine records of a call whose attempts end like this; the last one uses `usage`."""
    engine = Engine(Config.server())
    target = Target(provider, model, 1000, 1000, 0, PRICES)
    engine.submit("default", "chat", Priority.MEDIUM, 600 * SECOND, None, [target], [], 0, wall)
    left = list(outcomes)
    found: list[AttemptRecord] = []
    now = 0
    while True:
        sent = False
        for action in engine.drain():
            if isinstance(action, AttemptRecord):
                found.append(action)
            elif isinstance(action, Send):
                sent = True
                now += latency
                outcome = left.pop(0)
                if outcome is Outcome.OK:
                    engine.replied(action.attempt, usage, PRICES, None, now, wall + now)
                else:
                    engine.failed(action.attempt, outcome, None, retry_after, Usage(), PRICES, now, wall + now)
        if sent:
            continue
        due = engine.next_deadline()
        if not left or due is None:
            return found
        now = max(now, due)
        engine.tick(now, wall + now)


@cache
def _one_attempt() -> AttemptRecord:
    return attempts(Usage(input_uncached=100, output_text=20))[0]


def call(**changes: Any) -> CallRecord:
    """A call that was answered at the first attempt, with some fields changed."""
    attempt = _one_attempt()
    record = CallRecord(
        id=uuid7(),
        call_type="chat",
        status=LLMCallStatusEnum.SUCCESS,
        outcome=Outcome.OK,
        source=Source.PROVIDER,
        provider="openai",
        model="gpt-4o-mini",
        context=CallContext(),
        response_model="gpt-4o-mini-2024-07-18",
        usage=attempt.usage,
        cost=attempt.cost,
        latency=attempt.latency,
        attempts=[attempt],
        finish_reason="stop",
        created_at=NOW,
        started_at=NOW,
        completed_at=NOW + attempt.latency,
    )
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def ask(path: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, asked past llmcore and SQLAlchemy."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query, values).fetchall()


def count(path: Path, table: str = "llm_calls") -> int:
    """How many rows a table has."""
    found: int = ask(path, f"SELECT count(*) FROM {table}")[0][0]
    return found


def start_python(source: str, *arguments: object, **options: Any) -> "subprocess.Popen[str]":
    """Another interpreter that runs this source and can import what this file can."""
    folder = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run_python(source: str, *arguments: object, **options: Any) -> str:
    """What another interpreter prints; fails with its complaints if it fails."""
    with start_python(source, *arguments, **options) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out
