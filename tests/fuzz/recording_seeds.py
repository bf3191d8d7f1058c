"""Writes first inputs for the fuzzer of recordings: what is kept in tests/data, and what once was wrong.

    python tests/fuzz/recording_seeds.py tests/fuzz/corpus/recording

What the fuzzer found from there is kept beside them, under names of its own: `llmcore_fuzz_recording -merge=1` chooses.
"""

import sys
from pathlib import Path

from llmcore import JournalReader

RECORDINGS = Path(__file__).parents[1] / "data/recordings/v2"
#: The alternatives of RecordedEvent in their order, by the numbers of their kinds.
KINDS = (71, 64, 65, 66, 67, 68, 69, 70, 72)
RAW = 1  # 0: the values of an event follow, not its bytes


def event(kind: int, payload: bytes) -> bytes:
    return bytes((RAW, KINDS.index(kind))) + len(payload).to_bytes(2, "big") + payload


def response(header: tuple[bytes, bytes]) -> bytes:
    name, value = (bytes((len(text),)) + text for text in header)
    return event(67, b"\1\1" + bytes(32) + b"\0\xc8\1\1" + name + value + b"\0\0\0")


def seeds() -> dict[str, bytes]:
    made = {
        name: b"".join(event(kind, payload) for _, kind, payload in JournalReader(RECORDINGS / name))
        for name in ("game", "run")
    }
    made["padded"] = event(68, b"\x81\0")  # a frame, its number written with more bytes than it takes
    made["alike"] = response((b"a", b"b: c")) + response((b"a: b", b"c"))
    return made


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
