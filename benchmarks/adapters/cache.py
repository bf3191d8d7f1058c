"""A cache of 10,000 answers of 2 KB, by keys of 32 bytes, which live for an hour: a hit, and a put that evicts."""

import itertools
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from adapters import REGISTRY, Prepared

ENTRIES = 10_000
HOUR = 3600
VALUE = b"x" * 2000

REGISTRY.group("cache-hit", "cache: a hit")
REGISTRY.group("cache-put", "cache: a put that evicts")

Get = Callable[[bytes], Any]
Put = Callable[[bytes, bytes], Any]


def dict_cache(entries: int) -> tuple[Get, Put]:
    """No limit, no age: the floor."""
    kept: dict[bytes, bytes] = {}
    return kept.get, kept.__setitem__


def llmcore(entries: int) -> tuple[Get, Put]:
    from llmcore import ResponseCache
    from llmcore._core import ResponseCacheConfig

    cache = ResponseCache(ResponseCacheConfig(max_entries=entries, max_bytes=1 << 40, ttl=HOUR * 1_000_000_000))
    return cache.get, cache.put


def cachebox_ttl(entries: int) -> tuple[Get, Put]:
    import cachebox

    cache = cachebox.TTLCache(entries, HOUR)
    return cache.get, cache.insert


def cachebox_vttl(entries: int) -> tuple[Get, Put]:
    import cachebox

    cache = cachebox.VTTLCache(entries)
    return cache.get, lambda key, value: cache.insert(key, value, HOUR)


def moka(entries: int) -> tuple[Get, Put]:
    import moka_py

    cache = moka_py.Moka(entries, ttl=HOUR)
    return cache.get, cache.set


def cachetools(entries: int) -> tuple[Get, Put]:
    import cachetools as library

    cache: Any = library.TTLCache(entries, HOUR)
    return cache.get, cache.__setitem__


def theine(entries: int) -> tuple[Get, Put]:
    import theine as library

    cache: Any = library.Cache(entries)
    life = timedelta(seconds=HOUR)
    return lambda key: cache.get(key)[0], lambda key, value: cache.set(key, value, ttl=life)


# name, how it is made, what pip installs
CACHES: tuple[tuple[str, Callable[[int], tuple[Get, Put]], str], ...] = (
    ("dict", dict_cache, ""),
    ("llmcore", llmcore, ""),
    ("cachebox TTL", cachebox_ttl, "cachebox"),
    ("cachebox VTTL", cachebox_vttl, "cachebox"),
    ("moka-py", moka, "moka-py"),
    ("cachetools", cachetools, "cachetools"),
    ("theine", theine, "theine"),
)


def keys(count: int) -> list[bytes]:
    return [os.urandom(32) for _ in range(count)]


def hit(make: Callable[[int], tuple[Get, Put]]) -> Prepared:
    get, put = make(ENTRIES)
    known = keys(ENTRIES // 2)  # half of what there is room for: none of them leaves
    for key in known:
        put(key, VALUE)
    if get(known[77]) is not VALUE:
        raise SystemExit("not a hit")
    return "get(key)", {"get": get, "key": known[77]}


def put_that_evicts(make: Callable[[int], tuple[Get, Put]]) -> Prepared:
    _, put = make(ENTRIES)
    known = keys(8 * ENTRIES)
    for key in known:
        put(key, VALUE)
    following = itertools.cycle(known).__next__
    return "put(following(), value)", {"put": put, "following": following, "value": VALUE}


def enter(name: str, make: Callable[[int], tuple[Get, Put]], requirement: str) -> None:
    own = not requirement
    REGISTRY.contender("cache-hit", name, requirement, own=own)(lambda: hit(make))
    REGISTRY.contender("cache-put", name, requirement, own=own)(lambda: put_that_evicts(make))


for cache in CACHES:
    enter(*cache)
