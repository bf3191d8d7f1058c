"""Plays the rows of tests/scenarios, whose format tests/scenarios/README.md describes, and compares.

Whoever plays one brings a thread or a task per call; the clock is the harness's. After each step it waits until every
call is at rest: finished, blocked in the transport, or parked with nothing in its mailbox. Then what the engine decided
must be what the scenario says, which is the same that the C++ runner compares.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmcore._core import Abort, AlertRecord, AttemptRecord, Finish, Send
from llmcore.call import Call
from llmcore.clock import ManualClock
from llmcore.errors import LLMError
from llmcore.parking import Parking
from llmcore.runtime import Runtime
from llmcore.transport import TransportError
from llmcore.types import LLMResponse, Outcome, Priority
from support.scripted import (
    Exchange,
    ListSink,
    ScriptedEstimator,
    ScriptedProvider,
    ScriptedTransport,
    answer,
    ask,
    failure,
    settings_of,
)

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "scenarios"
MILLISECOND = 1_000_000
PATIENCE = 30.0  # seconds, after which a call that is not at rest has hung


def scenarios() -> list[Json]:
    return [
        scenario for file in sorted(FOLDER.glob("*.json")) for scenario in json.loads(file.read_text())["scenarios"]
    ]


class CtrlC(BaseException):
    """Stands for what a user's signal handler raises."""


def matches(expected: str, actual: str) -> bool:
    """Whether each word of the expected line is in the actual one, those before the first key=value in their place."""
    want, have = expected.split(), actual.split()
    for place, word in enumerate(want):
        if "=" not in word or place < 2:
            if place >= len(have) or have[place] != word:
                return False
        elif word not in have:
            return False
    return True


def money(cost: int | None) -> str:
    return "unknown" if cost is None else str(cost)


def milliseconds(nanoseconds: int) -> int:
    return nanoseconds // MILLISECOND


class Script:
    """What the calls of a scenario are, and the engine's actions as lines."""

    def __init__(self) -> None:
        self.names: list[str] = []  # the engine counts calls from 1 in the order of their submission
        self.chains: dict[str, list[str]] = {}
        self.sends: dict[str, list[Send]] = {}
        self.aborted: set[tuple[str, int]] = set()
        self.finishes: dict[str, Finish] = {}
        self.lines: list[str] = []
        self.attempts = 0

    def record(self, action: object) -> None:
        self.lines.append(self.line(action))

    def name(self, action: Send | Abort | AttemptRecord | Finish) -> str:
        return self.names[action.call - 1]

    def line(self, action: object) -> str:
        if isinstance(action, Send):
            name = self.name(action)
            self.sends.setdefault(name, []).append(action)
            self.attempts += 1
            return f"send {name} {action.number} {self.chains[name][action.target]} by={milliseconds(action.not_after)}"
        if isinstance(action, Abort):
            name, number = self.name(action), action.attempt % 1024
            self.aborted.add((name, number))
            return f"abort {name} {number}"
        if isinstance(action, AttemptRecord):
            name = self.name(action)
            place = f"{action.provider}/{action.model}"
            return f"record {name} {action.number} {action.outcome.name.lower()} cost={money(action.cost)} at={place}"
        if isinstance(action, Finish):
            name = self.name(action)
            self.finishes[name] = action
            return (
                f"finish {name} {action.outcome.name.lower()} {action.source.name.lower()} attempts={action.attempts} "
                f"cost={money(action.cost)} saved={action.saved} fallback={'yes' if action.fallback else 'no'} "
                f"from={action.provider}/{action.model} queued_ms={milliseconds(action.queued)} "
                f"hint_ms={milliseconds(action.retry_hint)}"
            )
        assert isinstance(action, AlertRecord), action
        return f"alert {action.scope} {action.percent}"


class WatchedParking(Parking):
    """Tells who is parked."""

    def __init__(self, runtime: Runtime, changed: Callable[[], None]) -> None:
        super().__init__(runtime)
        self.parked: dict[int, Call] = {}
        self._changed = changed

    def wait(self, call: Call) -> None:
        self.parked[call.number] = call
        self._changed()
        try:
            super().wait(call)
        finally:
            del self.parked[call.number]

    async def wait_async(self, call: Call) -> None:
        self.parked[call.number] = call
        self._changed()
        try:
            await super().wait_async(call)
        finally:
            del self.parked[call.number]


