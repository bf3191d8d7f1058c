"""The ``llmcore`` command as tests call it: in this process, or in one of its own where it is to be interrupted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.server import ScriptedServer


@dataclass
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _unconfigured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and an environment that configures nothing but a key."""
    for name in list(os.environ):
        if name.startswith(("LLM", "OPENAI", "ANTHROPIC", "LLAMA")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs ``llmcore ARGUMENTS`` in this process."""
    from llmcore.cli import main

    def command(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["llmcore", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return command


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``llmcore ARGUMENTS`` as a process; what is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def command(*arguments: object, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmcore.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield command
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A provider that answers everything."""
    with ScriptedServer() as running:
        yield running


def request(custom_id: str, question: str | None = None, **beside: Any) -> dict[str, Any]:
    """One request; its question is its id unless another one is given."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question or custom_id}], "max_tokens": 9}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body} | beside


@pytest.fixture
def requests(tmp_path: Path) -> Callable[..., Path]:
    """Writes an input: of so many requests, or of the given lines (objects, text or bytes)."""

    def write(lines: int | list[Any], name: str = "in.jsonl") -> Path:
        path = tmp_path / name
        items = [request(f"r{number}") for number in range(lines)] if isinstance(lines, int) else lines
        path.write_bytes(
            b"".join(
                (
                    item
                    if isinstance(item, bytes)
                    else item.encode()
                    if isinstance(item, str)
                    else json.dumps(item).encode()
                )
                + b"\n"
                for item in items
            )
        )
        return path

    return write


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Reads a file of results."""

    def read(name: str = "out.jsonl") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]

    return read


@pytest.fixture
def request_of() -> Callable[..., dict[str, Any]]:
    """Makes one request."""
    return request
