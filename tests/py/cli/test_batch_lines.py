"""Reading the input of a batch: what becomes a job, what is malformed and why, and how lines are cut out of a file."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore.cli.batch import lines
from llmcore.cli.batch.lines import Job, LineReader, Malformed, TooLong, parse
from llmcore.types import Priority


def line(**changes: Any) -> bytes:
    item: dict[str, Any] = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
    }
    return json.dumps({k: v for k, v in (item | changes).items() if v is not ...}).encode()


def body(**changes: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    return {k: v for k, v in (item | changes).items() if v is not ...}


def job(raw: bytes, **options: Any) -> Job:
    parsed = parse(7, raw, **options)
    assert isinstance(parsed, Job), parsed
    return parsed


def malformed(raw: "bytes | TooLong") -> Malformed:
    parsed = parse(7, raw)
    assert isinstance(parsed, Malformed), parsed
    return parsed


def test_a_request_of_the_openai_batch_api_becomes_a_job() -> None:
    found = job(line(body=body(temperature=0, max_tokens=5, seed=None)))

    assert (found.number, found.custom_id, found.model) == (7, "a", "gpt-4o-mini")
    assert found.messages == [{"role": "user", "content": "Hi"}]
    assert found.params == {"temperature": 0, "max_tokens": 5, "seed": None}
    assert found.priority is None
    assert found.call_type is None


def test_priority_call_type_and_context_may_stand_beside_the_request() -> None:
    found = job(
        line(
            priority="High", call_type="commentary", owner_id=42, game_id="g", hand_number=3, tags=["x"], trace_id=None
        )
    )

    assert found.priority is Priority.HIGH
    assert found.call_type == "commentary"
    assert found.context == {
        "owner_id": "42",
        "game_id": "g",
        "hand_number": 3,
        "tags": ("x",),
        "metadata": {"custom_id": "a"},
    }


def test_what_is_not_known_is_kept_as_metadata_beside_the_custom_id() -> None:
    found = job(line(shard=9, metadata={"run": "nightly"}))

    assert found.context["metadata"] == {"run": "nightly", "shard": 9, "custom_id": "a"}


def test_a_model_option_wins_over_the_line_and_a_default_only_fills_in() -> None:
    assert job(line(), model="x").model == "x"
    assert job(line(), default_model="x").model == "gpt-4o-mini"
    assert job(line(body=body(model=...)), default_model="x").model == "x"


def test_blank_lines_are_no_requests() -> None:
    assert parse(1, b"") is None
    assert parse(1, b" \t\r") is None


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        (b'{"custom_id": "a", ', "invalid_json", "not JSON"),
        (b"[1]", "invalid_json", "an array, not an object"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "invalid_json", "nested too deeply"),
        (b'{"custom_id": "a\xff"}', "invalid_utf8", "byte 0xff at 16"),
        (b'\xc3{"custom_id": "a"}', "invalid_utf8", "byte 0xc3 at 0"),
        (b'{"custom_id": "\\ud800 x"}', "invalid_json", "not JSON"),
        (TooLong(50_000_000), "line_too_long", "50,000,000 bytes"),
        (line(custom_id=...), "missing_custom_id", "custom_id is missing"),
        (line(custom_id=None), "missing_custom_id", "custom_id is missing"),
        (line(custom_id=5), "wrong_type", "custom_id must be a string that is not empty, but it is an integer"),
        (line(custom_id=""), "wrong_type", "but it is empty"),
        (line(method="GET"), "wrong_type", 'method must be "POST", not "GET"'),
        (line(url=...), "unknown_url", "url is missing; /v1/chat/completions is what"),
        (line(url="/v1/embeddings"), "unknown_url", 'url is "/v1/embeddings"; /v1/chat/completions is what'),
        (line(url=3), "unknown_url", "url is an integer"),
        (line(body=...), "wrong_type", "body is missing"),
        (line(body=[]), "wrong_type", "body must be an object, but it is an array"),
        (line(body=body(messages=...)), "wrong_type", "body.messages must be an array"),
        (line(body=body(messages=[])), "wrong_type", "at least one message"),
        (line(body=body(messages=["Hi"])), "wrong_type", "body.messages[0] must be an object, but it is a string"),
        (line(body=body(messages=[{"content": "Hi"}])), "wrong_type", "body.messages[0].role must be a string"),
        (line(body=body(model=1)), "wrong_type", "body.model must be a string, but it is an integer"),
        (line(body=body(model=...)), "missing_model", "--model"),
        (line(body=body(temperature="hot")), "wrong_type", "body.temperature must be a number, but it is a string"),
        (line(body=body(max_tokens=True)), "wrong_type", "body.max_tokens must be an integer, but it is a boolean"),
        (line(body=body(max_tokens=1.5)), "wrong_type", "body.max_tokens must be an integer, but it is a number"),
        (line(body=body(tools={})), "wrong_type", "body.tools must be an array, but it is an object"),
        (line(body=body(stream=True)), "unsupported", "not streamed"),
        (line(body=body(metadata={"a": "b"})), "unsupported", "body.metadata is not passed on"),
        (line(body=body(priority="high")), "unsupported", "put it beside the body"),
        (line(priority="urgent"), "wrong_type", '"high", "medium" or "low"'),
        (line(priority=1), "wrong_type", '"high", "medium" or "low"'),
        (line(call_type=1), "wrong_type", "call_type must be a string"),
        (line(game_id=[]), "wrong_type", "game_id must be a string, but it is an array"),
        (line(hand_number="3"), "wrong_type", "hand_number must be an integer"),
        (line(tags="x"), "wrong_type", "tags must be an array of strings"),
        (line(metadata=1), "wrong_type", "metadata must be an object"),
    ],
)
def test_a_malformed_line_says_why(raw: "bytes | TooLong", code: str, says: str) -> None:
    found = malformed(raw)

    assert found.number == 7
    assert found.code == code
    assert says in found.message


def test_a_malformed_line_keeps_its_id_once_that_is_known() -> None:
    assert malformed(line(url="/v1/embeddings")).custom_id == "a"
    assert malformed(line(custom_id=5)).custom_id is None


def test_an_overlong_url_is_not_repeated_in_full() -> None:
    assert len(malformed(line(url="/x" * 5000)).message) < 200


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ).map(lambda v: json.dumps(v).encode())
)
def test_no_line_raises(raw: bytes) -> None:
    assert parse(1, raw) is None or isinstance(parse(1, raw), (Job, Malformed))


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "custom_id",
                "method",
                "url",
                "body",
                "priority",
                "call_type",
                "game_id",
                "tags",
                "metadata",
                "hand_number",
            ]
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_no_value_of_a_known_field_raises(item: dict[str, Any]) -> None:
    raw = json.dumps({"custom_id": "a", "url": "/v1/chat/completions", "body": body()} | item).encode()

    assert isinstance(parse(1, raw), (Job, Malformed))


def read(path: Path, limit: int = 1000) -> list[tuple[int, object, int]]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = LineReader(descriptor, limit)
        return [(reader.number, found, reader.consumed) for found in reader]
    finally:
        os.close(descriptor)


def test_lines_come_with_their_numbers_and_the_offset_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"one\n\ntwo\r\nend")

    assert read(path) == [(1, b"one", 4), (2, b"", 5), (3, b"two\r", 10), (4, b"end", 13)]


def test_a_byte_order_mark_is_not_part_of_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n")

    assert [found for _, found, _ in read(path)] == [b"one", b"\xef\xbb\xbftwo"]


def test_a_line_over_the_limit_is_read_past(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"x" * 1000 + b"\n" + b"y" * 1001 + b"\nend\n" + b"z" * 5000)

    assert read(path) == [(1, b"x" * 1000, 1001), (2, TooLong(1001), 2003), (3, b"end", 2007), (4, TooLong(5000), 7007)]


def test_a_line_over_the_limit_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"x" * 30_000_000)
    tracemalloc.start()
    try:
        assert read(path, 100_000) == [(1, TooLong(30_000_000), 30_000_000)]
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300).map(lambda data: data.replace(b"x", b"\n")), st.integers(1, 40), st.integers(1, 60))
def test_lines_are_the_same_however_the_file_is_read(data: bytes, chunk: int, limit: int) -> None:
    descriptor = os.memfd_create("in")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines, "_CHUNK", chunk)
            found = list(LineReader(descriptor, limit))
    finally:
        os.close(descriptor)

    whole = data.split(b"\n")
    if not whole[-1]:
        whole.pop()
    if whole and len(whole[0]) <= limit:
        whole[0] = whole[0].removeprefix(b"\xef\xbb\xbf")
    assert found == [TooLong(len(one)) if len(one) > limit else one for one in whole]


def test_a_pipe_without_data_gives_nothing_instead_of_blocking() -> None:
    ours, theirs = os.pipe()
    reader = LineReader(ours)
    found = iter(reader)

    assert next(found) is None
    os.write(theirs, b"one\ntw")
    assert next(found) == b"one"
    assert next(found) is None
    os.write(theirs, b"o\n")
    assert next(found) == b"two"
    os.close(theirs)
    assert list(found) == []
    assert reader.size is None
    os.close(ours)
