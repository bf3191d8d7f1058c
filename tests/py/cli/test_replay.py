"""``llmcore replay``: show, verify, diff, export, import."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Ran
from llmcore import LLMClient, ReplayLogger, ReplayRng, Runtime, Settings
from support.server import Answer, ScriptedServer


@pytest.fixture
def recorded() -> Path:
    """A call that was tried twice, in the first of two frames."""
    with ScriptedServer() as server, ReplayLogger("run") as log:
        server.script(Answer.error(503, "busy"), Answer.chat("hello \x1b[31mred"))
        reached = {"openai": {"api_key": "sk-never-shown-anywhere", "base_url": server.base_url}}
        settings = Settings(
            provider="openai", model="m", ledger={"url": "none"}, retry={"base_delay": 0.001}, providers=reached
        )
        runtime = Runtime(settings, recorder=log)
        rng = ReplayRng(1, log)
        log.frame(1)
        LLMClient(runtime=runtime).complete([{"role": "user", "content": "greet"}])
        rng.below("loot", 10)
        log.snapshot(1, "world", b"\xff\xfe", keep=True)
        log.frame(2)
        log.snapshot(2, "purse", b"gold")
        runtime.close()
    return Path("run")


def test_show_lists_the_events(recorded: Path, run: Callable[..., Ran]) -> None:
    shown = run("replay", "show", recorded)
    assert shown.code == 0
    kinds = [line.split()[1] for line in shown.out.splitlines()]
    assert kinds.count("request_body") == 2
    assert kinds[0] == "recording_begin"
    assert kinds[-1] == "recording_end"
    assert "\x1b" not in shown.out
    assert "sk-never" not in shown.out
    only = run("replay", "show", recorded, "--only", "frame", "--only", "snapshot")
    assert [line.split()[1] for line in only.out.splitlines()] == ["frame", "snapshot", "frame", "snapshot"]
    lines = [json.loads(line) for line in run("replay", "show", recorded, "--json").out.splitlines()]
    assert [line["kind"] for line in lines] == kinds
    assert next(line for line in lines if line["kind"] == "snapshot")["bytes"] == {"base64": "//4="}


def test_verify_runs_the_engine_again(recorded: Path, run: Callable[..., Ran]) -> None:
    verified = run("replay", "verify", recorded)
    assert verified.code == 0
    assert verified.out.startswith("The engine went the same way: ")
    assert "no end" not in verified.out
    found = json.loads(run("replay", "verify", recorded, "--json").out)
    assert found["ok"]
    assert found["complete"]
    assert found["divergence"] is None


def test_export_and_import_are_each_others_reverse(recorded: Path, run: Callable[..., Ran]) -> None:
    exported = run("replay", "export", recorded, "-o", "run.jsonl")
    assert exported.code == 0
    assert exported.err.endswith("events written to run.jsonl\n")
    assert run("replay", "export", recorded).out == Path("run.jsonl").read_text()
    assert run("replay", "import", "run.jsonl", "back").code == 0
    assert run("replay", "diff", recorded, "back").out == "They are equal.\n"
    assert run("replay", "diff", "run.jsonl", "back").code == 0  # an export is as good as what it was made of
    assert run("replay", "verify", "run.jsonl").code == 0


def test_a_divergence_is_exit_code_1(recorded: Path, run: Callable[..., Ran]) -> None:
    run("replay", "export", recorded, "-o", "run.jsonl")
    lines = Path("run.jsonl").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if '"submit"' in line)
    changed = json.loads(lines[at])
    changed["input"]["submit"]["priority"] = "high"
    changed["input"]["submit"]["targets"] = []
    Path("changed.jsonl").write_text("\n".join([*lines[:at], json.dumps(changed), *lines[at + 1 :]]) + "\n")
    verified = run("replay", "verify", "changed.jsonl")
    assert verified.code == 1
    assert verified.out.startswith(f"They part at tick 1, event {at + 1}: state was ")
    compared = run("replay", "diff", recorded, "changed.jsonl")
    assert compared.code == 1
    assert compared.out == f"They part at tick 1, event {at + 1}: input.submit.priority was medium and is high.\n"
    found = json.loads(run("replay", "diff", recorded, "changed.jsonl", "--json").out)
    assert found["divergence"]["event"] == at + 1
    assert run("replay", "diff", recorded, "changed.jsonl", "--only", "frame").code == 0


def test_a_recording_without_an_end_says_so(run: Callable[..., Ran]) -> None:
    log = ReplayLogger("cut")
    log.frame(1)
    log.abandon()
    assert "It has no end" in run("replay", "show", "cut").out
    assert "It has no end" in run("replay", "verify", "cut").out


def test_what_cannot_be_read_is_one_sentence_and_exit_code_2(recorded: Path, run: Callable[..., Ran]) -> None:
    Path("text.txt").write_text("This is no recording.\n")
    Path("empty").mkdir()
    for command in ("show", "verify", "export"):
        for place, why in (("nowhere", "No such file"), ("text.txt", "line 1 is not JSON"), ("empty", "no recording")):
            told = run("replay", command, place)
            assert told.code == 2, (command, place)
            assert why in told.err
            assert told.err.startswith("llmcore: ")
            assert told.err.count("\n") == 1
    assert run("replay", "import", "nowhere", "made").code == 2
    assert "holds a recording already" in run("replay", "import", "text.txt", recorded).err
    assert run("replay", "export", recorded, "-o", "no/such/folder").code == 2
    assert "is no kind of event" in run("replay", "diff", recorded, recorded, "--only", "frames").err
    segment = next(recorded.glob("*.journal"))
    damaged = bytearray(segment.read_bytes())
    damaged[300] ^= 1
    segment.write_bytes(damaged)
    assert "the recording is damaged before event" in run("replay", "verify", recorded).err
