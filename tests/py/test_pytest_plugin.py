"""The fixture ``llm_recording``, in a pytest of its own against a real server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import ScriptedServer, echo

TESTS = """
from llmcore import LLMClient

def test_greeting(llm_recording):
    answer = LLMClient("openai", "gpt-4o-mini").complete([{"role": "user", "content": "Say hello."}])
    assert answer.content == "Say hello."

class TestMany:
    def test_two(self, llm_recording):
        client = LLMClient("openai", "gpt-4o-mini")
        for text in ("one", "two"):
            assert client.complete([{"role": "user", "content": text}]).content == text
"""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(echo) as running:
        yield running


def run(folder: Path, base_url: str | None, *arguments: str) -> tuple[int, str]:
    """pytest in `folder`; without a server there is neither a key nor a host that answers."""
    environment = {
        name: value for name, value in os.environ.items() if not re.match("(LLM|OPENAI|ANTHROPIC|PYTEST|COV)", name)
    }
    environment |= {"LLMCORE_DATABASE_URL": "none", "OPENAI_BASE_URL": base_url or "http://127.0.0.1:9/v1"}
    if base_url is not None:
        environment["OPENAI_API_KEY"] = "sk-canary-0123456789abcdef0123456789"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_test_is_recorded_once_and_replayed_for_ever(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "test_talk.py"
    path.write_text(TESTS)
    code, out = run(tmp_path, None, "--llm-record=none")
    assert code == 1
    assert "there is no recording at" in out
    assert "record it: pytest --llm-record=all 'test_talk.py::test_greeting'" in out

    assert run(tmp_path, server.base_url)[0] == 0
    assert len(server.requests) == 3
    folder = tmp_path / "llm_recordings" / "test_talk"
    assert sorted(file.name for file in folder.iterdir()) == ["TestMany.test_two.jsonl", "test_greeting.jsonl"]
    for file in folder.iterdir():
        assert "canary" not in file.read_text()
    before = {file: file.read_bytes() for file in folder.iterdir()}

    for mode in ("--llm-record=none", "--llm-record=once"):  # no server, no key
        code, out = run(tmp_path, None, mode)
        assert code == 0, out
    assert len(server.requests) == 3

    assert run(tmp_path, server.base_url, "--llm-record=all")[0] == 0
    assert len(server.requests) == 6
    assert {file: file.read_bytes().replace(b"", b"") for file in folder.iterdir()}.keys() == before.keys()

    path.write_text(TESTS.replace("Say hello.", "Say goodbye."))
    code, out = run(tmp_path, None)
    assert code == 1
    assert "recorded: 'Say hello.'" in out
    assert "now:      'Say goodbye.'" in out
    assert "If the change is meant, record again: pytest --llm-record=all 'test_talk.py::test_greeting'" in out
    assert "1 failed, 1 passed" in out
    assert run(tmp_path, server.base_url, "--llm-record=all")[0] == 0
    assert run(tmp_path, None, "--llm-record=none")[0] == 0


@pytest.mark.slow
def test_a_failed_test_is_not_kept_and_a_swallowed_error_is_not_hidden(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "test_talk.py"
    path.write_text(
        """
from llmcore import LLMClient, LLMError

def test_greeting(llm_recording):
    try:
        LLMClient("openai", "m").complete([{"role": "user", "content": "hello"}])
    except LLMError:
        pass
    assert CORRECT
"""
    )
    path.write_text(path.read_text().replace("CORRECT", "False"))
    assert run(tmp_path, server.base_url)[0] == 1
    assert not (tmp_path / "llm_recordings").exists()
    path.write_text(path.read_text().replace("False", "True"))
    assert run(tmp_path, server.base_url)[0] == 0
    assert run(tmp_path, None)[0] == 0
    path.write_text(path.read_text().replace("hello", "good morning"))
    code, out = run(tmp_path, None)
    assert code == 1
    assert "the test passed, but this request is not in the recording" in out


def test_loading_the_plugin_loads_nothing_but_pytest() -> None:
    probe = (
        "import sys, pytest; before = set(sys.modules); import llmcore.integrations.pytest_plugin; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["llmcore", "llmcore.integrations", "llmcore.integrations.pytest_plugin"])
