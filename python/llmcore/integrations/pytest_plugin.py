"""The pytest fixture ``llm_recording``: record a test's calls once, replay them for ever.

Installed with llmcore; importing it loads nothing but pytest. docs/replay.md shows it at work.
"""

import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llmcore.replay_transport import ReplayTransport

__all__ = ["LLMRecording", "llm_recording"]

_FOLDER = "llm_recordings"
_passed = pytest.StashKey[bool]()


@dataclass(frozen=True)
class LLMRecording:
    """What the fixture gives.

    :param path: the recording: one line of JSON for each request and each answer, to be kept with the test
    :param replaying: False while it is being recorded
    """

    path: Path
    replaying: bool


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--llm-record``."""
    parser.getgroup("llmcore").addoption(
        "--llm-record",
        choices=("none", "once", "all"),
        default="once",
        help="of tests with the fixture llm_recording: once: record where there is no recording, else replay; "
        "none: only replay; all: record anew",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers whether a test passed: only then its recording is kept."""
    report = yield
    if report.when == "call":
        item.stash[_passed] = report.passed
    return report


@pytest.fixture
def llm_recording(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LLMRecording]:
    """Every runtime that is made during the test, the default one included, is recorded or replayed.

    A runtime that is given a transport or a recorder of its own is left alone.
    """
    node: pytest.Item = request.node
    path = _path_of(node)
    mode = request.config.getoption("--llm-record")
    again = f"pytest --llm-record=all '{node.nodeid}'"
    if mode != "all" and path.exists():
        yield from _replayed(node, path, again, monkeypatch)
    elif mode == "none":
        pytest.fail(
            f"there is no recording at {path}, and --llm-record=none makes none; record it: {again}", pytrace=False
        )
    else:
        yield from _recorded(node, path, tmp_path_factory.mktemp("llm") / "recording", monkeypatch)


def _replayed(node: pytest.Item, path: Path, again: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LLMRecording]:
    from llmcore import runtime
    from llmcore.config_sources import VARIABLES
    from llmcore.recording_json import events_of
    from llmcore.replay_transport import ReplayTransport

    with path.open("rb") as source:
        events = list(events_of(source))
    transport = ReplayTransport(events, remedy=f"If the change is meant, record again: {again}")
    asked = {event["provider"] for event in events if event["kind"] == "request_body"}
    for variable, setting in VARIABLES.items():
        if setting[-1] == "api_key" and setting[-2] in asked and variable not in os.environ:
            monkeypatch.setenv(variable, "replayed")  # nothing is sent, so no key is needed
    monkeypatch.setattr(runtime, "surroundings", lambda: (transport.shared(), None))
    with _own_default_runtime(monkeypatch):
        yield LLMRecording(path, replaying=True)
    _complain(node, transport)


def _complain(node: pytest.Item, transport: "ReplayTransport") -> None:
    """A program may well catch the error and get by: its requests have changed all the same."""
    if node.stash.get(_passed, False) and transport.misses:
        pytest.fail(f"the test passed, but {transport.misses[0]}", pytrace=False)


def _recorded(
    node: pytest.Item, path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LLMRecording]:
    from llmcore import runtime
    from llmcore.recording import ReplayLogger
    from llmcore.recording_json import export_json
    from llmcore.transport import create_transport

    with ReplayLogger(directory, ack="memory", engine=False) as log:
        monkeypatch.setattr(runtime, "surroundings", lambda: (create_transport(), log))
        with _own_default_runtime(monkeypatch):
            yield LLMRecording(path, replaying=False)
    if node.stash.get(_passed, False):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".new")
        with unfinished.open("wb") as to:
            export_json(directory, to)
        unfinished.replace(path)


@contextmanager
def _own_default_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The default runtime of before is put aside, and the one of the test closed."""
    from llmcore.runtime import Runtime

    monkeypatch.setattr(Runtime, "_default", None)
    try:
        yield
    finally:
        if Runtime._default is not None:
            Runtime._default.close()


def _path_of(node: pytest.Item) -> Path:
    name = node.nodeid.partition("::")[2] or node.name
    safe = re.sub(r"[^-\w.\[\]]+", "_", name.replace("::", "."))
    return node.path.parent / _FOLDER / node.path.stem / f"{safe[:150]}.jsonl"
