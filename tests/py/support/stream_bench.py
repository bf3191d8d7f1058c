"""A stream's flow, driven by hand: each step asked for and answered by the test, on a clock that stands."""

from collections.abc import Generator
from typing import Any

import msgspec

from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.exchange import Exchange
from llmcore.flow import Park, Step
from llmcore.flow_stream import Deliver, Open, Read, Result
from llmcore.providers.openai import OpenAIProvider
from llmcore.runtime import Runtime
from llmcore.types import CallRecord, Chunk, LLMResponse, Priority
from support.runtimes import rests
from support.scripted import ListSink, ScriptedEstimator, ScriptedTransport, ask, settings_of

SECOND = 1_000_000_000
DONE = b"data: [DONE]\n\n"


def event(text: str = "", finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({"model": "m1-2024", "choices": [choice]}) + b"\n\n"


def usage(prompt: int = 10, completion: int = 5) -> bytes:
    told = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + msgspec.json.encode({"choices": [], "usage": told}) + b"\n\n"


class Head(Exchange):
    """The head of an answer, whose body the test hands in."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def close(self) -> None: ...


class Bench:
    """A runtime on a clock that stands, and flows that nobody runs but the test."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.sink = ListSink()
        prices = {"p1/m1": {"input": 1, "output": 2}, "p2/m2": {"input": 1, "output": 2}}
        self.runtime = Runtime(
            settings_of(**{"prices": prices, **settings}),
            tracker=self.sink,
            transport=ScriptedTransport(),
            clock=self.clock,
        )
        self.runtime.estimator = ScriptedEstimator()
        for name in ("p1", "p2"):
            self.runtime.adopt(OpenAIProvider("sk-a", f"http://127.0.0.1:9/{name}", name=name))
        self._kept: list[Flow] = []

    def flow(self, text: str = "hello", *fallbacks: str, **arguments: Any) -> "Flow":
        client = LLMClient("p1", "m1", runtime=self.runtime, fallbacks=fallbacks)
        flow = Flow(client, text, **arguments)
        self._kept.append(flow)
        return flow

    def at(self, seconds: float) -> None:
        self.clock.set(round(seconds * SECOND))
        self.runtime.tick()

    def rests(self) -> bool:
        return rests(self.runtime)

    @property
    def record(self) -> CallRecord:
        (record,) = self.sink.records
        return record


class Flow:
    """A stream's flow and what it came to."""

    def __init__(
        self, client: LLMClient, text: str, *, input_tokens: int = 0, deadline: float | None = None, cache: bool = False
    ) -> None:
        messages = ask(text, input_tokens)
        self.steps: Generator[Step, Result, LLMResponse] = client._prepare(
            messages, None, False, None, 100, None, None, Priority.MEDIUM, deadline, cache, None, {}, stream=True
        )
        self.response: LLMResponse | None = None

    def go(self, result: Result = None) -> Step | None:
        """The next thing that has to happen outside; None when there is a response."""
        try:
            return self.steps.send(result)
        except StopIteration as end:
            self.response = end.value
            return None

    def opens(self, result: Result = None) -> Open:
        step = self.go(result)
        assert isinstance(step, Open)
        return step

    def reads(self, result: Result = None) -> None:
        assert isinstance(self.go(result), Read)

    def delivers(self, result: Result = None) -> list[Chunk]:
        step = self.go(result)
        assert isinstance(step, Deliver)
        return step.chunks

    def says(self, result: Result = None) -> list[str]:
        return [chunk.text for chunk in self.delivers(result)]

    def parks(self, result: Result = None) -> None:
        assert isinstance(self.go(result), Park)

    def ends(self, result: Result = None) -> LLMResponse:
        assert self.go(result) is None
        assert self.response is not None
        return self.response

    def begin(self, head: Head | None = None) -> None:
        """Until its first chunk is with the user."""
        self.opens()
        self.reads(head or Head())
        assert self.says(event("Hel")) == ["Hel"]


def spent(bench: Bench) -> int:
    (account,) = bench.runtime.stats()["budgets"]
    return int(account["spent_nano_usd"])
