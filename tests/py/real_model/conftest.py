"""llama.cpp's server with a model of our own, and clients that know it by every name."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from llmcore.runtime import Runtime
from support.either import Either
from support.llama_server import LlamaServer
from support.scripted import ListSink, bare_environment, settings_of
from support.tiny_model import CALL, END, write_model

#: What a runtime of `runtimes` does not say otherwise.
PRICES = {f"{name}/tiny": {"input": 1, "cache_read": 0.1, "output": 2} for name in ("openai", "anthropic")}
PRICES["openai-responses/tiny"] = PRICES["openai/tiny"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models and the logs of servers are."""
    for package in ("xllamacpp", "gguf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install xllamacpp gguf")
    return tmp_path_factory.mktemp("real-model")


@pytest.fixture(scope="session")
def talker(folder: Path) -> Path:
    """A model that says letters without sense, and does not end by itself."""
    path = folder / "talker.gguf"
    write_model(path, {END: -9})
    return path


@pytest.fixture(scope="session")
def server(folder: Path, talker: Path) -> Iterator[LlamaServer]:
    """A server that lives as long as the tests."""
    with LlamaServer(talker, folder, slots=2) as server:
        yield server


@pytest.fixture(scope="session")
def calling_server(folder: Path) -> Iterator[LlamaServer]:
    """One whose model calls a tool where it is given some, if it has not called one lately; then it talks."""
    path = folder / "caller.gguf"
    write_model(path, {CALL: 15, "<": -9})
    with LlamaServer(path, folder, penalty=100) as server:
        yield server


@pytest.fixture
def mortal(folder: Path, talker: Path) -> Iterator[LlamaServer]:
    """One of the test's own, to be killed; its answers may be so long that they are under way when it is."""
    with LlamaServer(talker, folder, slots=2, context=32_768) as server:
        yield server


@pytest.fixture
def second(folder: Path, talker: Path) -> Iterator[LlamaServer]:
    """Another one."""
    with LlamaServer(talker, folder, slots=2, context=32_768) as server:
        yield server


@pytest.fixture
def runtimes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """Makes runtimes: `runtimes({"openai": server}, **settings)`. At the end nothing of them may be left."""
    bare_environment(monkeypatch, tmp_path)
    made: list[Runtime] = []

    def make(servers: dict[str, LlamaServer], *, tracker: Any = None, **settings: Any) -> Runtime:
        providers = {name: {"api_key": "sk-canary", "base_url": f"{at.url}/v1"} for name, at in servers.items()}
        chosen = {"provider": next(iter(servers)), "providers": providers, "prices": PRICES, **settings}
        made.append(Runtime(settings_of(**chosen), tracker=ListSink() if tracker is None else tracker))
        return made[-1]

    yield make
    for runtime in made:
        stats = runtime.stats()
        assert [stats[name] for name in ("in_flight", "queued", "backing_off", "following")] == [0, 0, 0, 0]
        assert set(stats["reserved"].values()) == {0}
        assert runtime.check() == ""
        runtime.close()


@pytest.fixture
def runtime(runtimes: Callable[..., Runtime], server: LlamaServer) -> Runtime:
    """One that knows the server by all of its names."""
    return runtimes(dict.fromkeys(("openai", "anthropic", "llama"), server))


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Literal["sync", "async"]:
    """Which client."""
    found: Literal["sync", "async"] = request.param
    return found


@pytest.fixture
def either(runtime: Runtime, kind: Literal["sync", "async"]) -> Either:
    """The client of that kind, for the server that lives as long as the tests."""
    return Either(kind, runtime, "tiny")
