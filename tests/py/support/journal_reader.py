"""A reader of journals written from docs/journal_format.md and from nothing else: it shares no line with llmcore's."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

MARKER = b"\xf5LJR"


def make_table() -> list[int]:
    table = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
        table.append(state)
    return table


TABLE = make_table()


def crc32c(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state = (state >> 8) ^ TABLE[(state ^ byte) & 0xFF]
    return state ^ 0xFFFFFFFF


@dataclass
class Journal:
    records: list[tuple[int, int, bytes]] = field(default_factory=list)
    problems: list[tuple[str, int, int]] = field(default_factory=list)  # what, segment, offset


@dataclass
class Header:
    version: int
    journal: bytes
    number: int
    first_seq: int
    abandoned: int
    created: int
    crc: int


def header_copy(data: bytes) -> Header | None:
    magic, version, _bytes, _flags, journal, number, first, abandoned, created, crc = struct.unpack(
        "<8sHHI16sQQIqI", data
    )
    if magic != b"LLMCJRNL" or crc32c(data[:60]) != crc:
        return None
    return Header(version, journal, number, first, abandoned, created, crc)


def read_journal(directory: Path) -> Journal:
    out = Journal()
    journal_id: bytes | None = None
    expected: int | None = None
    for path in sorted(directory.glob("*.journal")):
        number, data = int(path.stem), path.read_bytes()
        if len(data) < 128 or not any(data):
            continue
        copies = [header_copy(data[:64]), header_copy(data[64:128])]
        header = copies[0] or copies[1]
        if header is None:
            out.problems.append(("header", number, 0))
            continue
        if header.version > 1:
            out.problems.append(("newer_version", number, 0))
            continue
        if header.number != number or (journal_id is not None and header.journal != journal_id):
            out.problems.append(("foreign_segment", number, 0))
            continue
        for index, copy in enumerate(copies):
            if copy is None:
                out.problems.append(("header_copy", number, 64 * index))
        journal_id = header.journal
        if expected is not None and header.first_seq - header.abandoned > expected:
            out.problems.append(("missing_segments", number, 0))
        end = read_records(out, data, header, max(expected or 0, header.first_seq))
        expected = max(expected or 0, end)
    return out


def read_records(out: Journal, data: bytes, header: Header, wanted: int) -> int:
    """Reads one segment's records; gives the sequence number that comes after them."""
    identity = header.journal + struct.pack("<Q", header.number)
    at, expected, previous, chained, lost_since = 128, header.first_seq, header.crc, True, None
    while at + 32 <= len(data):
        marker, length, seq, kind, _flags, before, payload_crc, own_crc = struct.unpack_from("<4sIQHHIII", data, at)
        if marker != MARKER or seq < expected or crc32c(identity + data[at : at + 28]) != own_crc:
            lost_since = at if lost_since is None else lost_since
            at += 1
            continue
        if lost_since is not None:
            out.problems.append(("record", header.number, lost_since))
            lost_since, chained = None, False
        if chained and (seq != expected or before != previous):
            out.problems.append(("missing_records", header.number, at))
        if at + 32 + length > len(data):
            return expected
        payload = data[at + 32 : at + 32 + length]
        if crc32c(payload) != payload_crc:
            out.problems.append(("payload", header.number, at))
        elif seq >= wanted:
            out.records.append((seq, kind, payload))
        at, expected, previous, chained = at + 32 + length, seq + 1, own_crc, True
    if lost_since is not None and any(data[lost_since:]):
        out.problems.append(("record", header.number, lost_since))
    return expected
