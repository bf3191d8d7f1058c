"""Runs that are interrupted: gently by Ctrl-C and SIGTERM, and by kill -9 at any moment."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.server import Answer, Request, ScriptedServer

Spawn = Callable[..., subprocess.Popen[str]]
Results = Callable[..., list[dict[str, Any]]]
Requests = Callable[..., Path]


@pytest.fixture
def start(spawn: Spawn, server: ScriptedServer) -> Callable[..., subprocess.Popen[str]]:
    def command(source: object, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        rest = ["--provider", "openai", "--base-url", server.base_url, "--database", "none", "-o", "out.jsonl"]
        return spawn("batch", source, *rest, *arguments, **options)

    return command


def asked(server: ScriptedServer) -> Counter[str]:
    return Counter(received.json["messages"][-1]["content"] for received in server.requests)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_takes_what_comes_in_and_says_how_to_go_on(
    start: Spawn, requests: Requests, results: Results, server: ScriptedServer, number: signal.Signals
) -> None:
    gate = server.gate()
    server.handler = lambda received: Answer.chat(gate=gate)
    process = start(requests(10), "--max-in-flight", 4)
    server.wait_for(4)

    process.send_signal(number)
    assert process.stderr is not None
    assert "4 calls under way may take" in process.stderr.readline()
    gate.open()
    _, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "to go on where it stopped: llmcore batch" in err
    assert "Traceback" not in err
    assert len(results()) == 4
    assert len(server.requests) == 4

    again = start("in.jsonl")
    again.communicate(timeout=20)
    assert again.returncode == 0
    assert sorted(line["custom_id"] for line in results()) == [f"r{number}" for number in range(10)]
    assert set(asked(server).values()) == {1}


def test_a_second_interrupt_drops_what_is_under_way(
    start: Spawn, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    gate = server.gate()
    server.handler = lambda received: (
        Answer.chat() if received.json["messages"][-1]["content"] == "r0" else Answer.chat(gate=gate)
    )
    process = start(requests(10), "--max-in-flight", 4)
    server.wait_for(5)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "under way" in process.stderr.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert time.monotonic() - began < 4
    assert process.returncode == 130
    assert [line["custom_id"] for line in results()] == ["r0"]


def test_an_interrupt_while_answers_take_no_time_is_heard(spawn: Spawn, requests: Requests, results: Results) -> None:
    process = spawn(
        "batch", requests(100_000), "--provider", "offline", "--database", "none", "--no-cache", "-o", "out.jsonl"
    )
    while not Path("out.jsonl").exists() or not Path("out.jsonl").stat().st_size:
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=10)

    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert 0 < len(results()) < 100_000


def test_an_interrupt_while_modules_are_loaded_ends_without_a_word() -> None:
    script = """
        import os, signal, sys

        class InterruptedImport:
            def find_spec(self, name, path=None, target=None):
                if name == "llmcore._core":
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, InterruptedImport())
        sys.argv = ["llmcore", "--version"]
        from llmcore.cli import main
        main()
    """

    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, timeout=60
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def lines_of(path: Path) -> int:
    """How many complete lines a file has so far."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_and_run_again_every_request_has_one_result(
    start: Spawn, requests: Requests, results: Results, server: ScriptedServer, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)

    def answer(received: Request) -> Answer:
        question = received.json["messages"][-1]["content"]
        if question == "r7":
            return Answer.error(400, "never")
        return Answer.chat(question * 50, delay=rng.random() * 0.01)

    server.handler = answer
    count, most = 3000, 16
    path = requests(count)
    kills = 0
    written = 0
    while True:
        process = start(path, "--max-in-flight", most)
        if kills < 12:
            # At a random number of further results, a third of the times at a random moment of the start.
            further = 0 if rng.random() < 0.3 else rng.randrange(1, 200)
            if not further:
                time.sleep(rng.uniform(0.0, 0.8))
            while lines_of(tmp_path / "out.jsonl") < written + further and process.poll() is None:
                time.sleep(0.001)
            if process.poll() is None:
                process.kill()
                process.wait()
                kills += 1
                whole = lines_of(tmp_path / "out.jsonl")
                assert whole >= written
                written = whole
                continue
        _, err = process.communicate(timeout=120)
        break

    assert process.returncode == 1, err
    assert kills >= 3
    found = Counter(line["custom_id"] for line in results())
    assert found == {f"r{number}": 1 for number in range(count)}
    # A request is made again only if the run was killed while its call was under way.
    assert sum(asked(server).values()) - count <= kills * most


@pytest.mark.slow
def test_memory_stays_flat_however_long_the_input_is(
    start: Spawn, requests: Requests, server: ScriptedServer, tmp_path: Path
) -> None:
    server._record = False

    def peak(count: int) -> int:
        path = tmp_path / f"in-{count}.jsonl"
        with path.open("w") as file:
            for number in range(count):
                body = {"model": "m", "messages": [{"role": "user", "content": f"{number}" + "x" * 500}]}
                request = {"custom_id": f"request-{number}", "url": "/v1/chat/completions", "body": body}
                file.write(json.dumps(request) + "\n")
        (tmp_path / "out.jsonl").unlink(missing_ok=True)
        process = start(path, "--no-cache")
        status = Path(f"/proc/{process.pid}/status")
        most = 0
        while process.poll() is None:
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    most = int(line.split()[1])
            time.sleep(0.05)
        assert process.returncode == 0
        return most

    short, long = peak(2_000), peak(100_000)

    assert long - short < 24_000, f"{short} kB for 2,000 lines, {long} kB for 100,000"
