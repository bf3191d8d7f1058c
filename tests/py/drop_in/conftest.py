"""A drop-in client in front of a server that answers by script."""

from collections.abc import Iterator

import pytest

from llmcore import Settings
from llmcore.openai import OpenAI
from support.scripted import ListSink
from support.server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[OpenAI]:
    settings = Settings(ledger={"url": "none"})
    with OpenAI(api_key="sk-canary", base_url=server.base_url, settings=settings, tracker=ListSink()) as made:
        yield made
