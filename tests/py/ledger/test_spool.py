"""What is written down before a call is sent outlives whoever wrote it, and reaches the database once."""

import json
import random
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.making import NOW, ask, attempts, call, count, start_python
from llmcore._core import JournalReader, JournalWriter, Usage, uuid7
from llmcore.ledger.content import Content
from llmcore.ledger.entries import CLOSE, OPEN, Payload, decode, encode
from llmcore.ledger.spool import Spool, folders_for
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source, Texts, ToolCall
from support.trackers import wait_for


@pytest.fixture
def tracker(path: Path) -> Iterator[UsageTracker]:
    tracker = UsageTracker(str(path))
    yield tracker
    tracker.close()


def begun(**changes: Any) -> CallRecord:
    """A call that is about to be sent."""
    pending = {"status": LLMCallStatusEnum.PENDING, "source": Source.NONE, "usage": None, "cost": None, "attempts": ()}
    return call(reserved=1_000_000, latency=0, completed_at=0, **(pending | changes))


def spool_of(path: Path) -> Path:
    return path.with_name(path.name + ".spool")


# --- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_reads_as_it_was_written() -> None:
    tries = attempts(Usage(input_uncached=7, output_text=3, estimated=True), [Outcome.TIMEOUT, Outcome.OK])
    context = CallContext(user_id="ada", hand_number=3, tags=("a", "b"), metadata={"n": 1})
    record = call(attempts=tries, usage=tries[-1].usage, context=context, tenant="acme", reported_cost=5)
    payload = Payload("full", "be brief", "hi", "[]", "hello")

    entry = decode(encode(record, payload))

    read = entry.call
    assert entry.payload == payload
    assert json.loads(entry.metadata or "") == {"n": 1}
    assert (read.context.user_id, read.context.tags, read.context.metadata) == ("ada", ("a", "b"), None)
    assert context.metadata == {"n": 1}
    assert read.usage == record.usage
    assert [a.__getstate__() for a in read.attempts] == [a.__getstate__() for a in tries]
    same = set(CallRecord.__struct_fields__) - {"context", "attempts"}
    assert {name: getattr(read, name) for name in same} == {name: getattr(record, name) for name in same}


@given(st.text(st.characters(exclude_categories=())), st.integers(), st.floats())
def test_nothing_that_a_program_puts_in_keeps_a_call_from_being_written(text: str, number: int, real: float) -> None:
    context = CallContext(user_id=text, tags=(text,), hand_number=number, metadata={text: object(), "n": number})
    record = call(context=context, error_message=text, max_tokens=number, temperature=real, provider=text)

    entry = decode(encode(record, Payload("full", prompt=text)))

    assert entry.call.id == record.id
    assert entry.call.usage == record.usage
    assert entry.metadata is not None


@given(st.binary(max_size=300))
def test_bytes_that_are_no_entry_are_refused(data: bytes) -> None:
    try:
        entry = decode(data)
    except Exception:
        return
    assert isinstance(entry.call, CallRecord)


# --- a call's way -----------------------------------------------------------------------------------------------------


def test_a_call_is_pending_from_its_beginning_to_its_end(path: Path, tracker: UsageTracker) -> None:
    first = begun()
    tracker.begin(first)
    tracker.flush(timeout=30)
    query = "SELECT status, reserved_nano_usd, cost_nano_usd, spool IS NOT NULL FROM llm_calls"
    assert ask(path, query) == [("pending", 1_000_000, None, 1)]

    tracker.record(call(id=first.id, cost=7, reserved=1_000_000))
    tracker.flush(timeout=30)
    assert ask(path, query) == [("success", 1_000_000, 7, 0)]
    assert tracker.stats().written == 1


def test_a_beginning_that_comes_late_changes_nothing(path: Path, tracker: UsageTracker) -> None:
    record = call(cost=7)
    tracker.record(record)
    tracker.flush(timeout=30)
    tracker.begin(begun(id=record.id))
    tracker.flush(timeout=30)
    assert ask(path, "SELECT status, cost_nano_usd FROM llm_calls") == [("success", 7)]


