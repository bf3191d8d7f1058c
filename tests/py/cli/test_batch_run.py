"""``llmcore batch`` from its input to its results, against a provider whose every answer a test decides."""

import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcore.providers.offline import OfflineProvider
from llmcore.providers.registry import register_provider
from llmcore.types import HttpRequest, LLMRequest
from support.server import Answer, Enforcer, Request, ScriptedServer, chat_body, echo

Run = Callable[..., Any]
Results = Callable[..., list[dict[str, Any]]]
Requests = Callable[..., Path]
RequestOf = Callable[..., dict[str, Any]]


def question(received: Request) -> str:
    text: str = received.json["messages"][-1]["content"]
    return text


def asked(server: ScriptedServer) -> list[str]:
    return [question(received) for received in server.requests]


@pytest.fixture
def batch(run: Run, server: ScriptedServer) -> Run:
    """Runs a batch against the server, without a ledger unless one is named."""

    def command(source: object, *arguments: object) -> Any:
        rest = ["--provider", "openai", "--base-url", server.base_url, "-o", "out.jsonl", *arguments]
        if "--database" not in rest:
            rest += ["--database", "none"]
        return run("batch", source, *rest)

    return command


def test_every_request_gets_a_result_in_the_format_of_the_openai_batch_api(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    server.handler = lambda received: Answer.chat("Bonjour", headers={"x-request-id": "req_7"})

    ran = batch(requests(1))

    assert ran.code == 0
    (line,) = results()
    assert line["id"] == f"batch_req_{line['llmcore']['call_id']}"
    assert line["custom_id"] == "r0"
    assert line["error"] is None
    assert line["response"]["status_code"] == 200
    assert line["response"]["request_id"] == "req_7"
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "Bonjour"
    facts = line["llmcore"]
    assert facts["status"] == "success"
    assert (facts["provider"], facts["model"]) == ("openai", "gpt-4o-mini")
    assert (facts["attempts"], facts["cache_hit"], facts["coalesced"], facts["fallback_used"]) == (
        1,
        False,
        False,
        False,
    )
    assert facts["usage"] == {"input_uncached": 12, "output_text": 5}
    assert facts["cost_nano_usd"] == 12 * 150 + 5 * 600
    assert facts["latency_ms"] > 0


def test_the_body_is_the_providers_text_to_the_byte_but_for_line_ends(
    batch: Run, requests: Requests, server: ScriptedServer, tmp_path: Path
) -> None:
    body = json.dumps(json.loads(chat_body('"\\n" é')), indent=1, ensure_ascii=False).replace("0,", "0.00,").encode()
    server.handler = lambda received: Answer(body=body)

    batch(requests(1))

    (line,) = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert body.replace(b"\n", b" ") in line


def test_results_come_in_the_order_of_completion(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    gate = server.gate()

    def answer(received: Request) -> Answer:
        if question(received) == "r0":
            return Answer.chat(gate=gate)
        if question(received) == "r2":
            gate.open()
        return Answer.chat()

    server.handler = answer
    assert batch(requests(3), "--max-in-flight", 2).code == 0

    assert [line["custom_id"] for line in results()] == ["r1", "r0", "r2"] or [
        line["custom_id"] for line in results()
    ] == ["r1", "r2", "r0"]


def test_what_stands_in_the_body_reaches_the_provider_as_it_is(
    batch: Run, requests: Requests, server: ScriptedServer, request_of: RequestOf
) -> None:
    line = request_of("a", priority="high", game_id="g1")
    line["body"] |= {"temperature": 0.3, "stop": ["\n"], "seed": 7, "response_format": {"type": "json_object"}, "n": 2}

    assert batch(requests([line])).code == 0

    sent = server.requests[0].json
    assert sent == line["body"] | {"stream": False}
    assert server.requests[0].headers["authorization"] == "Bearer sk-test"


def test_the_model_option_is_asked_whatever_the_lines_say(
    batch: Run, requests: Requests, server: ScriptedServer
) -> None:
    batch(requests(1), "--model", "gpt-4.1-nano")

    assert server.requests[0].json["model"] == "gpt-4.1-nano"


def test_equal_requests_are_asked_once_and_say_so(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer, request_of: RequestOf
) -> None:
    lines = [request_of(f"r{number}", f"question {number % 3}") for number in range(30)]

    ran = batch(requests(lines))

    assert ran.code == 0
    assert sorted(asked(server)) == ["question 0", "question 1", "question 2"]
    facts = [line["llmcore"] for line in results()]
    assert Counter(fact["status"] for fact in facts) == {"success": 3, "cached": 27}
    assert {fact["cost_nano_usd"] for fact in facts if fact["cache_hit"]} == {0}
    assert {fact["saved_nano_usd"] for fact in facts if fact["cache_hit"]} == {12 * 150 + 5 * 600}


def test_without_the_cache_every_request_is_asked(
    batch: Run, requests: Requests, server: ScriptedServer, request_of: RequestOf
) -> None:
    assert batch(requests([request_of(f"r{n}", "same") for n in range(5)]), "--no-cache").code == 0

    assert asked(server) == ["same"] * 5


def test_no_more_calls_are_under_way_than_allowed(batch: Run, requests: Requests, server: ScriptedServer) -> None:
    server.handler = lambda received: Answer.chat(delay=0.02)

    assert batch(requests(20), "--max-in-flight", 3).code == 0

    assert server.peak_in_flight == 3


def test_a_second_run_makes_only_what_is_missing(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer, tmp_path: Path
) -> None:
    batch(requests(3))
    before = (tmp_path / "out.jsonl").read_bytes()

    ran = batch(requests(5))

    assert ran.code == 0
    assert Counter(asked(server)) == {f"r{number}": 1 for number in range(5)}
    assert (tmp_path / "out.jsonl").read_bytes().startswith(before)
    assert sorted(line["custom_id"] for line in results()) == [f"r{number}" for number in range(5)]
    assert "3 finished requests are not made again" in ran.err
    assert "3 finished before" in ran.err


def test_failures_that_may_pass_are_made_again_and_replaced(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    server.handler = lambda received: (
        Answer.error(401, "no")
        if question(received) == "r1"
        else Answer.chat(delay=0 if question(received) == "r0" else 0.05)
    )
    assert batch(requests(3), "--max-in-flight", 1).code == 1
    errors = {line["custom_id"]: line["error"] for line in results()}
    assert errors["r1"]["code"] == "auth"
    assert errors["r0"] is None

    server.handler = echo
    assert batch(requests(3)).code == 0

    assert sorted(line["custom_id"] for line in results()) == ["r0", "r1", "r2"]
    assert {line["error"] for line in results()} == {None}
    assert Counter(asked(server)) == {"r0": 1, "r1": 2, "r2": 1}


def test_failures_for_good_are_not_made_again_and_still_count_as_failed(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    server.handler = lambda received: (
        Answer.error(400, "bad value", code="invalid_value") if question(received) == "r1" else Answer.chat()
    )
    assert batch(requests(3)).code == 1
    (error,) = [line for line in results() if line["error"]]
    assert error["custom_id"] == "r1"
    assert error["response"] is None
    assert error["error"]["code"] == "bad_request"
    assert "bad value" in error["error"]["message"]
    assert error["llmcore"]["status_code"] == 400
    assert error["llmcore"]["cost_nano_usd"] == 0

    ran = batch(requests(3))

    assert ran.code == 1
    assert "1 of them failed for good" in ran.err
    assert Counter(asked(server)) == {"r0": 1, "r1": 1, "r2": 1}


def test_errors_go_to_a_file_of_their_own_if_one_is_named(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    server.handler = lambda received: Answer.error(400) if question(received) == "r1" else Answer.chat()
    lines = requests(3).read_text() + "nonsense\n"

    ran = batch(requests(lines.splitlines()), "--failed", "failed.jsonl")

    assert ran.code == 1
    assert "failed.jsonl" in ran.err
    assert sorted(line["custom_id"] for line in results()) == ["r0", "r2"]
    assert [line["error"]["code"] for line in results("failed.jsonl")] in (
        ["bad_request", "invalid_json"],
        ["invalid_json", "bad_request"],
    )
    assert batch(requests(lines.splitlines()), "--failed", "failed.jsonl").code == 1
    assert len(results("failed.jsonl")) == 2
    assert len(server.requests) == 3


def test_a_malformed_line_becomes_an_error_and_the_rest_goes_on(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer, request_of: RequestOf
) -> None:
    corpus = [
        request_of("good-1"),
        '{"custom_id": "cut", ',
        request_of("good-1", "again"),
        b'{"custom_id": "caf\xe9"}',
        {"method": "POST", "url": "/v1/chat/completions", "body": {}},
        request_of("elsewhere", url="/v1/embeddings"),
        request_of("typed") | {"body": {"model": "m", "messages": "Hi"}},
        "",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"custom_id": "huge", "body": "' + b"x" * 50_000_000 + b'"}',
        request_of("good-2"),
    ]

    ran = batch(requests(corpus))

    assert ran.code == 1
    lines = results()
    assert {line["custom_id"] for line in lines if line["error"] is None} == {"good-1", "good-2"}
    problems = {line["llmcore"]["line"]: (line["custom_id"], line["error"]["code"]) for line in lines if line["error"]}
    assert problems == {
        2: (None, "invalid_json"),
        3: (None, "duplicate_custom_id"),
        4: (None, "invalid_utf8"),
        5: (None, "missing_custom_id"),
        6: ("elsewhere", "unknown_url"),
        7: ("typed", "wrong_type"),
        9: (None, "invalid_json"),
        10: (None, "invalid_json"),
        11: (None, "line_too_long"),
    }
    assert len(server.requests) == 2

    again = batch(requests(corpus))
    assert again.code == 1
    assert len(results()) == len(lines)
    assert len(server.requests) == 2

    corpus[5] = request_of("elsewhere")
    assert batch(requests(corpus)).code == 1
    assert len(results()) == len(lines)
    assert len(server.requests) == 3


def test_what_a_budget_has_no_room_for_is_refused_and_made_when_there_is_room(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    ran = batch(requests(40), "--budget", "0.0001", "--max-in-flight", 4)

    assert ran.code == 1
    refused = [line for line in results() if line["error"]]
    assert refused
    assert {line["error"]["code"] for line in refused} == {"over_budget"}
    answered = 40 - len(refused)
    assert 0 < answered == len(server.requests)
    assert sum(line["llmcore"]["cost_nano_usd"] for line in results() if not line["error"]) <= 100_000

    assert batch(requests(40), "--budget", "1").code == 0
    assert Counter(asked(server)) == {f"r{number}": 1 for number in range(40)}


def test_under_a_requests_a_minute_option_the_provider_has_nothing_to_enforce(
    batch: Run, requests: Requests, server: ScriptedServer
) -> None:
    # The burst forgives a machine that stalls: what it held up then comes at once.
    server.handler = enforcer = Enforcer(per_second=20, burst=45)

    assert batch(requests(50), "--rpm", 1200).code == 0

    assert (enforcer.admitted, enforcer.refused) == (50, 0)
    times = [received.at for received in server.requests]
    assert times[-1] - times[0] >= 1


def test_a_call_waits_for_limits_as_long_as_they_last(batch: Run, requests: Requests, server: ScriptedServer) -> None:
    server.script(Answer.error(429, headers={"retry-after-ms": "300"}), Answer.error(503), Answer.chat())

    assert batch(requests(1)).code == 0


def test_a_fallback_answers_what_the_provider_cannot(
    batch: Run, requests: Requests, results: Results, server: ScriptedServer
) -> None:
    server.handler = lambda received: (
        Answer.error(401) if received.json["model"] == "gpt-4o-mini" else Answer.chat(body={"model": "gpt-4o"})
    )

    assert batch(requests(2), "--fallback", "openai/gpt-4o").code == 0

    assert {line["llmcore"]["status"] for line in results()} == {"fallback"}


def test_a_provider_that_breaks_over_one_request_costs_that_request(
    run: Run, requests: Requests, results: Results
) -> None:
    class Brittle(OfflineProvider):
        name = "brittle"

        def encode(self, request: LLMRequest) -> HttpRequest:
            if request.messages[-1]["content"] == "r1":
                raise ZeroDivisionError
            return super().encode(request)

    register_provider("brittle", lambda settings: Brittle())

    ran = run("batch", requests(3), "--provider", "brittle", "--model", "m", "--database", "none", "-o", "out.jsonl")

    assert ran.code == 1
    codes = {line["custom_id"]: (line["error"] or {}).get("code") for line in results()}
    assert codes == {"r0": None, "r1": "internal_error", "r2": None}


def test_the_input_may_come_through_a_pipe(batch: Run, requests: Requests, results: Results, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = requests(50).read_bytes()

    def write() -> None:
        with (tmp_path / "pipe").open("wb") as pipe:
            for start in range(0, len(content), 100):
                pipe.write(content[start : start + 100])
                pipe.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert batch("pipe").code == 0
    finally:
        writer.join()
    assert len(results()) == 50


def test_the_output_may_be_a_pipe(spawn: Run, requests: Requests) -> None:
    process = spawn("batch", requests(3), "--provider", "offline", "--database", "none", "-o", "/dev/stdout")
    out, _ = process.communicate(timeout=20)

    assert process.returncode == 0
    lines = [json.loads(line) for line in out.splitlines() if line.startswith('{"id"')]
    assert sorted(line["custom_id"] for line in lines) == ["r0", "r1", "r2"]


def test_a_dry_run_counts_and_estimates_and_does_nothing(
    batch: Run, requests: Requests, server: ScriptedServer, request_of: RequestOf, tmp_path: Path
) -> None:
    path = requests([request_of("a", "Why?"), request_of("b", "Why?"), request_of("c"), "nonsense", request_of("a")])

    ran = batch(path, "--dry-run")

    assert ran.code == 1
    assert "3 requests to make, 2 malformed lines, 0 finished before." in ran.out
    assert "line 4: the line is not JSON" in ran.out
    assert "line 5: custom_id" in ran.out
    assert "3 requests (1 repeated, for the cache)" in ran.out
    assert "at most 18 output tokens" in ran.out
    assert "about 15 prompt tokens" in ran.out
    assert "about $0.0000058" in ran.out
    assert server.requests == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("limit", [-5, 0, 10**40])
def test_a_dry_run_estimates_whatever_limit_a_line_names(
    batch: Run, requests: Requests, request_of: RequestOf, limit: int
) -> None:
    line = request_of("a")
    line["body"]["max_tokens"] = limit

    ran = batch(requests([json.dumps(line)]), "--dry-run")

    assert ran.code == 0
    assert "1 requests to make, 0 malformed lines" in ran.out


def test_a_dry_run_leaves_out_what_is_finished(batch: Run, requests: Requests, tmp_path: Path) -> None:
    batch(requests(2))
    before = (tmp_path / "out.jsonl").read_bytes()

    ran = batch(requests(5), "--dry-run")

    assert ran.code == 0
    assert "3 requests to make, 0 malformed lines, 2 finished before." in ran.out
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_a_dry_run_needs_no_key(run: Run, requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    ran = run("batch", requests(2), "--dry-run", "--provider", "openai")

    assert ran.code == 0
    assert "2 requests to make" in ran.out
