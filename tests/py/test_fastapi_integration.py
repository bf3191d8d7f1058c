"""llmcore.integrations.fastapi without a server: whose runtime it is, what is closed, what an error becomes."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.errors import LLMConfigError, LLMError, LLMRateLimitError, LLMServerError, LLMValidationError
from llmcore.ledger.tracker import UsageTracker
from llmcore.runtime import Runtime
from llmcore.service.dto import LLMMessageDTO
from llmcore.service.service import LLMService
from llmcore.types import Outcome
from support.scripted import ListSink, bare_environment, settings_of
from support.server import Answer, ScriptedServer, streamed_chat

fastapi = pytest.importorskip("fastapi", reason="fastapi is not installed (the extra fastapi)")
from llmcore.integrations.fastapi import (  # noqa: E402 - which needs fastapi
    event_stream,
    llm_error_handler,
    llm_lifespan,
    llm_services_provider,
)

ASK = [LLMMessageDTO(role="user", content="Hello?")]
OFFLINE = settings_of(provider="offline")


def request_to(app: Any) -> Any:
    return fastapi.Request({"type": "http", "app": app, "headers": []})


async def service_in(app: Any) -> LLMService:
    service = await llm_services_provider(request_to(app))
    assert isinstance(service, LLMService)
    return service


async def test_the_application_has_one_runtime_and_closes_it() -> None:
    app, sink = fastapi.FastAPI(), ListSink()
    async with llm_lifespan(settings=OFFLINE, tracker=sink, tenant="acme")(app):
        service, another = await service_in(app), await service_in(app)
        assert service.client is another.client
        assert service.client.tenant == "acme"
        await service.generate_response(ASK)
    assert [record.tenant for record in sink.records] == ["acme"]
    with pytest.raises(LLMConfigError, match="closed"):
        await service.generate_response(ASK)


async def test_a_runtime_that_was_given_stays_open_and_its_rows_are_written(tmp_path: Path) -> None:
    app, tracker = fastapi.FastAPI(), UsageTracker(str(tmp_path / "ledger.db"))
    runtime = Runtime(OFFLINE, tracker=tracker)
    async with llm_lifespan(runtime=runtime)(app):
        service = await service_in(app)
        await service.generate_response(ASK)
    assert tracker.stats().pending == 0
    await service.generate_response(ASK)
    tracker.close()


async def test_what_is_wrong_shows_before_the_first_request() -> None:
    with pytest.raises(LLMConfigError, match="nobody"):
        async with llm_lifespan("nobody", settings=OFFLINE)(fastapi.FastAPI()):
            raise AssertionError


async def test_without_a_lifespan_it_is_the_process_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("LLM_PROVIDER", "offline")
    monkeypatch.setenv("LLMCORE_DATABASE_URL", "none")
    monkeypatch.setattr(Runtime, "_default", None)
    service = await service_in(fastapi.FastAPI())
    assert service.client.runtime is Runtime.default()
    Runtime.default().close()


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (LLMRateLimitError("slow down", outcome=Outcome.RATE_LIMITED, retry_after=1.2), 429, "2"),
        (LLMRateLimitError("paid out", outcome=Outcome.QUOTA_EXHAUSTED, retry_after=1e300), 502, "86400"),
        (LLMError("", outcome=Outcome.OVER_BUDGET), 402, None),
        (LLMError("", outcome=Outcome.TIMEOUT), 504, None),
        (LLMError("", outcome=Outcome.CANCELLED), 503, None),
        (LLMServerError("", outcome=Outcome.SERVER_ERROR), 502, None),
        (LLMError("no outcome at all"), 502, None),
    ],
)
async def test_an_error_has_a_status(error: LLMError, status: int, retry_after: str | None) -> None:
    error.call_id = "c1"
    answer = await llm_error_handler(request_to(None), error)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert msgspec.json.decode(answer.body) == {"error": type(error).__name__, "request_id": "c1"}


@pytest.mark.parametrize("broken", [{"temperature": float("nan")}, {"deadline": -1.0}, {"tags": 5}])
async def test_an_argument_that_makes_no_sense_is_the_askers_fault(broken: dict[str, Any]) -> None:
    app = fastapi.FastAPI()
    async with llm_lifespan(settings=OFFLINE, tracker=ListSink())(app):
        service = await service_in(app)
        with pytest.raises(LLMError) as caught:
            await service.generate_response(ASK, **broken)
        assert (await llm_error_handler(request_to(app), caught.value)).status_code == 400
        answered = LLMValidationError("no answer fits", call_id="c1")
        assert (await llm_error_handler(request_to(app), answered)).status_code == 502


async def test_events_that_nobody_reads_to_the_end_end_the_call() -> None:
    sink = ListSink()
    client = AsyncLLMClient("offline", runtime=Runtime(OFFLINE, tracker=sink))
    events = event_stream(client.stream([{"role": "user", "content": "Hello?"}])).body_iterator
    first = await anext(aiter(events))
    assert bytes(first).startswith(b'data: {"text":')  # type: ignore[arg-type]
    await events.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert len(sink.records) == 1
    assert client.stats()["in_flight"] == 0


@pytest.mark.parametrize("version", ["2.0", "2.3", "2.5"])
async def test_a_reader_that_leaves_while_nothing_comes_ends_the_call(version: str) -> None:
    whole = streamed_chat(3)
    left, sink = asyncio.Event(), ListSink()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            left.set()

    silent = Answer(headers=whole.headers, body=whole.body, chunks=whole.chunks, stop_after=700, then="hang")
    with ScriptedServer(lambda request: silent) as server:
        settings = settings_of(provider="openai", providers={"openai": {"api_key": "k", "base_url": server.base_url}})
        client = AsyncLLMClient(model="gpt-4o-mini", runtime=Runtime(settings, tracker=sink))
        answer = event_stream(client.stream([{"role": "user", "content": "Hello?"}]))
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": version}}
        async with asyncio.timeout(10):
            await answer(scope, receive, send)  # type: ignore[arg-type]
        assert [record.status.value for record in sink.records] == ["cancelled"]
        assert client.stats()["in_flight"] == 0


def test_without_fastapi_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['fastapi'] = None; from llmcore import llm_services_provider"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: llmcore.integrations.fastapi needs FastAPI: pip install 'llmcore[fastapi]'"
    )