def test_a_spool_goes_when_all_of_it_is_in_the_database(path: Path, tracker: UsageTracker) -> None:
    tracker.record(call())
    tracker.flush(timeout=30)
    assert len(list(spool_of(path).iterdir())) == 1
    tracker.close()
    assert not spool_of(path).exists()
    assert ask(path, "SELECT * FROM llm_spools") == []


def test_what_never_ends_is_lost_when_its_tracker_ends(path: Path, tracker: UsageTracker) -> None:
    tracker.begin(begun())
    tracker.close()
    assert ask(path, "SELECT status, cost_nano_usd, error_code, spool FROM llm_calls") == [
        ("lost", 1_000_000, "lost", None)
    ]


def test_a_process_that_is_killed_leaves_its_calls_to_the_next(path: Path) -> None:
    source = """
        import sys, time
        from ledger.making import call
        from llmcore import UsageTracker
        from llmcore.types import LLMCallStatusEnum
        tracker = UsageTracker("postgresql://nowhere.invalid/db", spool_dir=sys.argv[1])  # never in the database
        for _ in range(50):
            record = call()
            tracker.begin(call(id=record.id, status=LLMCallStatusEnum.PENDING, reserved=9, cost=None))
            tracker.record(record)
        tracker.begin(call(status=LLMCallStatusEnum.PENDING, reserved=9, cost=None))
        print("ready", flush=True)
        time.sleep(60)
    """
    spools = path.parent / "spools"
    with start_python(source, spools) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    (folder,) = spools.iterdir()
    shutil.move(folder, spool_of(path))

    tracker = UsageTracker(str(path))
    tracker.record(call())
    wait_for(tracker, lambda stats: stats.adopted == 101)
    tracker.close()

    found = dict(ask(path, "SELECT status, count(*) FROM llm_calls GROUP BY status"))
    assert found == {"success": 51, "lost": 1}
    assert ask(path, "SELECT cost_nano_usd FROM llm_calls WHERE status = 'lost'") == [(9,)]
    assert not spool_of(path).exists()


@pytest.mark.slow
@pytest.mark.parametrize("ack", ["os", "disk"])
def test_killed_at_any_moment_no_acknowledged_call_is_lost_or_doubled(path: Path, ack: str) -> None:
    source = """
        import os, random, signal, sys, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from ledger.making import call, PRICES
        from llmcore import UsageTracker
        from llmcore.types import LLMCallStatusEnum
        import sqlalchemy, llmcore.ledger.inserts
        path, ack, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
        UsageTracker(path).check()
        rng = random.Random(kills)
        for number in range(kills):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                tracker = UsageTracker(path, ack=ack)
                while True:
                    record = call(cost=1)
                    tracker.begin(call(id=record.id, status=LLMCallStatusEnum.PENDING, reserved=1, cost=None))
                    os.write(writing, b"b" + record.id.encode())
                    tracker.record(record)
                    os.write(writing, b"e" + record.id.encode())
            os.close(writing)
            os.read(reading, 37)
            time.sleep(rng.random() * 0.02)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            told = b""
            while piece := os.read(reading, 1 << 20):
                told += piece
            os.close(reading)
            sys.stdout.write(told.decode()[: len(told) // 37 * 37])
    """
    with start_python(source, path, ack, 150) as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    told = [out[start : start + 37] for start in range(0, len(out), 37)]
    ended = {entry[1:] for entry in told if entry[0] == "e"}
    started = {entry[1:] for entry in told if entry[0] == "b"}

    tracker = UsageTracker(str(path))
    tracker.record(call(cost=1))
    tracker.flush(timeout=60)
    wait_for(tracker, lambda stats: len(list(spool_of(path).iterdir())) == 1)
    tracker.close()

    rows = dict(ask(path, "SELECT id, status FROM llm_calls"))
    assert count(path) == len(rows)
    assert {status for id, status in rows.items() if id in ended} <= {"success"}
    assert ended <= rows.keys()
    assert started <= rows.keys()
    assert "pending" not in rows.values()
    assert ask(path, "SELECT sum(cost_nano_usd) FROM llm_calls") == [(len(rows),)]
    assert not spool_of(path).exists()


