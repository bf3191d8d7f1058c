"""Runs that are recorded, and recordings that are played."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmcore import LLMClient, LLMResponse, ReplayLogger, ReplayTransport, Runtime, Settings
from support.server import ScriptedServer

CANARY = "sk-canary-0123456789abcdef0123456789abcdef"


def settings_for(server: ScriptedServer | None = None, key: str = CANARY, **more: Any) -> Settings:
    url = "http://127.0.0.1:9/v1" if server is None else server.base_url
    retry = {"base_delay": 0.001, "jitter": 0, **more.pop("retry", {})}
    reached = {"openai": {"api_key": key, "base_url": url}}
    return Settings(provider="openai", model="m", ledger={"url": "none"}, providers=reached, retry=retry, **more)


@contextlib.contextmanager
def recording(server: ScriptedServer, directory: str, **more: Any) -> Iterator[tuple[Runtime, ReplayLogger]]:
    with ReplayLogger(directory) as log:
        runtime = Runtime(settings_for(server, **more), recorder=log)
        try:
            yield runtime, log
        finally:
            runtime.close()


@contextlib.contextmanager
def replaying(directory: str, **more: Any) -> Iterator[tuple[Runtime, ReplayTransport]]:
    transport = ReplayTransport(directory)
    runtime = Runtime(settings_for(None, **more), transport=transport)
    try:
        yield runtime, transport
    finally:
        runtime.close()


def say(client: LLMClient, text: str, **more: Any) -> LLMResponse:
    return client.complete([{"role": "user", "content": text}], **more)


def everything_in(directory: str) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(Path(directory).rglob("*")) if path.is_file())
