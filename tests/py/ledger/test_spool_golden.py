"""The bytes of a spool's entries and the rows they come to, kept so that neither changes unseen: the C++ tests read the
same file, and so does every later version.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.making import MILLISECOND, NOW, SECOND, attempts
from llmcore._core import LedgerBatch, Usage
from llmcore.ledger.entries import CLOSE, NOTE, OPEN, Payload, encode
from llmcore.types import CallContext, CallRecord, LLMCallStatusEnum, Outcome, Source

FILE = Path(__file__).parents[2] / "data" / "spool" / "entries.jsonl"
ID = "019c9b0e-5800-7000-8000-000000000001"


def _rows(kind: int, data: bytes) -> dict[str, list[Any]]:
    batch = LedgerBatch()
    assert batch.add(1, kind, data)
    batch.choose(0)
    begun, calls, tries, payloads = batch.rows("spool")
    return {"begun": begun, "calls": calls, "attempts": tries, "payloads": payloads, "notes": [*map(list, batch.notes)]}


def entries() -> list[tuple[str, int, bytes, dict[str, list[Any]]]]:
    """(name, kind, bytes, rows) of one entry of each sort."""
    context = CallContext(
        user_id="ada",
        owner_id="o",
        session_id="s",
        task_id="t",
        company_id="Größe & Söhne",
        review_id="r",
        game_id="g",
        player_name='the "innkeeper"\n',
        hand_number=7,
        prompt_template="p",
        trace_id="trace",
        parent_call_id="019c9b0e-5800-7000-8000-000000000000",
        trackable_type="Game",
        trackable_id="7",
        tags=("a", 'with "quotes"'),
        metadata={"depth": 3},
    )
    usage = Usage(input_uncached=100, cache_read=20, output_text=30, reasoning=4, image_input=5, estimated=True)
    begun = CallRecord(
        ID,
        "chat",
        LLMCallStatusEnum.PENDING,
        Outcome.OK,
        Source.NONE,
        "openai",
        "gpt-4o-mini",
        context,
        created_at=NOW,
        reserved=1_000_000,
        temperature=0.5,
        max_tokens=2800,
        tenant="acme",
    )
    ended = CallRecord(
        ID,
        None,
        LLMCallStatusEnum.SUCCESS,
        Outcome.OK,
        Source.PROVIDER,
        "openai",
        "gpt-4o-mini",
        CallContext(),
        "gpt-4o-mini-2024-07-18",
        usage,
        123_456_789,
        0,
        "genai-prices",
        1500 * MILLISECOND,
        2 * MILLISECOND,
        300 * MILLISECOND,
        attempts(usage, (Outcome.RATE_LIMITED, Outcome.OK), retry_after=SECOND),
        "stop",
        image_count=2,
        image_size="1024x1024",
        created_at=NOW + 1_999,
        started_at=NOW + 2_000,
        completed_at=NOW + 3 * SECOND,
        request_id="req_1",
        reported_cost=5,
    )
    failed = CallRecord(
        ID,
        "chat",
        LLMCallStatusEnum.ERROR,
        Outcome.SERVER_ERROR,
        Source.NONE,
        "openai",
        "gpt-4o-mini",
        CallContext(),
        error_message="☃" * 2500,
        created_at=-1,
    )
    told = CallRecord(
        ID,
        "quiz",
        LLMCallStatusEnum.SUCCESS,
        Outcome.OK,
        Source.NONE,
        "",
        "",
        CallContext(user_id="ada", trackable_type="Assignment", trackable_id="7"),
    )
    said = Payload("full", "be brief", "hi", '[{"role":"user","content":"hi"}]', "hello", None)
    made = [
        ("begun", OPEN, encode(begun, Payload("full", "be brief", "hi"))),
        ("ended", CLOSE, encode(ended, said)),
        ("failed", CLOSE, encode(failed, Payload("hash", request_sha256="0" * 64))),
        ("note", NOTE, encode(told, None)),
    ]
    return [(name, kind, data, _rows(kind, data)) for name, kind, data in made]


@pytest.mark.parametrize("name", ["begun", "ended", "failed", "note"])
def test_entries_and_their_rows_are_what_they_were(name: str) -> None:
    kept = {line["name"]: line for line in map(json.loads, FILE.read_text().splitlines())}
    made = {entry[0]: entry for entry in entries()}

    _, kind, data, _ = made[name]
    assert (kind, data.hex()) == (kept[name]["kind"], kept[name]["hex"])
    assert _rows(kind, bytes.fromhex(kept[name]["hex"])) == kept[name]["rows"]


@pytest.mark.parametrize("name", ["ended", "failed", "note"])
def test_entries_that_name_all_of_the_context_are_read(name: str) -> None:
    kept = {line["name"]: line for line in map(json.loads, FILE.read_text().splitlines())}
    older = kept[f"{name}, its context in full"]
    assert _rows(older["kind"], bytes.fromhex(older["hex"])) == older["rows"] == kept[name]["rows"]


def test_an_entry_of_a_newer_version_and_one_of_an_older_are_read() -> None:
    kept = {line["name"]: bytes.fromhex(line["hex"]) for line in map(json.loads, FILE.read_text().splitlines())}
    entry = kept["note"]
    call_fields = 33
    assert entry[:4] == bytes([0x93, 0xDC, 0, call_fields])  # three parts; of the call, so many fields

    newer = bytes([0x94, 0xDC, 0, call_fields + 1]) + entry[4:-2] + b"\x81\xa1k\x01" + entry[-2:] + b"\x93\x01\xc0\xc3"
    assert _rows(NOTE, newer) == _rows(NOTE, entry)
    older = bytes([0x91, 0x98]) + entry[4:-2]
    shorter = LedgerBatch()
    assert not shorter.add(1, NOTE, older)  # there is more than it says
