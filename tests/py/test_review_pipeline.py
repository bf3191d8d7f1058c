"""examples/review_pipeline.py: offline as it comes, and against a server that answers wrongly now and then."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from llmcore.ledger.repo import LLMCall, LLMCallRepository
from llmcore.ledger.tracker import UsageTracker
from support.server import Answer, Request, ScriptedServer

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not re.match("(LLM|OPENAI)", name)}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "review_pipeline.py"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment | variables, capture_output=True, text=True, check=False, timeout=60
    )


def test_it_runs_without_a_key_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 reviews, 0 failed" in done.stdout
    for step in ("sentiment_analysis", "extraction", "summarization"):
        assert re.search(rf"^{step} +6 +\d+ +0\.000000 +\d+\.\d$", done.stdout, re.MULTILINE)
    tree = done.stdout.partition("trace-r1:\n")[2].splitlines()
    assert [line.partition(":")[0] for line in tree] == [
        "  sentiment_analysis",
        "    extraction",
        "      summarization",
    ]
    assert list(tmp_path.iterdir()) == []


def calls_of(tracker: UsageTracker, trace: str) -> Sequence[LLMCall]:
    return LLMCallRepository.get_calls_by_trace_sync(tracker, trace)


def test_a_wrong_answer_is_asked_for_again_and_a_failure_is_one_review_only(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        asked = request.json
        text = asked["messages"][1]["content"]
        schema = asked.get("response_format", {}).get("json_schema", {}).get("name")
        if schema == "Mood":
            again = len(asked["messages"]) > 2
            stars = 9 if text == "first" and not again else 4
            return Answer.chat("No." if text == "second" else json.dumps({"mood": "good", "stars": stars}))
        if schema == "Complaints":
            return Answer.chat(json.dumps({"complaints": [{"about": "food", "what": "cold"}]}))
        return Answer.chat("Fine.")

    (tmp_path / "reviews.txt").write_text("first\nsecond\n\nthird\n")
    with ScriptedServer(answer) as server:
        done = run(
            tmp_path,
            *("reviews.txt", "--provider", "openai", "--database", "calls.db"),
            OPENAI_API_KEY="sk-canary",
            OPENAI_BASE_URL=server.base_url,
        )
    assert done.returncode == 1
    assert "2 reviews, 1 failed" in done.stdout
    assert "complaints: 2 x food" in done.stdout
    assert done.stderr.splitlines() == [
        "r2: LLMValidationError: openai/gpt-4o-mini: the answer is no Mood (json_invalid), after 2 of 2 re-asks"
    ]
    with closing(UsageTracker(str(tmp_path / "calls.db"))) as tracker:
        first, again, extraction, summary = calls_of(tracker, "trace-r1")
        assert [call.review_id for call in (first, again, extraction, summary)] == ["r1"] * 4
        assert again.parent_call_id == extraction.parent_call_id == first.id
        assert summary.parent_call_id == extraction.id
        assert len(calls_of(tracker, "trace-r2")) == 3
        assert len(calls_of(tracker, "trace-r3")) == 3
