"""Writes first inputs for the fuzzer of recordings: what is kept in tests/data, as tests/fuzz/recording.cpp reads them.

    python tests/fuzz/recording_seeds.py tests/fuzz/corpus/recording

What the fuzzer found from there is kept beside them, under names of its own: `llmcore_fuzz_recording -merge=1` chooses.
"""

import sys
from pathlib import Path

from llmcore import JournalReader

RECORDINGS = Path(__file__).parents[1] / "data/recordings/v1"
#: The alternatives of RecordedEvent in their order, by the numbers of their kinds.
KINDS = (71, 64, 65, 66, 67, 68, 69, 70, 72)
RAW = 1  # 0: the values of an event follow, not its bytes


def seed(name: str) -> bytes:
    made = bytearray()
    for _, kind, payload in JournalReader(RECORDINGS / name):
        made += bytes((RAW, KINDS.index(kind))) + len(payload).to_bytes(2, "big") + payload
    return bytes(made)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("game", "run"):
        (folder / name).write_bytes(seed(name))


if __name__ == "__main__":
    main()