# --- exactly once -----------------------------------------------------------------------------------------------------


def test_a_spool_that_is_written_twice_counts_once(path: Path, tracker: UsageTracker) -> None:
    """As when a process dies between its transaction and what it does then."""
    tracker.record(call(cost=1))
    tracker.flush(timeout=30)
    (folder,) = spool_of(path).iterdir()
    copy = path.parent / "copy"
    shutil.copytree(folder, copy)
    with closing(sqlite3.connect(path)) as database:  # a row that a second writing would change back
        database.execute("UPDATE llm_calls SET cost_nano_usd = 2")
        database.commit()
    position = ask(path, "SELECT id, position FROM llm_spools")
    tracker.close()
    with closing(sqlite3.connect(path)) as database:
        database.executemany("INSERT INTO llm_spools VALUES (?, ?, '2026-03-01 12:00:00')", position)
        database.commit()
    spool_of(path).mkdir()
    shutil.move(copy, spool_of(path) / folder.name)

    with_another = UsageTracker(str(path))
    with_another.record(call(cost=1))
    with_another.flush(timeout=30)
    wait_for(with_another, lambda stats: len(list(spool_of(path).iterdir())) == 1)
    with_another.close()

    assert ask(path, "SELECT sum(cost_nano_usd) FROM llm_calls") == [(3,)]


def test_a_spool_in_use_is_left_alone(path: Path, tracker: UsageTracker) -> None:
    tracker.begin(begun())
    tracker.flush(timeout=30)
    other = UsageTracker(str(path))
    other.record(call())
    other.flush(timeout=30)
    other.close()
    assert dict(ask(path, "SELECT status, count(*) FROM llm_calls GROUP BY status")) == {"pending": 1, "success": 1}


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_damaged_spool_is_kept_and_all_else_in_it_is_recorded(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = spool_of(path) / uuid7()
    with JournalWriter(folder) as journal:
        for _ in range(9):
            journal.append(CLOSE, encode(call(), None))
        journal.append(CLOSE, b"no entry")
    (segment,) = folder.glob("*.journal")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)

    tracker = UsageTracker(str(path))
    tracker.record(call())
    tracker.flush(timeout=30)
    wait_for(tracker, lambda stats: stats.rejected > 0)
    tracker.close()

    assert count(path) == 9
    assert [p.name for p in spool_of(path).iterdir()] == [folder.name + ".damaged"]
    assert "is damaged and kept as" in caplog.text


# --- where spools lie -------------------------------------------------------------------------------------------------


def test_where_spools_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "calls.db"
    beside, state = folders_for(None, str(file), file)
    assert beside == tmp_path / "calls.db.spool"
    assert state.parent == tmp_path / "state" / "llmcore"
    assert folders_for(None, "postgresql://a/b", None) != folders_for(None, "postgresql://a/c", None)
    (said,) = folders_for(tmp_path / "said", str(file), file)
    assert said.parent == tmp_path / "said"


def test_a_database_without_a_folder_has_its_spool_elsewhere(tmp_path: Path) -> None:
    folders = [tmp_path / "missing" / "calls.db.spool", tmp_path / "state"]
    spool = Spool(folders)
    spool.append(OPEN, encode(begun(), None))
    assert spool.folder.parent == tmp_path / "state"
    assert not (tmp_path / "missing").exists()
    spool.close()


def test_the_spool_is_for_its_owner_alone(path: Path, tracker: UsageTracker) -> None:
    tracker.record(call(), Texts([{"role": "user", "content": "a secret"}]))
    files = [file for file in spool_of(path).rglob("*") if file.is_file()]
    assert files
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


# --- content ----------------------------------------------------------------------------------------------------------

SAID = Texts(
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Greet"}, {"type": "text", "text": "me."}]},
    ],
    "Hello.",
    [ToolCall("c1", "wave", "{}")],
)


