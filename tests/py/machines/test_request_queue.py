"""RequestQueue under any sequence of operations, against a list in order of arrival: see request_queue.hpp."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from llmcore._core import Priority, RequestQueue, RequestQueueConfig

SECOND = 1_000_000_000
COUNTERS = ("accepted", "restored", "dispatched", "expired", "removed", "refused_class", "refused_total", "peak")

HALF = SECOND // 2

ids = st.integers(0, 12) | st.just(2**64 - 1)
priorities = st.sampled_from(Priority)
# Coarse, so that things fall due together.
steps = st.sampled_from([0, 0, 0, HALF, SECOND])


@dataclass
class Waiting:
    id: int
    priority: Priority
    expires_at: int | None


class RequestQueueMachine(RuleBasedStateMachine):
    @initialize(
        capacity=st.lists(st.sampled_from([5, 3, 2, 0]), min_size=3, max_size=3),
        total=st.sampled_from([12, 8, 2, 0]),
        timeout=st.lists(st.sampled_from([0, SECOND, 3 * SECOND]), min_size=3, max_size=3),
        low_share=st.sampled_from([0, 3, 2, 1]),
    )
    def make(self, capacity: list[int], total: int, timeout: list[int], low_share: int) -> None:
        config = RequestQueueConfig()
        config.class_capacity, config.total_capacity = capacity, total
        config.class_timeout, config.low_share = timeout, low_share
        self.queue, self.config = RequestQueue(config), config
        self.now = 0
        self.waiting: list[Waiting] = []  # in order of arrival
        self.without_low = 0  # dispatches since the last turn of LOW
        self.counts = dict.fromkeys(COUNTERS, 0)

    def of(self, priority: Priority) -> list[Waiting]:
        return [one for one in self.waiting if one.priority is priority]

    @property
    def next(self) -> Waiting | None:
        share = self.config.low_share
        order = [Priority.HIGH, Priority.MEDIUM, Priority.LOW]
        if share and self.without_low >= share - 1:
            order.insert(0, Priority.LOW)
        return next((first for priority in order for first in self.of(priority)[:1]), None)

    @rule(
        calls=st.lists(st.tuples(ids, priorities, st.none() | st.integers(-1, 8)), min_size=1, max_size=6), step=steps
    )
    def arrive(self, calls: list[tuple[int, Priority, int | None]], step: int) -> None:
        self.now += step
        for id, priority, patience in calls:
            self.push(id, priority, None if patience is None else max(self.now + patience * HALF, 0))

    def push(self, id: int, priority: Priority, deadline: int | None) -> None:
        admission = self.queue.push(id, priority, deadline, now=self.now)
        if any(one.id == id for one in self.waiting):
            assert admission == "duplicate"
        elif len(self.of(priority)) >= self.config.class_capacity[priority]:
            assert admission == "class_full"
            self.counts["refused_class"] += 1
        elif len(self.waiting) >= self.config.total_capacity:
            assert admission == "total_full"
            self.counts["refused_total"] += 1
        else:
            assert admission == "accepted"
            timeout = self.config.class_timeout[priority]
            ends = [end for end in (deadline, self.now + timeout if timeout else None) if end is not None]
            self.waiting.append(Waiting(id, priority, min(ends, default=None)))
            self.counts["accepted"] += 1
            self.counts["peak"] = max(self.counts["peak"], len(self.waiting))

    @rule()
    def pop(self) -> None:
        expected = self.next
        assert self.queue.pop() == (expected.id if expected else None)
        if expected is None:
            return
        self.waiting.remove(expected)
        self.counts["dispatched"] += 1
        # A turn that LOW could not take is kept for the next one that comes, but never more than one.
        self.without_low = 0 if expected.priority is Priority.LOW else self.without_low + 1

    @rule(id=ids)
    def remove(self, id: int) -> None:
        there = [one for one in self.waiting if one.id == id]
        assert self.queue.remove(id) == bool(there)
        self.waiting = [one for one in self.waiting if one.id != id]
        self.counts["removed"] += len(there)

    @rule(late=st.sampled_from([-1, 0, 0, HALF]))
    def expire(self, late: int) -> None:
        """At the moment when the first is due, or a nanosecond before, or later."""
        ends = [one.expires_at for one in self.waiting if one.expires_at is not None]
        self.now = max(self.now, min(ends, default=0) + late)
        over = [one for one in self.waiting if one.expires_at is not None and one.expires_at <= self.now]
        over.sort(key=lambda one: (one.expires_at, one.id))
        assert self.queue.expire(now=self.now) == [one.id for one in over]
        self.waiting = [one for one in self.waiting if one not in over]
        self.counts["expired"] += len(over)

    @invariant()
    def stands_as_the_model(self) -> None:
        assert len(self.queue) == len(self.waiting)
        expected = self.next
        assert self.queue.peek() == (expected.id if expected else None)
        ends = [one.expires_at for one in self.waiting if one.expires_at is not None]
        assert self.queue.next_expiry() == min(ends, default=None)
        for id in range(13):
            assert (id in self.queue) == any(one.id == id for one in self.waiting)
        lengths = {priority.name.lower(): len(self.of(priority)) for priority in Priority}
        assert self.queue.stats() == {**self.counts, **lengths, "total": len(self.waiting)}


TestRequestQueue = RequestQueueMachine.TestCase
