"""A key is where it was configured and in the requests to its host, and nowhere else: not in logs, not in what is
printed, shown, pickled or copied, not in errors and the values around them, not in the ledger, the spool or a
recording.
"""

import asyncio
import copy
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from openai import AuthenticationError

from llmcore import (
    AsyncLLMClient,
    LLMAuthError,
    LLMClient,
    LLMError,
    LLMRequest,
    LLMTimeoutError,
    LLMValidationError,
    Runtime,
    Settings,
    UsageTracker,
    create_provider,
)
from llmcore.openai import OpenAI
from llmcore.recording import ReplayLogger
from llmcore.transport import create_transport
from support.server import Answer, Request, ScriptedServer, streamed_chat

KEYS = {
    "openai": "sk-canary-openai-3f9a1c7e5b2d48609f1e",
    "anthropic": "sk-ant-canary-8b1f2d3c4e5a6978a0b1",
    "groq": "gsk_canary_5d7c9e1f3a2b4c6d8e0f",
}
#: What a part of a key is told by: none of it may be seen anywhere, cut or whole.
PARTS = tuple(key[start : start + 12] for key in KEYS.values() for start in (0, 8, len(key) - 12) if "canary" in key)
MESSAGES = [{"role": "user", "content": "Is the bridge safe?"}]


