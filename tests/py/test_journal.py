"""Journals from Python: what an append promises, and what happens when the system does not keep up with it."""

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from llmcore import JournalError, JournalReader, JournalWriter, RecordKind


def read(directory: Path, from_seq: int = 0) -> list[tuple[int, int, bytes]]:
    reader = JournalReader(directory, from_seq)
    records = list(reader)
    assert reader.problems == []
    return records


@pytest.mark.parametrize("ack", ["memory", "os", "disk"])
def test_what_is_appended_is_read(tmp_path: Path, ack: str) -> None:
    with JournalWriter(tmp_path / "a" / "b", ack=ack) as journal:
        assert [journal.append(RecordKind.OPEN, b"one"), journal.append(kind=40_000, payload=b"")] == [1, 2]
        stats = journal.stats()
        assert (stats["appended"], stats["appended_bytes"], stats["last_seq"]) == (2, 3, 2)
        assert stats["durable_seq"] == (2 if ack == "disk" else 0)
        assert (stats["buffered_bytes"] > 0) == (ack == "memory")
        journal.sync()
        assert journal.stats()["durable_seq"] == 2
    assert read(tmp_path / "a" / "b") == [(1, RecordKind.OPEN, b"one"), (2, 40_000, b"")]
    assert read(tmp_path / "a" / "b", 2) == [(2, 40_000, b"")]


def test_a_reader_follows(tmp_path: Path) -> None:
    with JournalWriter(str(tmp_path), segment_bytes=500) as journal:
        reader = JournalReader(str(tmp_path), follow=True)
        assert reader.journal_id is None
        for start in range(1, 100, 10):
            for seq in range(start, start + 10):
                assert journal.append(1, b"%d" % seq) == seq
            assert [payload for _, _, payload in reader] == [b"%d" % seq for seq in range(start, start + 10)]
        assert reader.journal_id is not None
        assert len(reader.journal_id) == 16
        assert journal.release(before_seq=50) > 0
    assert read(tmp_path)[0][0] <= 50


def test_problems_say_where_and_what(tmp_path: Path) -> None:
    with JournalWriter(tmp_path) as journal:
        for word in (b"one", b"two", b"three"):
            journal.append(1, word)
    path = next(tmp_path.glob("*.journal"))
    path.write_bytes(path.read_bytes().replace(b"two", b"2wo"))
    reader = JournalReader(tmp_path)
    assert [payload for _, _, payload in reader] == [b"one", b"three"]
    (problem,) = reader.problems
    assert reader.problem_count == 1
    assert (problem.what, problem.segment, problem.offset, problem.bytes) == ("payload", 1, 128 + 35, 35)
    assert (problem.seq, problem.count) == (2, 1)
    assert str(problem) == "segment 1 at byte 163: a record whose payload does not fit its checksum, skipped"
    assert "payload" in repr(problem)


