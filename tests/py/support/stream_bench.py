"""A stream's flow, driven by hand: each step asked for and answered by the test, on a clock that stands."""

from typing import Any

import msgspec

from llmcore.client import LLMClient
from llmcore.exchange import Exchange
from llmcore.flow_stream import Deliver, Open, Read, Result
from llmcore.providers.openai import OpenAIProvider
from llmcore.types import Chunk
from support import flow_bench
from support.scripted import ask

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


class Bench(flow_bench.Bench):
    """The same with providers that stream."""

    def __init__(self, **settings: Any) -> None:
        prices = {"p1/m1": {"input": 1, "output": 2}, "p2/m2": {"input": 1, "output": 2}}
        providers = [OpenAIProvider("sk-a", f"http://127.0.0.1:9/{name}", name=name) for name in ("p1", "p2")]
        super().__init__(*providers, **{"prices": prices, **settings})

    def flow(self, text: str = "hello", *fallbacks: str, **arguments: Any) -> "Flow":
        flow = Flow(self.client(*fallbacks), text, **arguments)
        self._kept.append(flow)
        return flow


class Flow(flow_bench.Flow):
    """A stream's flow and what it came to."""

    def __init__(
        self, client: LLMClient, text: str, *, input_tokens: int = 0, deadline: float | None = None, cache: bool = False
    ) -> None:
        super().__init__(client, ask(text, input_tokens), deadline=deadline, cache=cache, stream=True)

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

    def begin(self, head: Head | None = None) -> None:
        """Until its first chunk is with the user."""
        self.opens()
        self.reads(head or Head())
        assert self.says(event("Hel")) == ["Hel"]


def spent(bench: Bench) -> int:
    (account,) = bench.runtime.stats()["budgets"]
    return int(account["spent_nano_usd"])