def holds_no_key(what: str, text: str | bytes) -> None:
    """Fails if any part of a key, plain or in hexadecimal, is in a text."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    for part in PARTS:
        assert part.encode() not in data, f"a key is in {what}"
        assert part.encode().hex().encode() not in data, f"a key is in {what}, in hexadecimal"


def echo_key(request: Request, in_headers: bool) -> Answer:
    """A provider that tells a caller which key it refuses, as some do: in its body, and in a header."""
    key = request.headers.get("authorization", request.headers.get("x-api-key", "")).removeprefix("Bearer ")
    body = {"error": {"message": f"Incorrect API key provided: {key}.", "type": "invalid_request_error", "code": key}}
    return Answer(status=401, body=json.dumps(body).encode(), headers={"x-request-id": key} if in_headers else {})


def server_for(kind: str, in_headers: bool) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        match kind:
            case "success":
                return streamed_chat(3) if request.json.get("stream") else Answer.chat("It is.")
            case "refused":
                return echo_key(request, in_headers)
            case "slow":
                return Answer.chat("late", delay=5.0)
            case "cut":
                return Answer.chat("never", stop_after=40)
        return Answer(body=b"<html>" + request.headers["authorization"].encode() + b"</html>")

    return answer


KINDS = ["success", "refused", "slow", "cut", "page"]


class Everything(logging.Handler):
    """Keeps what any logger says, with its exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def logs() -> Iterator[Everything]:
    """Everything at DEBUG, the SDK's and its HTTP client's loggers included."""
    handler, root = Everything(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "llmcore", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield handler
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "llmcore", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.setLevel(before)
    root.removeHandler(handler)


def settings_for(server: ScriptedServer, **more: Any) -> Settings:
    return Settings(
        provider="openai",
        openai_api_key=KEYS["openai"],
        openai_base_url=server.base_url,
        anthropic_api_key=KEYS["anthropic"],
        providers={"groq": {"api_key": KEYS["groq"], "base_url": server.base_url}},
        retry={"max_attempts": 2, "base_delay": 0.001},
        **more,
    )


def shown(error: BaseException) -> str:
    """An error as a crash reporter sends it: every frame with its local variables, causes and contexts too."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format()) + repr(error) + str(error) + repr(getattr(error, "__dict__", {}))


@pytest.mark.parametrize("transport", ["native", "sdk"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_key_is_found_wherever_a_call_leaves_traces(
    kind: str, transport: Any, tmp_path: Path, logs: Everything, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger, recording = tmp_path / "calls.db", tmp_path / "recording"
    errors: list[BaseException] = []
    # The SDK's HTTP client writes the headers that it is given into its own debugging log, as they are.
    with ScriptedServer(server_for(kind, in_headers=transport == "native")) as server:
        recorder = ReplayLogger(recording)
        tracker = UsageTracker(str(ledger))
        settings = settings_for(server)
        runtime = Runtime(settings, tracker=tracker, transport=create_transport(transport), recorder=recorder)
        client = LLMClient(runtime=runtime, fallbacks=("groq/llama-3.3-70b-versatile",))
        deadline = {"slow": 0.3, "cut": 1.0, "page": 1.0}.get(kind, 10.0)

        def attempt(work: Callable[[], object]) -> None:
            try:
                work()
            except LLMError as error:
                errors.append(error)

        attempt(lambda: client.complete(MESSAGES, deadline=deadline))
        attempt(lambda: client.stream(MESSAGES, deadline=deadline).finish())
        attempt(lambda: client.embed(["a"], deadline=deadline))

        async def asynchronously() -> None:
            other = AsyncLLMClient(runtime=runtime)
            with suppress(LLMError):
                await other.complete(MESSAGES, deadline=deadline)
            await runtime.aclose()  # in the loop that its connections belong to

        asyncio.run(asynchronously())
        stats = json.dumps(client.stats(), default=str)
        tracker.close()
        recorder.close()
        # The keys went where they belong.
        assert any(request.headers.get("authorization") == f"Bearer {KEYS['openai']}" for request in server.requests)

    if kind == "refused":
        assert any(isinstance(error, LLMAuthError) for error in errors)
    if kind == "slow":
        assert any(isinstance(error, LLMTimeoutError) for error in errors)
    for error in errors:
        holds_no_key("an error and the values around it", shown(error))
    holds_no_key("the statistics", stats)
    holds_no_key("the logs", "\n".join(logs.lines))
    captured = capfd.readouterr()
    holds_no_key("standard output", captured.out)
    holds_no_key("standard error", captured.err)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        holds_no_key(path.name, path.read_bytes())


def test_objects_show_no_key(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        settings = settings_for(server)
        runtime = Runtime(settings, tracker=UsageTracker(str(tmp_path / "calls.db")))
        client = LLMClient(runtime=runtime)
        provider = create_provider("openai", settings)
        request = provider.encode(client._request("gpt-4o-mini", MESSAGES, None, {}))
        assert KEYS["openai"] in request.headers["Authorization"]
        for what in (
            settings,
            settings.provider_settings("openai"),
            runtime,
            client,
            provider,
            request,
            client.stats(),
        ):
            for text in (repr(what), str(what), f"{what}"):
                holds_no_key(type(what).__name__, text)
        holds_no_key("settings as JSON", settings.model_dump_json())
        holds_no_key("a copy of the settings", repr(copy.deepcopy(settings)))
        holds_no_key("pickled settings", pickle.dumps(settings))
        for what in (provider, client, runtime):
            with suppress(TypeError, AttributeError, ValueError):  # most cannot be pickled, and say so
                holds_no_key(f"a pickled {type(what).__name__}", pickle.dumps(what))
        runtime.close()


def test_a_providers_variables_show_no_key() -> None:
    for name in "openai", "openai-responses", "anthropic", "azure", "groq", "llama", "ollama":
        settings = Settings(providers={name: {"api_key": KEYS["openai"], "base_url": "http://127.0.0.1:1"}})
        provider = create_provider(name, settings)
        request = provider.encode(LLMRequest("m", MESSAGES))
        assert any(KEYS["openai"] in value for value in request.headers.values())
        holds_no_key(name, f"{vars(provider)} {request.headers}")
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(request.headers)
        assert copy.deepcopy(request.headers) == request.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("timeout", [10.0, -1.0])
def test_the_drop_ins_errors_show_no_key(stream: bool, timeout: float) -> None:
    settings = Settings(provider="offline", retry={"max_attempts": 1})
    with ScriptedServer(lambda request: echo_key(request, False)) as server:
        client = OpenAI(api_key=KEYS["openai"], base_url=server.base_url, settings=settings)
        asked: Any = {"model": "m", "messages": MESSAGES, "stream": stream, "timeout": timeout}
        with pytest.raises((AuthenticationError, LLMValidationError)) as caught:
            client.chat.completions.create(**asked)
        client.close()
    holds_no_key("an error and what is around it", shown(caught.value))
    with suppress(TypeError):  # some errors of the SDK cannot be
        holds_no_key("a pickled error", pickle.dumps(caught.value))


def test_an_exception_in_the_midst_of_a_call_shows_no_key(tmp_path: Path) -> None:
    """A program's own fault, in a function that llmcore calls, with a crash reporter that keeps local variables."""

    def broken(request: Request) -> Answer:
        return Answer.chat("x")

    def fail(text: str, call_type: str | None) -> str:
        raise ZeroDivisionError

    with ScriptedServer(broken) as server, Runtime(settings_for(server), tracker=None) as runtime:
        client = LLMClient(runtime=runtime, on_record=lambda record: 1 / 0)  # type: ignore[arg-type]
        reports: list[str] = []
        hook = sys.excepthook
        try:
            client.complete(MESSAGES)
            client.complete(MESSAGES, deadline=object())  # type: ignore[arg-type]
        except Exception as error:
            reports.append(shown(error))
        finally:
            sys.excepthook = hook
    assert reports
    for report in reports:
        holds_no_key("a crash report", report)
