"""Writes the journals of the present version into a new folder beside this file: python generate.py v1."""

import json
import resource
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from llmcore import JournalError, JournalReader, JournalWriter, RecordKind


def write_plain(directory: Path) -> None:
    kinds = [*(int(kind) for kind in RecordKind), 0, 4242, 32768, 65535]
    inside = b""
    for run in range(3):
        with JournalWriter(directory, ack=("memory", "os", "disk")[run], segment_bytes=900) as journal:
            for number, kind in enumerate(kinds):
                journal.append(kind, b"" if number % 5 == 0 else bytes(range(7 * number % 256)) + inside)
        inside = b"\xf5LJR" + (directory / f"{1:020}.journal").read_bytes()[:200]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def write_damaged(directory: Path) -> None:
    write_plain(directory)
    segments = sorted(directory.glob("*.journal"))
    assert len(segments) >= 8, len(segments)
    flip(segments[0], 20)
    flip(segments[1], 70)
    flip(segments[1], 128 + 12)
    flip(segments[2], len(segments[2].read_bytes()) - 1)
    segments[3].unlink()
    with tempfile.TemporaryDirectory() as other:
        write_plain(Path(other))
        shutil.copy(Path(other) / segments[5].name, segments[5])
    segments[6].write_bytes(segments[6].read_bytes()[:-5])
    segments[7].write_bytes(segments[7].read_bytes() + bytes(100))


def write_failed(directory: Path) -> None:
    # A file that is at the size a process may make it takes no more; that is the process's limit, not a full disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        for ack in ("memory", "os", "disk"):
            with JournalWriter(directory, ack=ack, window_bytes=300) as journal:
                for number in range(40):
                    try:
                        journal.append(7, f"{ack} {number} ".encode() * 5)
                    except JournalError:
                        with suppress(JournalError):
                            journal.recover()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def main() -> None:
    target = Path(__file__).parent / sys.argv[1]
    expected = {}
    for name, write in (("plain", write_plain), ("damaged", write_damaged), ("failed", write_failed)):
        directory = target / name
        directory.mkdir(parents=True)
        write(directory)
        (directory / "lock").unlink()
        reader = JournalReader(directory)
        records = [[seq, kind, payload.hex()] for seq, kind, payload in reader]
        expected[name] = {
            "records": records,
            "problems": [[problem.what, problem.segment, problem.offset] for problem in reader.problems],
        }
    (target / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
