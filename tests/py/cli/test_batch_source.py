"""What is left to do of an input, given what an earlier run finished."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcore.cli.batch.lines import Job, LineReader, Malformed
from llmcore.cli.batch.seen import FINISHED_FAILED, FINISHED_OK, NEW, SeenIds
from llmcore.cli.batch.source import Source


@pytest.fixture
def seen() -> Iterator[SeenIds]:
    with SeenIds() as ids:
        yield ids


def request(custom_id: str, url: str = "/v1/chat/completions") -> str:
    return json.dumps(
        {"custom_id": custom_id, "url": url, "body": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}}
    )


def left(tmp_path: Path, seen: SeenIds, *lines: str) -> tuple[Source, list[Job | Malformed | float]]:
    path = tmp_path / "in"
    path.write_text("\n".join(lines))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        source = Source(LineReader(descriptor), seen)
        return source, list(source)
    finally:
        os.close(descriptor)


def described(item: Job | Malformed | float) -> object:
    if isinstance(item, Malformed):
        return item.number, item.code, item.custom_id
    return item.custom_id if isinstance(item, Job) else item


def test_the_first_use_of_an_id_is_new_and_later_ones_name_the_first(seen: SeenIds) -> None:
    assert seen.use("a", 1) == NEW
    assert seen.use("b", 2) == NEW
    assert seen.use("a", 3) == 1
    assert seen.use("a", 4) == 1


def test_a_finished_id_is_told_apart_at_its_first_use_only(seen: SeenIds) -> None:
    assert seen.finish("a", ok=True)
    assert seen.finish("b", ok=False)
    assert not seen.finish("a", ok=False)

    assert seen.use("a", 5) == FINISHED_OK
    assert seen.use("b", 6) == FINISHED_FAILED
    assert seen.use("a", 7) == 5


def test_strange_ids_are_ids(seen: SeenIds) -> None:
    for number, custom_id in enumerate(["", "a\0b", "a\0c", "ä" * 100_000, "A", "a"], start=1):
        assert seen.use(custom_id, number) == NEW
    assert seen.use("a\0b", 9) == 2


def test_jobs_come_in_the_order_of_the_input(tmp_path: Path, seen: SeenIds) -> None:
    _, items = left(tmp_path, seen, request("b"), "", request("a"))

    assert [described(item) for item in items] == ["b", "a"]


def test_a_repeated_id_is_malformed_and_leaves_the_id_to_the_first_line(tmp_path: Path, seen: SeenIds) -> None:
    _, items = left(tmp_path, seen, request("a"), request("b"), request("a"))

    assert [described(item) for item in items] == ["a", "b", (3, "duplicate_custom_id", None)]
    assert isinstance(items[2], Malformed)
    assert "line 1" in items[2].message


def test_a_malformed_line_takes_its_id(tmp_path: Path, seen: SeenIds) -> None:
    _, items = left(tmp_path, seen, request("a", url="/v1/audio"), request("a"), request("a", url="/v1/audio"))

    assert [described(item) for item in items] == [
        (1, "unknown_url", "a"),
        (2, "duplicate_custom_id", None),
        (3, "unknown_url", None),
    ]


def test_what_an_earlier_run_finished_is_passed_over_and_counted(tmp_path: Path, seen: SeenIds) -> None:
    seen.finish("a", ok=True)
    seen.finish("b", ok=False)
    source, items = left(tmp_path, seen, request("a"), request("b"), request("c"), request("a"))

    assert [described(item) for item in items] == ["c", (4, "duplicate_custom_id", None)]
    assert (source.finished_ok, source.finished_failed) == (1, 1)


def test_a_long_stretch_of_finished_lines_lets_others_have_a_turn(tmp_path: Path, seen: SeenIds) -> None:
    for number in range(1000):
        seen.finish(str(number), ok=True)
    source, items = left(tmp_path, seen, *(request(str(number)) for number in range(1000)), request("new"))

    assert [item for item in items if isinstance(item, float)] == [0.0] * 3
    assert described(items[-1]) == "new"
    assert source.finished_ok == 1000
