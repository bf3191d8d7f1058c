"""Files of any bytes: what they hold, or one clear error that names the place and no secret."""

import contextlib
import copy
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore import ReplayValidator
from llmcore.config import Settings
from llmcore.errors import LLMConfigError, ReplayError
from llmcore.recording import replay
from llmcore.recording_json import export_json, import_json

SECRET = "sk-do-not-show-this"
TOML = f"""
[limits]
requests_per_minute = 60
[providers.openai]
api_key = "{SECRET}"
base_url = "https://example.org/v1"
[[budgets]]
scope = "user=*"
period = "day"
limit_usd = 2.5
[cache]
enabled = true
ttl_seconds = 0.5
"""
JSON = (
    '{"limits": {"requests_per_minute": 60}, "providers": {"openai": {"api_key": "%s"}}, "budgets": '
    '[{"scope": "global", "limit_usd": 1e3}], "retry": {"jitter": 0.25}, "queue": {"high": {"capacity": 5}}}'
).replace("%s", SECRET)


def damaged(text: str | bytes) -> st.SearchStrategy[bytes]:
    """The text with a piece of it taken out, and something else put in."""
    raw = text.encode() if isinstance(text, str) else text
    places = st.integers(0, len(raw))
    pieces = st.binary(max_size=6) | st.sampled_from(
        [b'"', b"\n", b"[", b"]]", b"{", b"= nan", b"\0", b"\xff", b"[a]\n", b"-1"]
    )
    return st.builds(lambda a, b, piece: raw[: min(a, b)] + piece + raw[max(a, b) :], places, places, pieces)


@given(
    name=st.sampled_from(["llmcore.toml", "llmcore.json"]),
    content=st.binary(max_size=200)
    | damaged(TOML)
    | damaged(JSON)
    | st.integers(1, 3000).map(lambda depth: b"[" * depth)
    | st.integers(1, 3000).map(lambda depth: b'{"a":' * depth),
)
def test_any_file_gives_settings_or_one_clear_error(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        with mock.patch.dict(os.environ, {"LLMCORE_CONFIG": str(path)}):
            told = ""
            try:
                Settings().engine_config()
            except LLMConfigError as error:
                told = str(error)
        assert SECRET not in told
        assert len(told) < 5_000


def exported(name: str) -> bytes:
    made = io.BytesIO()
    export_json(Path(__file__).parents[1] / "data" / "recordings" / "v1" / name, made)
    return made.getvalue()


Way = tuple[str | int, ...]
ODD: tuple[Any, ...] = (
    *(None, True, "", "ok", "x" * 9_999, -1, 2**53, 2**63, 2**64, 10**400, 0.5),
    *([], ["a", "b"], {}, {"tick": {}}, {"x" * 9_999: {}}, {"base64": "/w=="}),
)


def places_in(value: Any, way: Way = ()) -> list[Way]:
    """The way to everything in a value that was read from JSON."""
    found = [way] if way else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        found += places_in(each, (*way, name))
    return found


def held_by(event: Any, way: Way) -> Any:
    for step in way[:-1]:
        event = event[step]
    return event


EXPORTS = {name: exported(name) for name in ("run", "game")}
EVENTS = [json.loads(line) for export in EXPORTS.values() for line in export.splitlines()]


def check_export(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder, "one"), Path(folder, "other")
        told, count = "", 0
        try:
            count = import_json(io.BytesIO(content), one)
        except ReplayError as error:
            told = str(error)
        if told:
            assert len(told) < 1_000
            assert "codec" not in told  # where a message was made of what is no text
            return
        again = io.BytesIO()
        assert export_json(one, again) >= count
        again.seek(0)
        import_json(again, other)
        assert ReplayValidator().compare(one, other) is None
        with contextlib.suppress(ReplayError):  # an input before any configuration
            replay(one)


@st.composite
def strange_events(draw: st.DrawFn) -> bytes:
    """Events of which something is another thing, twice there, under another name, or missing."""
    lines = []
    for which in draw(st.lists(st.sampled_from(EVENTS), min_size=1, max_size=4)):
        event = copy.deepcopy(which)
        for _ in range(draw(st.integers(0, 2))):
            way = draw(st.sampled_from(places_in(event) or [("kind",)]))
            holder, last = held_by(event, way), way[-1]
            match draw(st.integers(0, 3)):
                case 0:
                    holder.pop(last, None) if isinstance(holder, dict) else holder.pop(last)
                case 1 if isinstance(holder, list):
                    holder.append(holder[int(last)])
                case 1:
                    holder[draw(st.sampled_from(["", "base64", "kind", "tick", "x" * 9_999]))] = holder.get(last)
                case _:
                    holder[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
        lines.append(json.dumps(event).encode() + b"\n")
    return b"".join(lines)


@given(
    content=st.binary(max_size=200)
    | damaged(EXPORTS["run"])
    | damaged(EXPORTS["game"])
    | strange_events()
    | strange_events()
    | st.integers(1, 3000).map(lambda depth: b'{"kind": "frame", "tick": ' + b"[" * depth)
)
def test_any_export_gives_a_recording_or_one_clear_error(content: bytes) -> None:
    check_export(content)


@pytest.mark.slow
def test_every_field_of_an_export_may_hold_anything() -> None:
    seen = set()
    for event in EVENTS:
        for way in places_in(event):
            place = [event["kind"], *("*" if isinstance(step, int) else step for step in way)]
            if len(way) > 2 and type(held_by(event, way)[way[-1]]) is int:
                place[-1] = int  # one number of several is as good as the next
            if tuple(place) in seen:
                continue
            seen.add(tuple(place))
            for odd in ODD:
                strange = copy.deepcopy(event)
                held_by(strange, way)[way[-1]] = odd
                check_export(json.dumps(strange).encode())
    assert len(seen) > 80