class Harness:
    """A runtime under script. The two ways of running calls are its subclasses."""

    def __init__(self, scenario: Json) -> None:
        self.scenario = scenario
        self.hangs = scenario.get("hangs", False)
        self.script = Script()
        self.clock = ManualClock()
        self.sink = ListSink()
        self.transport = ScriptedTransport(self.changed)
        self.runtime = Runtime(
            settings_of(**scenario.get("settings", {})),
            tracker=self.sink,
            transport=self.transport,
            clock=self.clock,
            observer=self.script.record,
        )
        self.runtime.estimator = ScriptedEstimator()
        self.parking = WatchedParking(self.runtime, self.changed)
        self.runtime.parking = self.parking
        for name in ("p1", "p2", "p3", "p4"):
            self.runtime.adopt(ScriptedProvider(name))
        self.running: set[str] = set()
        self.results: dict[str, LLMResponse | BaseException] = {}

    def changed(self) -> None:
        """Something happened that may have brought the last busy call to rest."""
        raise NotImplementedError

    # --- one step ----------------------------------------------------------------------------------------------------

    def arguments(self, call: Json) -> tuple[Json, Json]:
        """What to make a client of, and what to call it with."""
        name: str = call["call"]
        self.script.names.append(name)
        self.script.chains[name] = call["to"]
        self.running.add(name)
        provider, model = call["to"][0].split("/")
        client = {
            "provider": provider,
            "model": model,
            "runtime": self.runtime,
            "tenant": call.get("tenant", "default"),
            "fallbacks": call["to"][1:],
        }
        arguments = {
            "messages": ask(call.get("text", name), call.get("input_tokens", 0)),
            "max_tokens": call.get("max_tokens", 100),
            "priority": Priority[call.get("priority", "medium").upper()],
            "cache": call.get("cache", False),
            "deadline": call["deadline_ms"] / 1000 if "deadline_ms" in call else None,
            "call_type": call.get("call_type"),
        }
        return client, arguments | {key: call[key] for key in ("user_id", "game_id") if key in call}

    def exchange_of(self, name: str, number: int | None = None) -> Exchange:
        """The open request of a call's attempt; of its latest if `number` is None."""
        found = self.open_exchange(name)
        assert found is not None, f"{name} has sent nothing that is not answered"
        assert number is None or found[1] == number, f"{name} has attempt {found[1]} open, not {number}"
        return found[0]

    def open_exchange(self, name: str) -> tuple[Exchange, int] | None:
        """What a call has sent and not been answered, with the number of the attempt."""
        for exchange in self.transport.open:
            if exchange.owner == name and not exchange.future.done():
                return exchange, self.number_of(exchange)
        return None

    def number_of(self, exchange: Exchange) -> int:
        # A call performs its sends one after the other, so how often it has come to the transport tells which it is at.
        sends = [send for send in self.script.sends[exchange.owner] if not self.is_local(exchange.owner, send)]
        return sends[self.transport.count[exchange.owner] - 1].number

    def is_local(self, name: str, send: Send) -> bool:
        return self.script.chains[name][send.target].startswith("offline/")

    def reply(self, step: Json) -> None:
        response = answer("answer", step.get("input_tokens", 0), step.get("output_tokens", 0), step.get("observe"))
        self.exchange_of(step["call"], step.get("number")).answer(response)

    def fail(self, step: Json) -> None:
        exchange = self.exchange_of(step["call"], step.get("number"))
        outcome = Outcome[step["outcome"].upper()]
        if step.keys() <= {"call", "number", "outcome"} and outcome in (
            Outcome.TIMEOUT,
            Outcome.CONNECTION,
            Outcome.CANCELLED,
        ):
            exchange.fail(TransportError(outcome, "as the script says"))
            return
        wait = step["retry_after_ms"] / 1000 if "retry_after_ms" in step else None
        exchange.answer(failure(outcome, wait, step.get("should_retry"), step.get("observe")))

    def stream(self, name: str) -> None:
        """What a stream tells the engine with its first chunk; streams themselves are tested in streams/."""
        with self.runtime.lock:
            self.runtime._engine.streaming(self.script.sends[name][-1].attempt, *self.clock.now())
            self.runtime._deliver()

    def given_up(self) -> list[Exchange]:
        """Open requests that the engine has aborted: a transport that does not hang gives them up."""
        if self.hangs:
            return []
        still_open = [exchange for exchange in list(self.transport.open) if not exchange.future.done()]
        return [each for each in still_open if (each.owner, self.number_of(each)) in self.script.aborted]

    def busy(self) -> list[str]:
        """Calls that are neither finished nor blocked in the transport nor parked with an empty mailbox."""
        with self.runtime.lock:
            resting = {exchange.owner for exchange in list(self.transport.open) if not exchange.future.done()}
            for number, call in list(self.parking.parked.items()):
                if not call.mailbox:
                    resting.add(self.script.names[number - 1])
        return sorted(self.running - resting)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def compare(self, number: int, step: Json) -> None:
        where = f"step {number} at {step['at_ms']} ms: {step}"
        listed = "\n".join(self.script.lines)
        expected = step.get("expect", [])
        assert len(self.script.lines) == len(expected), f"{where}\nactual:\n{listed}"
        for want, have in zip(expected, self.script.lines, strict=True):
            assert matches(want, have), f"{where}\nexpected: {want}\nactual:   {have}"
        assert self.runtime.check() == "", where
        if "next_ms" in step:
            due = self.runtime.next_deadline()
            assert (None if due is None else milliseconds(due)) == step["next_ms"], where

    def compare_counters(self) -> None:
        stats = self.runtime.stats()
        for key, value in self.scenario.get("at_end", {}).items():
            assert stats[key] == value, f"{key} at the end"
        if stats["in_flight"] == 0:
            assert stats["reserved"] == {"requests": 0, "tokens": 0, "nano_usd": 0}

    def compare_books(self) -> None:
        """After the runtime was closed: every call is over, once, and everything it held came back."""
        stats = self.runtime.stats()
        assert self.runtime.check() == ""
        assert (stats["in_flight"], stats["queued"], stats["backing_off"], stats["following"]) == (0, 0, 0, 0)
        assert stats["reserved"] == {"requests": 0, "tokens": 0, "nano_usd": 0}
        assert len(self.sink.records) == len(self.script.names) == len(self.results) == len(self.script.finishes)
        assert len({record.id for record in self.sink.records}) == len(self.script.names)
        assert sum(len(record.attempts) for record in self.sink.records) == stats["attempts"] == self.script.attempts
        finishes = sorted(self.script.finishes.values(), key=lambda finish: finish.call)
        told = [(f.outcome, f.source, f.cost, f.saved, f.attempts, f.fallback, f.provider) for f in finishes]
        kept = [
            (r.outcome, r.source, r.cost, r.saved, len(r.attempts), r.fallback_used, r.provider)
            for r in self.sink.records
        ]
        assert sorted(map(repr, told)) == sorted(map(repr, kept))
        for name, result in self.results.items():
            self.compare_result(result, self.script.finishes[name])

    def compare_result(self, result: LLMResponse | BaseException, finish: Finish) -> None:
        """What the caller got is what the engine decided."""
        if isinstance(result, LLMResponse):
            cost = None if result.cost is None else result.cost.nano_usd
            told = (result.provider, cost, result.saved.nano_usd, result.attempts, result.fallback_used)
            assert told == (finish.provider, finish.cost, finish.saved, finish.attempts, finish.fallback)
            assert finish.outcome is Outcome.OK
            assert result.cache_hit == (finish.source.name in ("CACHE", "JOINED"))
        elif isinstance(result, LLMError):
            assert (result.outcome, result.attempts) == (finish.outcome, finish.attempts)
            assert (result.retry_after or 0) * 1e9 >= finish.retry_hint
        else:
            assert isinstance(result, CtrlC | asyncio.CancelledError)
            assert finish.outcome is Outcome.CANCELLED