def payloads(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM llm_payloads ORDER BY rowid")]


def test_texts_are_kept_apart_from_figures(path: Path, tracker: UsageTracker) -> None:
    record = call()
    tracker.record(record, SAID)
    tracker.flush(timeout=30)
    (kept,) = payloads(path)
    assert (kept["call_id"], kept["policy"], kept["system_prompt"], kept["prompt"], kept["response"]) == (
        record.id,
        "full",
        "Be brief.",
        "Greet\nme.",
        "Hello.",
    )
    assert json.loads(kept["messages"]) == SAID.messages
    assert json.loads(kept["tool_calls"]) == [{"id": "c1", "name": "wave", "arguments": "{}", "type": "function"}]
    assert ask(path, "SELECT response FROM llm_requests") == [("Hello.",)]
    assert ask(path, "SELECT prompt FROM llm_usage_records") == [("Greet\nme.",)]


def test_what_was_said_at_the_beginning_stays(path: Path, tracker: UsageTracker) -> None:
    first = begun()
    tracker.begin(first, Texts([{"role": "user", "content": "Hi"}]))
    tracker.record(call(id=first.id), Texts(None, "Hello."))
    tracker.flush(timeout=30)
    (kept,) = payloads(path)
    assert kept["response"] == "Hello."


def test_hashes_tell_equal_texts_and_nothing_else(path: Path) -> None:
    tracker = UsageTracker(str(path), content={"chat": "hash", "*": "none"})
    tracker.record(call(), SAID)
    tracker.record(call(), SAID)
    tracker.record(call(call_type="summarization"), SAID)
    tracker.close()
    one, two = payloads(path)
    assert one["policy"] == "hash"
    assert one["request_sha256"] == two["request_sha256"] != one["response_sha256"]
    assert {one[name] for name in ("prompt", "messages", "response", "system_prompt", "tool_calls")} == {None}


@pytest.mark.parametrize("policy", ["hash", "none"])
def test_texts_that_must_not_be_kept_are_in_no_file(path: Path, policy: Any) -> None:
    tracker = UsageTracker(str(path), content=policy)
    tracker.record(call(), Texts([{"role": "user", "content": "sesame"}], "sesame"))
    seen = b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    tracker.close()
    seen += b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    assert b"sesame" not in seen


def test_a_redaction_sees_texts_before_any_file_does(path: Path) -> None:
    def redact(texts: Texts, call_type: str | None) -> Texts | None:
        if call_type == "system":
            return None
        return Texts(texts.messages, (texts.response or "").replace("4711", "[number]"))

    tracker = UsageTracker(str(path), redact=redact)
    tracker.record(call(), Texts([], "my number is 4711"))
    tracker.record(call(call_type="system"), Texts([], "4711"))
    seen = b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    tracker.close()
    assert b"4711" not in seen
    assert [row["response"] for row in payloads(path)] == ["my number is [number]"]


def test_a_redaction_that_fails_keeps_nothing_and_loses_no_call(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def redact(texts: Texts, call_type: str | None) -> Texts | None:
        raise KeyError("4711")

    tracker = UsageTracker(str(path), redact=redact)
    tracker.record(call(), SAID)
    tracker.close()
    assert (count(path), payloads(path)) == (1, [])
    assert "the redaction of texts raised KeyError" in caplog.text
    assert "4711" not in caplog.text


def test_texts_show_nothing_of_themselves() -> None:
    assert "brief" not in repr(SAID)
    assert Content("none").of(SAID, "chat") is None


def test_a_journal_of_the_spool_holds_beginnings_and_ends(path: Path) -> None:
    tracker = UsageTracker("postgresql://nowhere.invalid/db", spool_dir=path.parent)
    tracker.begin(begun(created_at=NOW))
    tracker.record(call(created_at=NOW))
    (folder,) = [file.parent for file in path.parent.rglob("*.journal")]
    kinds = [kind for _, kind, _ in JournalReader(folder)]
    assert kinds == [OPEN, CLOSE]
    random.seed(0)
    tracker.close(timeout=0)
