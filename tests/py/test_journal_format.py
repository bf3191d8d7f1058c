"""Journals of every version are read for ever, and docs/journal_format.md is enough to read one."""

import json
import random
from pathlib import Path

import pytest

from llmcore import JournalReader, JournalWriter
from support.journal_reader import Journal, crc32c, read_journal

GOLDEN = Path(__file__).parents[1] / "data" / "journals"
FOLDERS = sorted(path for version in GOLDEN.glob("v*") for path in version.iterdir() if path.is_dir())


def as_llmcore_reads(directory: Path) -> Journal:
    reader = JournalReader(directory)
    records = list(reader)
    return Journal(records, [(problem.what, problem.segment, problem.offset) for problem in reader.problems])


def test_there_are_journals_of_version_1() -> None:
    assert {path.name for path in FOLDERS if path.parent.name == "v1"} >= {"plain", "damaged", "failed"}


@pytest.mark.parametrize("directory", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_journal_of_an_earlier_version_reads_as_it_did(directory: Path) -> None:
    expected = json.loads((directory.parent / "expected.json").read_text())[directory.name]
    for read in (as_llmcore_reads, read_journal):
        found = read(directory)
        assert [[seq, kind, payload.hex()] for seq, kind, payload in found.records] == expected["records"]
        assert [list(problem) for problem in found.problems] == expected["problems"]


def test_the_document_is_enough_for_what_is_written_today(tmp_path: Path) -> None:
    rng = random.Random(5)
    written = []
    for ack in ("os", "memory", "disk"):
        with JournalWriter(tmp_path, ack=ack, segment_bytes=3000) as journal:
            for _ in range(40):
                kind, payload = rng.randrange(65536), rng.randbytes(rng.randrange(300))
                written.append((journal.append(kind, payload), kind, payload))
    assert read_journal(tmp_path) == as_llmcore_reads(tmp_path) == Journal(written, [])


@pytest.mark.parametrize("seed", range(60))
def test_the_document_and_the_library_agree_on_damage(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with JournalWriter(tmp_path, segment_bytes=1500) as journal:
        for number in range(40):
            journal.append(number, rng.randbytes(rng.randrange(150)))
    segments = sorted(tmp_path.glob("*.journal"))
    for _ in range(rng.randrange(1, 5)):
        path = rng.choice(segments)
        data = bytearray(path.read_bytes())
        start = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[start] ^= 1 << rng.randrange(8)
            case 1:
                del data[start:]
            case 2:
                del data[start : start + rng.randrange(100)]
            case 3:
                data[start : start + 80] = bytes(80)
            case _:
                data += bytes(rng.randrange(100))
        path.write_bytes(data)
    assert read_journal(tmp_path) == as_llmcore_reads(tmp_path)


def test_the_checksum_is_the_one_that_the_document_names() -> None:
    assert crc32c(b"123456789") == 0xE3069283
