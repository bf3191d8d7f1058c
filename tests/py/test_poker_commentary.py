"""examples/poker_commentary.py: offline as it comes, and with bots whose budget is spent."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support.server import Answer, Request, ScriptedServer, streamed_chat

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "poker_commentary.py"), *arguments]
    env = os.environ | {"XDG_STATE_HOME": str(folder)} | environment
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_it_plays_a_hand_without_a_key(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "In the end: " in done.stdout
    assert " calls, 0" in done.stdout
    assert run(tmp_path).stdout == done.stdout  # offline, the same hand is told in the same words


def bots(request: Request) -> Answer:
    """A server whose bots always raise, at a price."""
    if request.json.get("stream"):
        return streamed_chat(3)
    if "response_format" in request.json:
        move = {"action": "raise", "amount": 20, "thought": "courage"}
        return Answer.chat(json.dumps(move), body={"prompt_tokens": 1000, "completion_tokens": 1000})
    return Answer.chat("Ada is ahead.")


def test_a_bot_that_has_spent_its_budget_folds(tmp_path: Path) -> None:
    with ScriptedServer(bots) as server:
        environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
        arguments = ("--provider", "openai", "--model", "gpt-4o-mini", "--budget", "0.003")
        done = run(tmp_path, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert "Ada raises, 30 chips in all." in done.stdout
    assert "word0 word1 word2" in done.stdout
    assert "folds (his bot has spent its budget)" in done.stdout
    assert "Ada is ahead." in done.stdout