def test_errors_are_typed_and_say_what_to_do(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, max_record_bytes=10) as journal:
        with pytest.raises(JournalError, match="another writer has the journal") as locked:
            JournalWriter(tmp_path)
        assert locked.value.code == "locked"
        assert locked.value.errno in {errno.EWOULDBLOCK, errno.EAGAIN}
        with pytest.raises(JournalError, match="max_record_bytes") as too_long:
            journal.append(1, b"x" * 11)
        assert (too_long.value.code, too_long.value.errno) == ("too_long", None)
    with pytest.raises(JournalError, match="closed") as closed:
        journal.append(1, b"x")
    assert closed.value.code == "closed"
    with pytest.raises(JournalError, match="cannot list") as missing:
        JournalReader(tmp_path / "none")
    assert (missing.value.code, missing.value.errno) == ("system", errno.ENOENT)
    assert missing.value.filename == str(tmp_path / "none")
    assert isinstance(missing.value, OSError)
    assert pickle.loads(pickle.dumps(missing.value)).errno == errno.ENOENT


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"ack": "paper"}, "^ack must be"),
        ({"on_full": "wait"}, "^on_full must be"),
        ({"segment_bytes": -1}, "^segment_bytes must be 0 or more"),
        ({"total_bytes": 100}, "^total_bytes must be 0"),
    ],
)
def test_what_makes_no_sense_is_a_value_error(tmp_path: Path, arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        JournalWriter(tmp_path, **arguments)
    with JournalWriter(tmp_path) as journal, pytest.raises(ValueError, match=r"^kind must be between 0 and 65535"):
        journal.append(65536, b"")


ANYTHING: list[Any] = [
    None,
    1.5,
    "x",
    b"x",
    bytearray(b"x"),
    -1,
    2**64,
    -(2**70),
    [],
    {},
    object(),
    RecordKind.RNG,
    True,
]


def test_anything_is_taken_or_refused(tmp_path: Path) -> None:
    writer: Any = JournalWriter
    reader: Any = JournalReader
    with writer(tmp_path) as journal:
        calls: list[Callable[[Any], object]] = [
            lambda value: journal.append(value, b"x"),
            lambda value: journal.append(1, value),
            journal.release,
            lambda value: reader(tmp_path, value),
            lambda value: reader(tmp_path, follow=value),
            lambda value: writer(tmp_path / "b", ack=value),
            lambda value: writer(tmp_path / "b", window_bytes=value),
        ]
        for value in ANYTHING:
            for call in calls:
                with suppress(TypeError, ValueError):
                    call(value)
        wrong: list[Callable[[], object]] = [
            lambda: journal.append(1, "text"),
            lambda: journal.append(1, bytearray(b"x")),
            lambda: journal.append(1.0, b"x"),
            lambda: journal.append(1),
            lambda: reader(None),
        ]
        for refused in wrong:
            with pytest.raises(TypeError):
                refused()
        assert journal.stats()["appended"] == len(read(tmp_path))


def test_threads_share_the_wait_for_the_disk(tmp_path: Path) -> None:
    each, threads = 20, 8
    with JournalWriter(tmp_path, ack="disk") as journal:

        def work(number: int) -> None:
            for i in range(each):
                assert journal.append(number, b"%d" % i) > 0

        running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        stats = journal.stats()
    assert stats["durable_seq"] == each * threads
    assert stats["syncs"] < each * threads
    records = read(tmp_path)
    for number in range(threads):
        assert [int(payload) for _, kind, payload in records if kind == number] == list(range(each))


# Eight threads read with one reader, while what each record sets off, the collection of garbage, reads with it too.
SHARED = """
import gc, sys, threading
from llmcore import JournalReader
reader, taken, filler = JournalReader(sys.argv[1]), [], []
class Garbage:
    def __init__(self):
        self.itself = self
    def __del__(self):
        taken.append(next(reader, None))
def work():
    for record in reader:
        taken.append(record)  # kept, so that the next one is a new object, before which garbage may be collected
        Garbage()
        filler.append([[] for _ in range(len(taken) % 3)])  # so that it is, sooner or later
gc.set_threshold(5)
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(record[0] for record in taken if record) == list(range(1, 2001)), len(taken)
"""


def test_threads_share_a_reader_with_whatever_its_records_set_off(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, ack="memory") as journal:
        for number in range(2000):
            journal.append(1, b"%d" % number)
    subprocess.run([sys.executable, "-W", "error", "-c", SHARED, tmp_path], check=True, timeout=60)


CHILD = """
import os, sys
from llmcore import JournalError, JournalReader, JournalWriter
directory = sys.argv[1]
journal = JournalWriter(directory, ack="memory")
journal.append(1, b"the parent's")
child = os.fork()
if child == 0:
    try:
        journal.append(1, b"the child's")
    except JournalError as error:
        code = error.code
    del journal
    os._exit(0 if code == "forked" else 1)
assert os.waitpid(child, 0)[1] == 0
journal.close()
assert [payload for _, _, payload in JournalReader(directory)] == [b"the parent's"]
"""


def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", CHILD, tmp_path], check=True, timeout=60)


# Appends until `count` records are there, going on in a new segment after each failure; tells what was acknowledged.
FAILING = """
import json, sys
from llmcore import JournalError, JournalWriter
directory, ack, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
acknowledged, errors = [], []
with JournalWriter(directory, ack=ack) as journal:
    for number in range(count):
        try:
            acknowledged.append((journal.append(7, b"%d" % number), number))
        except JournalError as error:
            errors.append((number, error.code, error.errno))
            if len(errors) == 3:
                journal.recover()
    print(json.dumps([acknowledged, errors, journal.stats()["segments"]]))
"""


@pytest.fixture(scope="session")
def strace() -> str:
    path = shutil.which("strace")
    if path is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run([path, "-e", "trace=none", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("strace may not trace here")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("call", "ack"), [("write", "os"), ("write", "disk"), ("fsync", "disk")])
def test_nothing_is_acknowledged_after_the_system_failed(tmp_path: Path, strace: str, call: str, ack: str) -> None:
    directory = tmp_path / "journal"
    first = directory / f"{1:020}.journal"
    command = [strace, "-f", "-qq", "-o", str(tmp_path / "trace"), "-P", str(first)]
    command += ["-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=15+"]
    done = subprocess.run(
        [*command, sys.executable, "-c", FAILING, directory, ack, "40"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    acknowledged, errors, segments = json.loads(done.stdout)
    # The header is the file's first write.
    last = 14 if call == "fsync" else 13
    assert [number for _, number in acknowledged] == [*range(last), *range(last + 3, 40)]
    assert errors == [[last, "system", errno.EIO], [last + 1, "failed", errno.EIO], [last + 2, "failed", errno.EIO]]
    assert segments == 2
    found = {seq: int(payload) for seq, _, payload in read(directory)}
    assert all(found[seq] == number for seq, number in acknowledged)
    # The record that failed may be there or not; no other.
    assert set(found.values()) - {number for _, number in acknowledged} <= {last}
    trace = (tmp_path / "trace").read_text()
    assert trace.count("INJECTED") == 1, "after it failed, the file was let alone"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("ack", ["memory", "os", "disk"])
@pytest.mark.parametrize("on_full", ["drop", "fail"])
def test_a_full_disk_costs_what_is_counted_and_no_more(small_disk: Path, ack: str, on_full: str) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(150 * 1024))
    taken: list[tuple[int, int, bytes]] = []
    refusals: list[tuple[str, int | None]] = []
    lost = 0
    with JournalWriter(small_disk / "j", ack=ack, on_full=on_full, segment_bytes=30_000, window_bytes=8_000) as journal:

        def append(number: int) -> None:
            nonlocal lost
            payload = b"%d " % number + bytes(1000)
            try:
                seq = journal.append(3, payload)
            except JournalError as error:
                refusals.append((error.code, error.errno))
                seq = 0
            if seq:
                taken.append((seq, 3, payload))
            else:
                lost += 1

        for number in range(150):
            append(number)
        assert lost > 30
        lost_on_full_disk = lost
        filler.unlink()
        for number in range(150, 200):
            append(number)
        assert lost == lost_on_full_disk
        stats = journal.stats()
        assert refusals == ([("full", errno.ENOSPC)] * lost if on_full == "fail" else [])
        assert stats["dropped" if on_full == "drop" else "refused"] == lost
        assert stats["appended"] == len(taken) == 200 - lost
    assert read(small_disk / "j") == taken
