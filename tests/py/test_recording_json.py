"""Recordings to JSON and back: nothing is lost, nothing that is no event comes in."""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcore._core import Rates, Usage
from llmcore.errors import ReplayError
from llmcore.recording import Recording, ReplayLogger, ReplayValidator
from llmcore.recording_json import events_of, export_json, import_json

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
BYTES = TEXT | st.binary(max_size=30).filter(lambda data: not _is_text(data))
NAME = TEXT.filter(bool)
HASH = st.binary(min_size=8, max_size=8).map(bytes.hex)
KEY = st.binary(min_size=32, max_size=32).map(bytes.hex)
COUNT = st.integers(0, 2**53)
OUTCOMES = st.sampled_from(["ok", "timeout", "rate_limited", "cancelled"])


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _settable(name: str) -> bool:
    found = getattr(Usage, name)
    return isinstance(found, property) and found.fset is not None


BUCKETS = [name for name in dir(Usage) if _settable(name) and name != "estimated"]
RATES = [name for name in dir(Rates) if not name.startswith("_")]
usage = st.fixed_dictionaries({**dict.fromkeys(BUCKETS, COUNT), "estimated": st.booleans()})
rates = st.fixed_dictionaries(dict.fromkeys(RATES, COUNT))
tiers = (
    st.lists(COUNT, unique=True, max_size=2)
    .map(sorted)
    .flatmap(
        lambda limits: st.tuples(
            *(st.fixed_dictionaries({"above_input_tokens": st.just(limit), "rates": rates}) for limit in limits)
        ).map(list)
    )
)
price = st.none() | st.fixed_dictionaries({"base": rates, "tiers": tiers, "source": BYTES})
target = st.fixed_dictionaries(
    {
        "provider": BYTES,
        "model": BYTES,
        "input_tokens": I64,
        "output_tokens": I64,
        "images": I64,
        "price": price,
        "always_answers": st.booleans(),
    }
)
inputs = st.one_of(
    st.fixed_dictionaries(
        {
            "tenant": BYTES,
            "call_type": BYTES,
            "priority": st.sampled_from(["high", "medium", "low"]),
            "deadline": I64,
            "key": st.none() | KEY,
            "targets": st.lists(target, max_size=2),
            "scopes": st.lists(st.tuples(BYTES, BYTES).map(list), max_size=2),
        }
    ).map(lambda fields: {"submit": fields}),
    st.fixed_dictionaries({"attempt": U64}).map(lambda fields: {"streaming": fields}),
    st.fixed_dictionaries(
        {"attempt": U64, "usage": usage, "price": price, "payload_bytes": st.none() | st.integers(0, 2**27)}
    ).map(lambda fields: {"replied": fields}),
    st.fixed_dictionaries(
        {
            "attempt": U64,
            "outcome": OUTCOMES,
            "should_retry": st.none() | st.booleans(),
            "retry_after": st.integers(0, 2**63 - 1),
            "usage": usage,
            "price": price,
        }
    ).map(lambda fields: {"failed": fields}),
    st.fixed_dictionaries(
        {
            "tenant": BYTES,
            "provider": BYTES,
            "limits": st.fixed_dictionaries(
                {
                    "remaining_requests": st.none() | I64,
                    "remaining_tokens": st.none() | I64,
                    "requests_reset": I64,
                    "tokens_reset": I64,
                    "requests_limit": st.none() | I64,
                    "tokens_limit": st.none() | I64,
                }
            ),
        }
    ).map(lambda fields: {"observed": fields}),
    st.fixed_dictionaries({"call": U64}).map(lambda fields: {"cancel": fields}),
    st.just({"tick": {}}),
)


def _event(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), **fields})


ABOUT: dict[str, Any] = {"call": U64, "attempt": U64, "fingerprint": KEY, "ordinal": st.integers(0, 2**32 - 1)}
events = st.lists(
    st.one_of(
        _event("input", mono=st.integers(0, 2**63 - 1), wall=I64, input=inputs, state=HASH),
        _event("request_body", **ABOUT, provider=BYTES, method=BYTES, url=BYTES, body=BYTES),
        _event(
            "response_body",
            **ABOUT,
            status=st.integers(1, 999),
            headers=st.lists(st.tuples(BYTES, BYTES).map(list), max_size=2),
            body=BYTES,
            error=st.none(),
            message=BYTES,
        ),
        _event(
            "response_body", **ABOUT, status=st.just(0), headers=st.just([]), body=BYTES, error=OUTCOMES, message=BYTES
        ),
        _event("frame", tick=I64),
        _event("rng", name=NAME, bound=st.just(0), value=U64),
        _event("snapshot", tick=I64, name=NAME, state=HASH, bytes=st.none()),
    ),
    max_size=6,
)


@given(events=events)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_on_the_way_to_json_and_back(events: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder, "one"), Path(folder, "other")
        with ReplayLogger(one, ack="memory") as log:
            for event in events:
                assert log.append(event)
        assert list(Recording(one))[1:-1] == events
        exported = io.BytesIO()
        count = export_json(one, exported)
        assert count == len(events) + 2
        exported.seek(0)
        assert import_json(exported, other) == count
        assert ReplayValidator().compare(one, other) is None
        again = io.BytesIO()
        export_json(other, again)
        assert again.getvalue() == exported.getvalue()
        for line in exported.getvalue().splitlines():
            json.loads(line)


def test_a_recording_without_an_end_has_none_after_the_way_back(tmp_path: Path) -> None:
    log = ReplayLogger(tmp_path / "one")
    log.frame(1)
    log.abandon()
    exported = io.BytesIO()
    export_json(tmp_path / "one", exported)
    exported.seek(0)
    import_json(exported, tmp_path / "other")
    recording = Recording(tmp_path / "other")
    assert [event["kind"] for event in recording] == ["recording_begin", "frame"]
    assert not recording.complete


def test_bytes_that_are_no_text_are_base64(tmp_path: Path) -> None:
    with ReplayLogger(tmp_path / "one") as log:
        log.snapshot(1, "world", b"\xff\x00", keep=True)
        log.snapshot(1, "world", "caf\u00e9".encode(), keep=True)
    exported = io.BytesIO()
    export_json(tmp_path / "one", exported)
    lines = [json.loads(line) for line in exported.getvalue().splitlines()]
    assert [line["bytes"] for line in lines[1:3]] == [{"base64": "/wA="}, "caf\u00e9"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "there is no event"),
        (b"nonsense\n", "line 1 is not JSON"),
        (b'{"kind": "recording_end", "events": 7}\n', "line 1: the end counts other events"),
        (b'{"kind": "frame", "tick": 1}\n[]\n', "line 2 is no event"),
        (b'{"kind": 7}\n', "line 1 is no event"),
        (b'{"kind": "frame", "tick": {"base64": "!"}}\n', "line 1 is not JSON"),
        (b'{"kind": "frame"}\n', "line 1: tick: it is missing"),
        (b"[" * 100_000, "line 1 is not JSON"),
        (b'{"kind": "frame", "tick": "\xff"}', "line 1 is not JSON"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    with pytest.raises(ReplayError, match=why):
        import_json(io.BytesIO(text), tmp_path / "made")


def test_events_are_read_as_they_are_asked_for() -> None:
    source = io.BytesIO(b'{"kind": "frame", "tick": 1}\n' * 3)
    found = events_of(source)
    assert next(found) == {"kind": "frame", "tick": 1}
    assert source.tell() < 60
