"""Talking to a model on the terminal, and looking whether everything is set up."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Ran
from ledger.making import ask
from support.server import Answer, Request, ScriptedServer


def talk(folder: Path, said: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return subprocess.run(
        [sys.executable, "-m", "llmcore.cli", "chat", *arguments],
        input=said,
        env=env | {"XDG_STATE_HOME": str(folder)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_conversation_is_remembered_and_recorded(tmp_path: Path) -> None:
    said = talk(tmp_path, "Hello.\n\nIs the bridge safe?\n", "--provider", "offline", "--system", "Be brief.")
    assert said.returncode == 0, said.stderr
    assert len(said.stdout.splitlines()) == 2
    assert said.stderr.splitlines() == ["offline/offline; Ctrl-D ends", "$0.000000000"]
    first, second = ask(tmp_path / "llmcore.db", "SELECT messages FROM llm_payloads ORDER BY call_id")
    assert [message["role"] for message in json.loads(first[0])] == ["system", "user"]
    told = json.loads(second[0])
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert told[2]["content"] == said.stdout.splitlines()[0]


def test_a_message_without_an_answer_is_forgotten(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        if "bad" in request.json["messages"][-1]["content"]:
            return Answer.error(400, "no such thing")
        return Answer.chat(f"{len(request.json['messages'])} messages")

    with ScriptedServer(answer) as server:
        environment = {"OPENAI_API_KEY": "sk-test-canary", "OPENAI_BASE_URL": server.base_url}
        said = talk(tmp_path, "one\nbad\ntwo\n", "--provider", "openai", **environment)
    assert said.returncode == 1
    assert said.stdout.split("\n") == ["1 messages", "", "3 messages", ""]
    assert "no such thing" in said.stderr
    assert "canary" not in said.stdout + said.stderr


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_all_is_well(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with ScriptedServer(lambda _: Answer(body=b'{"object": "list", "data": []}')) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-canary")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        ran = run("doctor")
        (asked,) = server.requests
    assert (ran.code, ran.err) == (0, "")
    assert (asked.method, asked.path) == ("GET", "/v1/models")
    assert asked.headers["authorization"] == "Bearer sk-test-canary"
    assert [line.split()[0] for line in ran.out.splitlines()] == ["ok"] * 4
    assert "provider openai" in ran.out
    assert "is made with the first call" in ran.out
    assert "canary" not in ran.out
    assert not (tmp_path / "llmcore.db").exists()


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "refuses the key"), (503, "not ready yet"), (500, "trouble of its own"), (404, "HTTP 404")],
)
def test_what_a_provider_says_is_told(
    status: int, told: str, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(lambda _: Answer.error(status)) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-canary")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        ran = run("doctor", "--json")
    found = {finding["what"]: finding for finding in json.loads(ran.out)}
    assert told in found["provider openai"]["told"]
    assert ran.code == (0 if status == 404 else 1)


def test_every_trouble_is_named(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_PROVIDER", "anthropic")
    monkeypatch.setenv("LLAMA_SERVER_URL", "http://127.0.0.1:9")
    (tmp_path / "essay.db").write_text("no database " * 500)
    ran = run("doctor", "--database", tmp_path / "essay.db")
    assert ran.code == 1
    assert "wrong   provider anthropic  anthropic has no key: set ANTHROPIC_API_KEY" in ran.out
    assert "wrong   provider llama" in ran.out
    assert "no SQLite database" in ran.out
    assert (tmp_path / "essay.db").read_text() == "no database " * 500


def test_settings_that_cannot_be_read_are_what_is_wrong(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "llmcore.toml").write_text("limits = 5\n")
    ran = run("doctor")
    assert ran.code == 1
    assert ran.out.splitlines()[-1].startswith("wrong   settings")
