"""The world around a runtime as a script: provider, transport and sink do what a test tells them, when it tells them.

Nothing here decides or waits by the clock. A request that was sent stays open until the test answers it.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmcore._core import RateObservation
from llmcore.config import Settings
from llmcore.estimate import TokenEstimate, TokenEstimator
from llmcore.providers.base import LLMProvider
from llmcore.transport import Transport, TransportError
from llmcore.types import (
    CallRecord,
    Failure,
    HttpRequest,
    HttpResponse,
    LLMRequest,
    Message,
    Outcome,
    Reply,
    Request,
    Texts,
    Usage,
)

__all__ = [
    "Exchange",
    "ListSink",
    "ScriptedEstimator",
    "ScriptedProvider",
    "ScriptedTransport",
    "answer",
    "ask",
    "bare_environment",
    "failure",
    "settings_of",
]

_MILLION = 1_000_000
_PREFIXES = ("LLM", "OPENAI_", "ANTHROPIC_", "LLAMA_", "AZURE_OPENAI_")


def bare_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """An empty working directory and none of our variables, so that settings come from the test alone."""
    import os

    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)


def settings_of(**sections: Any) -> Settings:
    """Settings without a ledger and without jitter, unless the test wants some."""
    retry = {"jitter": 0, **sections.pop("retry", {})}
    return Settings(**{"ledger": {"url": "none"}, "provider": "p1", **sections}, retry=retry)


def ask(text: str, input_tokens: int = 0) -> list[Message]:
    """Messages that ScriptedEstimator takes for that many tokens. What makes two of them equal is the text alone."""
    return [{"role": "user", "content": text, "input_tokens": input_tokens}]


def answer(
    content: str = "answer",
    input_tokens: int = 0,
    output_tokens: int = 0,
    observe: Mapping[str, int] | None = None,
    **more: Any,
) -> HttpResponse:
    """What ScriptedProvider understands as a reply. `more`: fields of Reply, or estimated=True."""
    said = {"content": content, "input_tokens": input_tokens, "output_tokens": output_tokens, **more}
    return HttpResponse(200, _observing(observe), msgspec.json.encode(said))


def failure(
    outcome: Outcome,
    retry_after: float | None = None,
    should_retry: bool | None = None,
    observe: Mapping[str, int] | None = None,
) -> HttpResponse:
    """What ScriptedProvider understands as a failure."""
    said = {"outcome": int(outcome), "retry_after": retry_after, "should_retry": should_retry}
    return HttpResponse(500, _observing(observe), msgspec.json.encode(said))


def _observing(observe: Mapping[str, int] | None) -> dict[str, str]:
    return {} if observe is None else {"x-observe": msgspec.json.encode(observe).decode()}


class ScriptedProvider(LLMProvider):
    """A provider whose requests are a model and a text, and whose answers say what to make of them."""

    def __init__(self, name: str = "p1") -> None:
        self.name = name

    def encode(self, request: LLMRequest) -> HttpRequest:
        text = request.messages[-1]["content"]
        return HttpRequest(f"scripted://{self.name}", {}, msgspec.json.encode({"model": request.model, "text": text}))

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        said = msgspec.json.decode(body)
        if status != 200:
            return Failure(Outcome(said["outcome"]), "as the script says", said["retry_after"], said["should_retry"])
        usage = Usage(
            input_uncached=said.pop("input_tokens"),
            output_text=said.pop("output_tokens"),
            estimated=said.pop("estimated", False),
        )
        return Reply(**{"model": "", "usage": usage, **said})

    def observe(self, headers: Mapping[str, str]) -> RateObservation | None:
        said = headers.get("x-observe")
        if said is None:
            return None
        limits = msgspec.json.decode(said)
        return RateObservation(
            limits.get("remaining_requests"),
            limits.get("remaining_tokens"),
            limits.get("requests_reset_ms", 0) * _MILLION,
            limits.get("tokens_reset_ms", 0) * _MILLION,
            limits.get("requests_limit"),
            limits.get("tokens_limit"),
        )


class ScriptedEstimator(TokenEstimator):
    """Takes a prompt for as many tokens as ask() was told."""

    def prompt(self, request: Request, body_bytes: int) -> TokenEstimate:
        tokens = request.messages[-1].get("input_tokens", 0)
        return TokenEstimate(tokens, tokens)


class Exchange:
    """A request that was sent. Open until the test answers it."""

    def __init__(self, owner: str, request: HttpRequest, timeout: float) -> None:
        #: name of the thread or task that sent it
        self.owner = owner
        self.request = request
        self.timeout = timeout
        self.future: Future[HttpResponse] = Future()

    def answer(self, response: HttpResponse) -> None:
        self.future.set_result(response)

    def fail(self, error: BaseException) -> None:
        self.future.set_exception(error)


class ScriptedTransport(Transport):
    """Sends nothing anywhere: each request waits in `open` for the test.

    :param changed: called whenever a request was sent, under no lock
    """

    def __init__(self, changed: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.open: list[Exchange] = []
        #: how many requests each thread or task has sent
        self.count: dict[str, int] = {}
        self._changed = changed or (lambda: None)
        self._lock = threading.Lock()

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        exchange = self._begin(threading.current_thread().name, request, timeout)
        try:
            return exchange.future.result()
        finally:
            self._end(exchange)

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - the interface
        task = asyncio.current_task()
        exchange = self._begin("" if task is None else task.get_name(), request, timeout)
        try:
            return await asyncio.wrap_future(exchange.future)
        finally:
            self._end(exchange)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            left = list(self.open)
        for exchange in left:
            if not exchange.future.done():
                exchange.fail(TransportError(Outcome.CANCELLED, "the transport was closed"))

    async def aclose(self) -> None:
        self.close()

    def _begin(self, owner: str, request: HttpRequest, timeout: float) -> Exchange:
        exchange = Exchange(owner, request, timeout)
        with self._lock:
            if self._closed:
                raise TransportError(Outcome.CANCELLED, "the transport is closed")
            self.count[owner] = self.count.get(owner, 0) + 1  # first: who sees the exchange asks which it is
            self.open.append(exchange)
        self._changed()
        return exchange

    def _end(self, exchange: Exchange) -> None:
        with self._lock:
            self.open.remove(exchange)


class ListSink:
    """A ledger that is a list."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []
        self.texts: list[Texts | None] = []
        self.closed = 0

    def begin(self, call: CallRecord) -> None:
        """Of no interest here."""

    def record(self, call: CallRecord, texts: Texts | None = None) -> None:
        self.records.append(call)
        self.texts.append(texts)

    def flush(self, timeout: float | None = None) -> bool:
        return True

    def close(self) -> None:
        self.closed += 1
