"""What a user gets wrong, or a machine runs out of: one sentence names thing and remedy, and nothing is lost."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.server import Answer, ScriptedServer

Run = Callable[..., Any]
Results = Callable[..., list[dict[str, Any]]]
Requests = Callable[..., Path]


@pytest.fixture
def batch(run: Run) -> Run:
    """Runs a batch through openai that must not succeed: its one sentence."""

    def command(source: object, *arguments: object, code: int = 2) -> str:
        rest = ["--provider", "openai", "--database", "none", "-o", "out.jsonl", *arguments]
        ran = run("batch", source, *rest)
        assert ran.code == code
        assert "Traceback" not in ran.err
        sentence: str = ran.err.strip().splitlines()[-1]
        return sentence

    return command


@pytest.fixture
def run_shell() -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs ``llmcore`` with the rest of a command line of bash."""

    def command(rest: str) -> subprocess.CompletedProcess[str]:
        line = f"{sys.executable} -m llmcore.cli {rest}"
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60)

    return command


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that refuses connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_a_wrong_key_ends_the_run_and_leaves_every_request_to_be_made(
    batch: Run, run: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    server.handler = lambda received: Answer.error(401, "Incorrect API key provided", code="invalid_api_key")

    said = batch(requests(500), "--base-url", server.base_url)

    assert "no call can succeed" in said
    assert ". Mend that, then go on: llmcore batch" in said
    assert "Incorrect API key provided" in said
    assert "check the API key" in said
    assert "sk-test" not in said
    assert len(server.requests) <= 64 + 3
    assert results() == []

    server.handler = lambda received: Answer.chat()
    assert run("batch", "in.jsonl", "--base-url", server.base_url, "--database", "none", "-o", "out.jsonl").code == 0
    assert len(results()) == 500


def test_a_wrong_key_is_told_for_a_single_request_too(batch: Run, requests: Requests, server: ScriptedServer) -> None:
    server.handler = lambda received: Answer.error(401, "Incorrect API key provided")

    assert "check the API key" in batch(requests(1), "--base-url", server.base_url)


def test_a_missing_key_is_told_before_anything_is_sent(
    batch: Run, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    assert "OPENAI_API_KEY" in batch(requests(3))


@pytest.mark.parametrize("count", [1, 100])
def test_an_address_where_nobody_listens_is_named(batch: Run, requests: Requests, dead_port: int, count: int) -> None:
    said = batch(requests(count), "--base-url", f"http://127.0.0.1:{dead_port}/v1")

    assert f"127.0.0.1:{dead_port}" in said
    assert "connect" in said.lower()


def test_an_unknown_model_is_named(batch: Run, requests: Requests, results: Results, server: ScriptedServer) -> None:
    server.handler = lambda received: Answer.error(
        404, f"The model {received.json['model']} does not exist", code="model_not_found"
    )

    said = batch(requests(50), "--base-url", server.base_url, "--model", "gpt-9")

    assert "gpt-9" in said
    assert "check the model's name" in said
    assert results() == []


def test_a_model_that_is_missing_among_others_costs_only_its_own_requests(
    run: Run, requests: Requests, results: Results, server: ScriptedServer, request_of: Callable[..., dict[str, Any]]
) -> None:
    server.handler = lambda received: (
        Answer.error(404, "no such model", code="model_not_found")
        if received.json["model"] == "gpt-9"
        else Answer.chat(delay=0.3)
    )
    lines = [request_of(f"r{number}") for number in range(20)]
    for line in lines[:10]:
        line["body"]["model"] = "gpt-9"

    ran = run("batch", requests(lines), "--base-url", server.base_url, "--database", "none", "-o", "out.jsonl")

    assert ran.code == 1
    codes = {line["custom_id"]: (line["error"] or {}).get("code") for line in results()}
    assert codes == {f"r{number}": "not_found" if number < 10 else None for number in range(20)}


def test_an_input_that_is_not_there_is_named(batch: Run, tmp_path: Path) -> None:
    assert "nowhere.jsonl cannot be read (no such file or directory)" in batch("nowhere.jsonl")
    assert "cannot be read (it is a folder)" in batch(tmp_path)


def test_the_input_is_no_place_for_results(batch: Run, requests: Requests) -> None:
    path = requests(1)
    before = path.read_bytes()

    assert "is the input itself" in batch(path, "-o", path)
    assert "is the input itself" in batch(path, "--failed", path)
    assert path.read_bytes() == before


def test_a_file_that_holds_something_else_is_not_taken_for_results(
    batch: Run, requests: Requests, tmp_path: Path
) -> None:
    (tmp_path / "out.jsonl").write_text("dear diary\n")

    assert "out.jsonl exists" in batch(requests(1))
    assert (tmp_path / "out.jsonl").read_text() == "dear diary\n"


@pytest.mark.parametrize("place", [(), ("-o", "-")])
def test_results_need_a_place(run: Run, requests: Requests, place: tuple[str, ...]) -> None:
    ran = run("batch", requests(1), "--provider", "offline", "--database", "none", *place)

    assert ran.code == 2
    assert "-o OUT.jsonl" in ran.err


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_are_no_obstacle(
    run_shell: Callable[[str], subprocess.CompletedProcess[str]], requests: Requests, results: Results, closed: str
) -> None:
    requests(3)

    ran = run_shell(f"batch in.jsonl -o out.jsonl --provider offline --database calls.db {closed}")

    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert len(results()) == 3


def test_a_report_that_cannot_be_written_is_told_and_the_results_are_complete(
    run_shell: Callable[[str], subprocess.CompletedProcess[str]], requests: Requests, results: Results
) -> None:
    requests(3)

    ran = run_shell("batch in.jsonl -o out.jsonl --provider offline --database calls.db > /dev/full")

    assert ran.returncode == 1
    said = "The results are complete, but the report cannot be written to standard output (no space left on device)"
    assert ran.stderr.splitlines() == ["in.jsonl: 3 ok, 0 failed.", f"{said}; make room there."]
    assert len(results()) == 3
    again = run_shell("report --database calls.db > /dev/full")
    assert again.returncode == 2
    assert again.stderr.startswith("llmcore: the report cannot be written to standard output (no space left")
    assert len(again.stderr.splitlines()) == 1


def test_what_nobody_can_read_ends_no_run(
    run_shell: Callable[[str], subprocess.CompletedProcess[str]], requests: Requests, results: Results
) -> None:
    requests(3)

    ran = run_shell("batch in.jsonl -o out.jsonl --provider offline --database none 2> /dev/full")

    assert ran.returncode == 0
    assert "3 ok" in ran.stdout
    assert len(results()) == 3


def test_a_reader_that_goes_early_is_no_failure(
    run_shell: Callable[[str], subprocess.CompletedProcess[str]], requests: Requests
) -> None:
    requests(3)

    ran = run_shell("batch in.jsonl -o out.jsonl --provider offline --database none | true; exit ${PIPESTATUS[0]}")

    assert ran.returncode == 0
    assert ran.stderr == "in.jsonl: 3 ok, 0 failed.\n"


def test_a_folder_that_is_missing_is_named(batch: Run, requests: Requests) -> None:
    assert "missing/out.jsonl cannot be opened for writing" in batch(requests(1), "-o", "missing/out.jsonl")


def test_a_configuration_file_that_is_missing_or_malformed_is_named(
    batch: Run, requests: Requests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMCORE_CONFIG", "absent.toml")
    assert "absent.toml" in batch(requests(1))

    (tmp_path / "broken.toml").write_text("[limits\n")
    monkeypatch.setenv("LLMCORE_CONFIG", "broken.toml")
    assert "broken.toml is not valid TOML (line 1" in batch(requests(1))


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--rpm", "-5", "must be a whole number from 1"),
        ("--rpm", "nan", "must be a whole number from 1"),
        ("--tpm", "1e3", "must be a whole number from 1"),
        ("--max-in-flight", "0", "must be a whole number from 1"),
        ("--budget", "nan", "must be an amount in US dollars above 0"),
        ("--budget", "-1", "must be an amount in US dollars above 0"),
        ("--budget", "0", "must be an amount in US dollars above 0"),
        ("--base-url", "ftp://x", "must be the URL of the API"),
        ("--provider", "nobody", "nobody"),
        ("--database", "sqlite:/x", "database"),
        ("--priority", "urgent", "'high', 'medium', 'low'"),
    ],
)
def test_an_option_out_of_range_is_named(run: Run, requests: Requests, option: str, value: str, says: str) -> None:
    arguments = ["batch", requests(1), "-o", "out.jsonl", "--provider", "offline", "--database", "none", option, value]

    ran = run(*arguments)

    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert says in ran.err


@pytest.mark.parametrize("name", ["LLMCORE_LIMITS__REQUESTS_PER_MINUTE", "LLMCORE_RETRY__MAX_ATTEMPTS"])
@pytest.mark.parametrize("value", ["-1", "NaN", "lots"])
def test_a_limit_out_of_range_in_the_environment_is_named(
    batch: Run, requests: Requests, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert name in batch(requests(1))


def test_a_full_disk_ends_the_run_and_says_how_to_go_on(batch: Run, requests: Requests, server: ScriptedServer) -> None:
    said = batch(requests(200), "--base-url", server.base_url, "-o", "/dev/full", code=1)

    assert "/dev/full cannot be written (no space left on device)" in said
    assert "make room" in said
    assert "llmcore batch" in said
    assert len(server.requests) < 200


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system of a few kilobytes takes root")
def test_on_a_disk_that_fills_up_no_result_is_torn_and_none_is_made_twice(
    batch: Run, run: Run, requests: Requests, server: ScriptedServer, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        server.handler = lambda received: Answer.chat("x" * 2000)
        said = batch(
            requests(100), "--base-url", server.base_url, "-o", disk / "out.jsonl", "--max-in-flight", 1, code=1
        )
        assert "no space left on device" in said
        written = [json.loads(line) for line in (disk / "out.jsonl").read_bytes().splitlines()]
        assert 10 < len(written) < 40

        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        first = len(server.requests)
        arguments = ["--provider", "openai", "--base-url", server.base_url, "--database", "none"]
        assert run("batch", "in.jsonl", "-o", disk / "out.jsonl", *arguments).code == 0
        found = [json.loads(line)["custom_id"] for line in (disk / "out.jsonl").read_bytes().splitlines()]
        assert sorted(found) == sorted(f"r{number}" for number in range(100))
        assert len(server.requests) - first == 100 - len(written)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_two_runs_on_one_file_of_results_do_not_mix(
    batch: Run, requests: Requests, server: ScriptedServer, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    gate = server.gate()
    server.handler = lambda received: Answer.chat(gate=gate)
    arguments = ["--provider", "openai", "--base-url", server.base_url, "--database", "none", "-o", "out.jsonl"]
    first = spawn("batch", requests(3), *arguments)
    server.wait_for(3)

    assert "out.jsonl is being written by another run" in batch("in.jsonl", "--base-url", server.base_url)

    gate.open()
    first.communicate(timeout=20)
    assert first.returncode == 0
