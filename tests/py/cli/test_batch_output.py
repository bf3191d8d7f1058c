"""The file of results: whole lines only, one run at a time, taken up where an earlier run ended."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcore.cli.batch import output
from llmcore.cli.batch.output import OutputError, OutputFile, OutputFull, TakenUp
from llmcore.cli.batch.seen import FINISHED_FAILED, FINISHED_OK, NEW, SeenIds


def result(custom_id: str | None, code: str | None = None, text: str = "Hi") -> bytes:
    item: dict[str, Any] = {
        "id": "batch_req_1",
        "custom_id": custom_id,
        "response": None if code else {"status_code": 200, "request_id": None, "body": {"text": text}},
        "error": {"code": code, "message": "..."} if code else None,
        "llmcore": {},
    }
    return json.dumps(item, ensure_ascii=False).encode() + b"\n"


@pytest.fixture
def seen() -> Iterator[SeenIds]:
    with SeenIds() as ids:
        yield ids


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def take_up(path: Path, seen: SeenIds) -> TakenUp:
    with OutputFile(path) as file:
        return file.take_up(seen)


def test_a_new_file_has_nothing_to_take_up(path: Path, seen: SeenIds) -> None:
    with OutputFile(path) as file:
        assert file.take_up(seen) == TakenUp()
        file.append(result("a"))
        file.append(result("b"))

    assert path.read_bytes() == result("a") + result("b")


def test_answers_and_final_failures_are_finished(path: Path, seen: SeenIds) -> None:
    content = result("a") + result("b", "bad_request") + result("c", "content_filter") + result("d", "context_length")
    path.write_bytes(content + result("e", "not_found"))

    found = take_up(path, seen)

    assert (found.ok, found.failed, found.dropped) == (1, 4, 0)
    assert [seen.use(name, 1) for name in "abcdef"] == [FINISHED_OK, *[FINISHED_FAILED] * 4, NEW]
    assert path.read_bytes() == content + result("e", "not_found")


@pytest.mark.parametrize(
    "code", ["auth", "connection", "rate_limited", "timeout", "over_budget", "cancelled", "exhausted"]
)
def test_other_failures_are_dropped_to_be_made_again(path: Path, seen: SeenIds, code: str) -> None:
    path.write_bytes(result("a") + result("b", code) + result("c"))

    found = take_up(path, seen)

    assert (found.ok, found.dropped) == (2, 1)
    assert seen.use("b", 1) == NEW
    assert path.read_bytes() == result("a") + result("c")


def test_malformed_lines_are_dropped_to_be_found_again(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result(None, "invalid_json") + result("a", "unknown_url") + result("b"))

    assert take_up(path, seen).dropped == 2
    assert path.read_bytes() == result("b")


def test_an_id_that_stands_twice_is_kept_once(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result("a", text="first") + result("a", text="second") + result("b"))

    assert take_up(path, seen).dropped == 1
    assert path.read_bytes() == result("a", text="first") + result("b")


def test_after_being_taken_up_and_changed_the_file_is_extended(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result("a", "timeout") + result("b"))
    path.chmod(0o640)

    with OutputFile(path) as file:
        file.take_up(seen)
        file.append(result("a"))

    assert path.read_bytes() == result("b") + result("a")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in path.parent.iterdir()] == ["out.jsonl"]


def test_a_torn_last_line_is_cut_off_and_kept_aside(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result("a") + result("b")[:-9])

    found = take_up(path, seen)

    assert found.ok == 1
    assert (found.torn, found.aside) == (len(result("b")) - 9, path.with_name("out.jsonl.torn"))
    assert seen.use("b", 1) == NEW
    assert path.read_bytes() == result("a")
    assert path.with_name("out.jsonl.torn").read_bytes() == result("b")[:-9] + b"\n"


def test_a_last_line_that_lacks_only_its_end_is_finished(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result("a") + result("b")[:-1])

    assert take_up(path, seen).ok == 2
    assert path.read_bytes() == result("a") + result("b")


def test_a_torn_line_behind_dropped_ones_is_cut_off_too(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result("a") + result("b", "timeout") + result("c") + result("d")[:20])

    found = take_up(path, seen)

    assert (found.ok, found.dropped, found.torn) == (2, 1, 20)
    assert path.read_bytes() == result("a") + result("c")


def test_an_unreadable_line_in_the_middle_is_set_aside(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result("a") + b"\0" * 30 + b"\n" + result("b"))

    assert take_up(path, seen).torn == 31
    assert path.read_bytes() == result("a") + result("b")
    assert path.with_name("out.jsonl.torn").read_bytes() == b"\0" * 30 + b"\n"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_wherever_a_kill_cuts_the_file_whole_results_are_kept_and_no_other(data: st.DataObject) -> None:
    codes = data.draw(
        st.lists(st.sampled_from([None, None, "timeout", "bad_request", "invalid_json"]), min_size=1, max_size=6)
    )
    written = [result(str(number), code, text='ä€\\"{}') for number, code in enumerate(codes)]
    cut = data.draw(st.integers(0, len(b"".join(written))))
    content = b"".join(written)[:cut]
    with TemporaryDirectory() as folder, SeenIds() as seen:
        path = Path(folder) / "out.jsonl"
        path.write_bytes(content)
        take_up(path, seen)
        kept = path.read_bytes()

    whole = content.count(b"\n") + (content[-1:] == b"}" and content + b"\n" == b"".join(written)[: cut + 1])
    assert kept == b"".join(
        line for line, code in zip(written[:whole], codes, strict=False) if code in (None, "bad_request")
    )


@pytest.mark.parametrize(
    "content",
    [
        b"name,age\nAda,36\n",
        b"# Title",
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n',
        result("a") + b'{"custom_id": "b", "body": {}}\n',
        b"[]\n",
        b"\n",
    ],
)
def test_a_file_that_holds_something_else_is_left_alone(path: Path, seen: SeenIds, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(OutputError, match=r"is not a result of a batch.*left as it is"):
        take_up(path, seen)
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == ["out.jsonl"]


def test_a_link_stays_a_link(tmp_path: Path, seen: SeenIds) -> None:
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    real.write_bytes(result("a", "timeout") + result("b"))
    link.symlink_to(real)

    take_up(link, seen)

    assert link.is_symlink()
    assert real.read_bytes() == result("b")


def test_a_second_run_on_the_same_file_is_refused(path: Path, seen: SeenIds) -> None:
    path.write_bytes(result("a", "timeout") + result("b"))
    with OutputFile(path) as file:
        with pytest.raises(OutputError, match="another run"):
            OutputFile(path)
        file.take_up(seen)
        with pytest.raises(OutputError, match="another run"):
            OutputFile(path)
    OutputFile(path).close()


def test_a_file_that_another_run_replaces_just_now_is_opened_again(
    path: Path, seen: SeenIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(result("a", "timeout"))
    lock = output._lock
    calls = 0

    def replaced_in_between(descriptor: int) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            path.with_name("new").write_bytes(result("b"))
            path.with_name("new").replace(path)
        return lock(descriptor)

    monkeypatch.setattr(output, "_lock", replaced_in_between)
    with OutputFile(path) as file:
        file.append(result("c"))

    assert path.read_bytes() == result("b") + result("c")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"out\.jsonl cannot be opened for writing \(no such file or directory\)"):
        OutputFile(tmp_path / "missing" / "out.jsonl")
    with pytest.raises(OutputError, match="is a directory"):
        OutputFile(tmp_path)


def test_a_device_is_written_to_and_not_read(seen: SeenIds) -> None:
    with OutputFile(Path("/dev/null")) as file:
        assert file.take_up(seen) == TakenUp()
        file.append(result("a"))


def test_a_full_device_says_so() -> None:
    with (
        OutputFile(Path("/dev/full")) as file,
        pytest.raises(OutputFull, match=r"/dev/full cannot be written \(no space left"),
    ):
        file.append(result("a"))


def test_a_write_that_fails_half_way_leaves_no_part_of_a_line(path: Path) -> None:
    # In a process of its own: the limit on the size of files cannot be lifted again.
    script = """
import resource, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from llmcore.cli.batch.output import OutputFile, OutputFull
with OutputFile(Path(sys.argv[1])) as output:
    output.append(b"x" * 99 + b"\\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))
    try:
        output.append(b"y" * 99 + b"\\n")
    except OutputFull as full:
        print(full)
"""
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)

    assert "cannot be written (file too large)" in done.stdout
    assert path.read_bytes() == b"x" * 99 + b"\n"


def test_a_rewrite_without_room_leaves_the_file_as_it_was(path: Path) -> None:
    content = result("a", "timeout") + result("b") + result("c", text="x" * 5000)
    path.write_bytes(content)
    script = """
import resource, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from llmcore.cli.batch.output import OutputFile, OutputError
from llmcore.cli.batch.seen import SeenIds
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with OutputFile(Path(sys.argv[1])) as output:
    try:
        output.take_up(SeenIds())
    except OutputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)

    assert "make room" in done.stdout
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == ["out.jsonl"]
