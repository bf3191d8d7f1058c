"""A runtime whose transport answers at once, on a clock that stands; and what is asked of any runtime."""

import threading
from collections.abc import Callable
from typing import Any

from llmcore.clock import ManualClock
from llmcore.runtime import Runtime
from llmcore.transport import Transport
from llmcore.types import HttpRequest, HttpResponse
from support.scripted import ListSink, ScriptedProvider, answer, settings_of

PATIENCE = 30.0
NOTHING = {"requests": 0, "tokens": 0, "nano_usd": 0}
PRICE = {"p1/m1": {"input": 1, "output": 2}}


class EchoTransport(Transport):
    """Answers at once, with what it was asked or with the next of `script`."""

    def __init__(self, *script: HttpResponse) -> None:
        super().__init__()
        self.script = list(script)
        self.requests: list[HttpRequest] = []
        self.closed = 0

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        self.requests.append(request)
        return self.script.pop(0) if self.script else answer("echo", 10, 5)

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - the interface
        return self.send(request, timeout)

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def runtime_of(*script: HttpResponse, transport: Transport | None = None, **settings: Any) -> Runtime:
    runtime = Runtime(
        settings_of(**settings),
        tracker=ListSink(),
        transport=transport or EchoTransport(*script),
        clock=ManualClock(),
    )
    runtime.adopt(ScriptedProvider("p1"))
    return runtime


def records_of(runtime: Runtime) -> list[Any]:
    """Its CallRecords; Any, since a test knows which of their optional parts are there."""
    assert isinstance(runtime.sink, ListSink)
    return runtime.sink.records


def rests(runtime: Runtime) -> bool:
    """Whether it holds nothing: no call, no reservation, and no broken invariant."""
    stats = runtime.stats()
    waiting = [stats[name] for name in ("in_flight", "queued", "backing_off", "following")]
    return waiting == [0, 0, 0, 0] and stats["reserved"] == NOTHING and runtime.check() == ""


def until(true: Callable[[], object]) -> None:
    """Waits for another thread. What it waits for is sure to come, or the test hangs and fails."""
    for _ in range(int(PATIENCE * 1000)):
        if true():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came")
