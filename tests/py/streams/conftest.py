"""What every test of a stream starts from."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from llmcore.runtime import Runtime
from support.runtimes import rests
from support.scripted import bare_environment
from support.server import ScriptedServer
from support.stream_bench import Bench
from support.streaming import runtime_of


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(params=["native", "sdk"])
def runtime(server: ScriptedServer, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    made = runtime_of(server, request.param)
    yield made
    made.close()
    assert rests(made)


@pytest.fixture(params=["native", "sdk"])
async def loop_runtime(server: ScriptedServer, request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    made = runtime_of(server, request.param)
    yield made
    await made.aclose()
    assert rests(made)
