"""ResponseCache under any sequence of operations: what it may forget and what it may not, see response_cache.hpp.

Which entries leave is the eviction's choice, and tests of its own judge it by its hit ratio. The model knows what must
hold whatever it chooses: no wrong and no aged answer, the bounds, nothing forgotten without need, counters that add up.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from llmcore._core import ResponseCache, ResponseCacheConfig

SECOND = 1_000_000_000
KEY_BYTES = 32

keys = st.integers(0, 9).map(lambda n: n.to_bytes(32, "big")) | st.binary(min_size=32, max_size=32)
values = st.binary(max_size=40) | st.integers(0, 300).map(bytes)
steps = st.sampled_from([0, 0, 1, SECOND, 10 * SECOND, -SECOND])


@dataclass
class Kept:
    value: bytes
    earliest: int  # its age counts from then,
    latest: int  # or from the newest put() before it that the cache still had, when the clock had gone back
    certain: bool = True  # there has been no reason to evict it


class ResponseCacheMachine(RuleBasedStateMachine):
    @initialize(
        entries=st.integers(0, 8) | st.just(10_000),
        most_bytes=st.sampled_from([0, 20, 32, 100, 400, 1_000_000]),
        ttl=st.sampled_from([0, 1, 5 * SECOND]),
    )
    def make(self, entries: int, most_bytes: int, ttl: int) -> None:
        self.cache = ResponseCache(ResponseCacheConfig(entries, most_bytes, ttl))
        self.most_entries, self.most_bytes, self.ttl = entries, most_bytes if entries else 0, ttl
        self.now = self.newest_put = 0
        self.kept: dict[bytes, Kept] = {}  # all that may be there
        self.hits = self.misses = self.puts = self.rejected = self.replaced = self.erased = self.cleared = 0

    def at(self, step: int) -> int:
        self.now = max(self.now + step, 0)
        return self.now

    def aged(self, since: int) -> bool:
        return self.ttl > 0 and self.now >= since + self.ttl

    @rule(key=keys, step=steps)
    def get(self, key: bytes, step: int) -> None:
        found = self.cache.get(key, now=self.at(step))
        kept = self.kept.get(key)
        if found is None:
            assert kept is None or self.aged(kept.earliest) or not kept.certain, "forgotten without need"
            self.kept.pop(key, None)  # aged out or evicted: either way it must not come back
            self.misses += 1
        else:
            assert kept is not None
            assert not self.aged(kept.latest)
            assert found == kept.value
            kept.certain = True
            self.hits += 1

    @property
    def size(self) -> int:
        return sum(KEY_BYTES + len(kept.value) for kept in self.kept.values())

    @rule(key=keys, value=values, step=steps)
    def put(self, key: bytes, value: bytes, step: int) -> None:
        accepted = self.cache.put(key, value, now=self.at(step))
        self.replaced += self.kept.pop(key, None) is not None
        assert accepted == (KEY_BYTES + len(value) <= self.most_bytes)
        if not accepted:
            self.rejected += 1
            return
        self.puts += 1
        self.newest_put = max(self.newest_put, self.now)
        self.kept[key] = Kept(value, self.now, self.newest_put)
        if len(self.kept) > self.most_entries or self.size > self.most_bytes:
            for other, kept in self.kept.items():
                kept.certain = other == key

    @rule(key=keys)
    def erase(self, key: bytes) -> None:
        erased = self.cache.erase(key)
        kept = self.kept.pop(key, None)
        assert erased <= (kept is not None)
        assert erased or kept is None or not kept.certain or self.aged(kept.earliest)
        self.erased += erased

    @rule(step=steps)
    def expire(self, step: int) -> None:
        before = self.cache.stats()
        dropped = self.cache.expire(now=self.at(step))
        after = self.cache.stats()
        assert before["entries"] - after["entries"] == dropped == after["expirations"] - before["expirations"]
        assert dropped <= sum(self.aged(kept.earliest) for kept in self.kept.values())
        self.kept = {key: kept for key, kept in self.kept.items() if not self.aged(kept.latest)}
        for kept in self.kept.values():
            kept.certain &= not self.aged(kept.earliest)

    @rule()
    def clear(self) -> None:
        self.cleared += self.cache.stats()["entries"]
        self.cache.clear()
        self.kept.clear()
        assert (self.cache.stats()["entries"], self.cache.stats()["bytes"]) == (0, 0)

    @invariant()
    def counts_and_holds_its_bounds(self) -> None:
        stats = self.cache.stats()
        assert (stats["hits"], stats["misses"], stats["rejected"]) == (self.hits, self.misses, self.rejected)
        assert stats["insertions"] == self.puts
        assert 0 <= stats["entries"] <= min(self.most_entries, len(self.kept))
        assert stats["entries"] * KEY_BYTES <= stats["bytes"] <= min(self.most_bytes, self.size)
        looked = self.hits + self.misses
        assert abs(stats["hit_rate"] - (self.hits / looked if looked else 0)) <= 0.001
        # What was put is there, or left in a way that is counted, or was replaced.
        left = stats["evictions"] + stats["expirations"] + self.erased + self.cleared
        assert stats["entries"] + left <= self.puts <= stats["entries"] + left + self.replaced


TestResponseCache = ResponseCacheMachine.TestCase
