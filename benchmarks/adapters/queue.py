"""One call comes and one goes, while 1,000 wait."""

import asyncio
import heapq
import itertools
import queue

from adapters import REGISTRY, Prepared, looped

RESIDENT = 1000
MINUTE = 60_000_000_000

REGISTRY.group("queue", "priority queue: push and pop, 1,000 wait")


@REGISTRY.contender("queue", "llmcore (duplicates, deadlines)", own=True)
def llmcore() -> Prepared:
    from llmcore import Priority, RequestQueue
    from llmcore._core import RequestQueueConfig

    waiting = RequestQueue(RequestQueueConfig.server())
    number = itertools.count().__next__
    classes = itertools.cycle(Priority).__next__
    for _ in range(RESIDENT):
        waiting.push(number(), classes(), MINUTE, 0)
    names = {"push": waiting.push, "pop": waiting.pop, "number": number, "classes": classes}
    return f"push(number(), classes(), {MINUTE}, 0); pop()", names


@REGISTRY.contender("queue", "heapq alone", own=True)
def heap_alone() -> Prepared:
    heap: list[tuple[int, int]] = []
    number = itertools.count().__next__
    classes = itertools.cycle((0, 1, 2)).__next__
    for _ in range(RESIDENT):
        heapq.heappush(heap, (classes(), number()))
    names = {"push": heapq.heappush, "pop": heapq.heappop, "heap": heap, "number": number, "classes": classes}
    return "push(heap, (classes(), number())); pop(heap)", names


@REGISTRY.contender("queue", "heapq with duplicates and deadlines", own=True)
def heap_with_duties() -> Prepared:
    heap: list[tuple[int, int]] = []
    deadlines: list[tuple[int, int]] = []
    inside: set[int] = set()
    numbers = itertools.count()
    classes = itertools.cycle((0, 1, 2)).__next__

    def push() -> None:
        number = next(numbers)
        if number in inside:
            return
        inside.add(number)
        heapq.heappush(heap, (classes(), number))
        heapq.heappush(deadlines, (MINUTE, number))

    def pop() -> int:
        _, number = heapq.heappop(heap)
        inside.discard(number)
        while deadlines and deadlines[0][1] not in inside:
            heapq.heappop(deadlines)
        return number

    for _ in range(RESIDENT):
        push()
    return "push(); pop()", {"push": push, "pop": pop}


@REGISTRY.contender("queue", "queue.PriorityQueue", own=True)
def threads_queue() -> Prepared:
    waiting: queue.PriorityQueue[tuple[int, int]] = queue.PriorityQueue()
    number = itertools.count().__next__
    classes = itertools.cycle((0, 1, 2)).__next__
    for _ in range(RESIDENT):
        waiting.put((classes(), number()))
    names = {"put": waiting.put, "get": waiting.get, "number": number, "classes": classes}
    return "put((classes(), number())); get()", names


@REGISTRY.contender("queue", "asyncio.PriorityQueue", own=True)
def asyncio_queue() -> Prepared:
    waiting: asyncio.PriorityQueue[tuple[int, int]] = asyncio.PriorityQueue()
    number = itertools.count().__next__
    classes = itertools.cycle((0, 1, 2)).__next__

    async def work(n: int) -> None:
        while waiting.qsize() < RESIDENT:
            waiting.put_nowait((classes(), number()))
        for _ in range(n):
            waiting.put_nowait((classes(), number()))
            waiting.get_nowait()

    return looped(work)
