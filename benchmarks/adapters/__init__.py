"""One small adapter for each contender of peers.py, in a module for each idea that they share.

An adapter prepares what its library needs and returns what is to be measured: a statement for timeit with the names in
it, or a function that does it n times. A quantity that is no time (memory for an entry, a hit ratio) is a function
without arguments.
"""

import asyncio
import importlib
import time
import timeit
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

MODULES = ("limiter", "cache", "cache_quality", "queue", "retry", "cost", "record", "journal", "engine")

Prepared = tuple[str, dict[str, Any]] | Callable[[int], object] | Callable[[], float]


@dataclass(frozen=True)
class Group:
    """Contenders that do the same thing, and how to read what is measured."""

    name: str
    title: str
    unit: str = "ns"
    more_is_better: bool = False
    waits: bool = False  # for a disk: the wall clock counts; elsewhere the processor's, which is disturbed less


@dataclass(frozen=True)
class Contender:
    """One library's way to do it. `requirement`: what pip installs for it; empty: llmcore, or Python alone. `least`:
    fewer in a row say nothing.
    """

    group: str
    name: str
    prepare: Callable[[], Prepared]
    requirement: str = ""
    own: bool = False
    least: int = 1


@dataclass
class Registry:
    groups: dict[str, Group] = field(default_factory=dict)
    contenders: list[Contender] = field(default_factory=list)

    def group(
        self, name: str, title: str, unit: str = "ns", *, more_is_better: bool = False, waits: bool = False
    ) -> None:
        self.groups[name] = Group(name, title, unit, more_is_better, waits)

    def contender(
        self, group: str, name: str, requirement: str = "", *, own: bool = False, least: int = 1
    ) -> Callable[[Callable[[], Prepared]], Callable[[], Prepared]]:
        """Enters the function below it. `own`: it is llmcore's, and runs where llmcore is installed."""

        def enter(prepare: Callable[[], Prepared]) -> Callable[[], Prepared]:
            self.contenders.append(Contender(group, name, prepare, requirement, own, least))
            return prepare

        return enter


REGISTRY = Registry()


def load() -> Registry:
    """All adapters. No library is imported before its contender is prepared."""
    for module in MODULES:
        importlib.import_module(f"adapters.{module}")
    return REGISTRY


def looped(coroutine: Callable[[int], Awaitable[None]]) -> Callable[[int], object]:
    """What takes an event loop, on one that stays."""
    runner = asyncio.Runner()

    async def turn(n: int) -> None:
        await coroutine(n)

    return lambda n: runner.run(turn(n))


def seconds(prepared: tuple[str, dict[str, Any]] | Callable[[int], object], n: int, *, waits: bool) -> float:
    """How long n of it take."""
    clock = time.perf_counter if waits else time.process_time
    if isinstance(prepared, tuple):
        statement, names = prepared
        return timeit.Timer(statement, timer=clock, globals=names).timeit(n)
    start = clock()
    prepared(n)
    return clock() - start
