"""A call's flow, driven by hand: neither thread nor loop, each step asked for and answered by the test."""

from collections.abc import Generator
from typing import Any

from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.flow import Park, Perform, Step
from llmcore.flow_stream import Result
from llmcore.providers.base import LLMProvider
from llmcore.runtime import Runtime
from llmcore.types import CallRecord, HttpRequest, LLMResponse, Message, Priority
from support.runtimes import rests
from support.scripted import ListSink, ScriptedEstimator, ScriptedProvider, ScriptedTransport, ask, settings_of

SECOND = 1_000_000_000


class Bench:
    """A runtime on a clock that stands, and flows that nobody runs but the test."""

    def __init__(self, *providers: LLMProvider, **settings: Any) -> None:
        self.clock = ManualClock()
        self.sink = ListSink()
        self.runtime = Runtime(
            settings_of(**settings), tracker=self.sink, transport=ScriptedTransport(), clock=self.clock
        )
        self.runtime.estimator = ScriptedEstimator()
        for provider in providers or (ScriptedProvider("p1"), ScriptedProvider("p2")):
            self.runtime.adopt(provider)
        self._kept: list[Flow] = []  # a flow that nobody holds is closed

    def client(self, *fallbacks: str, **arguments: Any) -> LLMClient:
        return LLMClient("p1", "m1", runtime=self.runtime, fallbacks=fallbacks, **arguments)

    def flow(self, text: str = "hello", *fallbacks: str, **arguments: Any) -> "Flow":
        flow = Flow(self.client(*fallbacks), ask(text, arguments.pop("input_tokens", 0)), **arguments)
        self._kept.append(flow)
        return flow

    def at(self, seconds: float) -> None:
        self.clock.set(round(seconds * SECOND))
        self.runtime.tick()

    def rests(self) -> bool:
        return rests(self.runtime)

    @property
    def record(self) -> CallRecord:
        """The only one."""
        (record,) = self.sink.records
        return record


class Flow:
    """A flow and what it came to."""

    def __init__(
        self,
        client: LLMClient,
        messages: list[Message],
        *,
        max_tokens: int = 100,
        deadline: float | None = None,
        cache: bool = False,
        call_type: str | None = None,
        stream: bool = False,
        **rest: Any,
    ) -> None:
        asked = (messages, None, False, None, max_tokens, None, None, Priority.MEDIUM, deadline, cache, call_type, rest)
        self.steps: Generator[Step, Result, LLMResponse] = client._prepare(*asked, stream=stream)
        self.response: LLMResponse | None = None

    def go(self, result: Result = None) -> Step | None:
        """The next thing that has to happen outside; None when there is a response."""
        try:
            return self.steps.send(result)
        except StopIteration as end:
            self.response = end.value
            return None

    def request(self, result: Result = None) -> HttpRequest:
        """The same, when it must be a request."""
        step = self.go(result)
        assert isinstance(step, Perform)
        return step.request

    def parks(self, result: Result = None) -> None:
        assert isinstance(self.go(result), Park)

    def ends(self, result: Result = None) -> LLMResponse:
        assert self.go(result) is None
        assert self.response is not None
        return self.response
