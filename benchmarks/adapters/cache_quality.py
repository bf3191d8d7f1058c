"""What a time cannot say about a cache: what it takes for an entry besides key and value, and how often it hits."""

import bisect
import gc
import itertools
import os
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

from adapters import REGISTRY
from adapters.cache import CACHES, Get, Put

REGISTRY.group("cache-memory", "cache: bytes for an entry, besides key and value", "bytes")
REGISTRY.group("cache-ratio", "cache: hits, Zipf 1.0 with 20 % scans, room for 1 %", "", more_is_better=True)

KEYS, REQUESTS = 100_000, 500_000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def bytes_per_entry(make: Callable[[int], tuple[Get, Put]]) -> float:
    """A cache keeps the key's object or a copy of its own: either counts, but for the 32 bytes that it has to know."""
    count = 200_000
    value = b"x" * 100
    gc.collect()
    _, put = make(count)
    before = resident()
    for _ in range(3 * count):  # thrice its size, so that what it remembers of those that left is there too
        put(os.urandom(32), value)
    gc.collect()
    return (resident() - before) / count - 32


def requests() -> Iterator[int]:
    """As in tests/cpp/hit_ratio_test.cpp, from another generator: before every 4,000 keys a scan of 1,000 new ones."""
    generator = random.Random(99)
    sums = list(itertools.accumulate(1 / rank for rank in range(1, KEYS + 1)))
    fresh = itertools.count(KEYS)
    for number in range(REQUESTS):
        if number % 5000 < 1000:
            yield next(fresh)
        else:
            yield bisect.bisect_left(sums, generator.random() * sums[-1])


def hit_ratio(make: Callable[[int], tuple[Get, Put]]) -> float:
    get, put = make(KEYS // 100)
    hits = 0
    for number in requests():
        key = number.to_bytes(32, "big")
        if get(key) is None:
            put(key, b"x")
        else:
            hits += 1
    return hits / REQUESTS


def enter(name: str, make: Callable[[int], tuple[Get, Put]], requirement: str) -> None:
    own = not requirement
    if name != "dict":
        REGISTRY.contender("cache-memory", name, requirement, own=own)(lambda: lambda: bytes_per_entry(make))
        REGISTRY.contender("cache-ratio", name, requirement, own=own)(lambda: lambda: hit_ratio(make))


for cache in CACHES:
    enter(*cache)
