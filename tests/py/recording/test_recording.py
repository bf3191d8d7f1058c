"""A run is recorded through a runtime, whole and without a secret, and its engine runs again to the same states."""

import asyncio
import contextlib
import os
import threading

import pytest

from llmcore import AsyncLLMClient, LLMClient, ReplayLogger, ReplayTransport, ReplayValidator, Runtime, Settings
from llmcore.recording import Recording, identity, mask_of, replay
from llmcore.types import HttpRequest
from support.recordings import CANARY, everything_in, recording, replaying, say, settings_for
from support.server import Answer, Request, ScriptedServer


def test_a_run_is_recorded_verified_and_replayed(server: ScriptedServer) -> None:
    with recording(server, "run") as (runtime, log):
        client = LLMClient(runtime=runtime)
        first = [say(client, f"line {number}").content for number in range(5)]
        assert log.problem is None
    report = replay("run")
    assert report.ok
    assert report.complete
    assert report.engines == 1
    assert report.inputs == 10
    kinds = [event["kind"] for event in Recording("run")]
    assert kinds[:2] == ["recording_begin", "config"]
    assert kinds[2:6] == ["input", "request_body", "response_body", "input"]
    assert kinds[-1] == "recording_end"

    asked = len(server.requests)
    with replaying("run", key="another-key") as (runtime, transport):
        client = LLMClient(runtime=runtime)
        assert [say(client, f"line {number}").content for number in range(5)] == first
        assert transport.unasked() == 0
        assert transport.misses == []
    assert len(server.requests) == asked


def test_eight_threads_are_recorded_in_an_order_that_replays(server: ScriptedServer) -> None:
    with recording(server, "run", limits={"max_in_flight": 3}) as (runtime, _):
        client = LLMClient(runtime=runtime)

        def work(number: int) -> None:
            for turn in range(6):
                assert say(client, f"{number}.{turn % 3}", cache=True).content == f"{number}.{turn % 3}"

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report = replay("run")
    assert report.ok, report.divergence
    assert report.inputs >= 8 * 6 + 8 * 3
    requests = [event for event in Recording("run") if event["kind"] == "request_body"]
    assert len(requests) == 24


async def test_tasks_are_recorded_and_replayed_too(server: ScriptedServer) -> None:
    async def run_with(runtime: Runtime) -> list[str]:
        client = AsyncLLMClient(runtime=runtime)
        answers = await asyncio.gather(
            *(client.complete([{"role": "user", "content": f"task {number}"}]) for number in range(20))
        )
        return [answer.content for answer in answers]

    log = ReplayLogger("run")
    runtime = Runtime(settings_for(server, limits={"max_in_flight": 4}), recorder=log)
    recorded = await run_with(runtime)
    await runtime.aclose()
    log.close()
    assert replay("run").ok
    again = Runtime(settings_for(), transport=ReplayTransport("run"))
    assert await run_with(again) == recorded
    await again.aclose()


def test_the_hash_of_a_changed_input_is_told(server: ScriptedServer) -> None:
    with recording(server, "run") as (runtime, _):
        say(LLMClient(runtime=runtime), "one")
        say(LLMClient(runtime=runtime), "two")
    copy = ReplayLogger("changed")
    numbers = []
    for number, event in enumerate(Recording("run"), 1):
        if event["kind"] == "input" and "submit" in event["input"]:
            numbers.append(number)
            if len(numbers) == 2:
                event["input"]["submit"]["deadline"] = 5_000_000_000
        copy.append(event)
    copy.close()
    report = replay("changed")
    assert report.divergence is not None
    assert (report.divergence.event, report.divergence.field) == (numbers[1], "state")
    parted = ReplayValidator().compare("run", "changed")
    assert parted is not None
    assert (parted.event, parted.field, parted.got) == (numbers[1], "input.submit.deadline", "5000000000")
    assert ReplayValidator(("frame", "rng")).compare("run", "changed") is None


def test_no_key_is_in_a_recording_however_it_comes_back(server: ScriptedServer) -> None:
    def leak(request: Request) -> Answer:
        text = f"your key is {CANARY}, or {CANARY[:20]}***"
        if b"fail" in request.body:
            return Answer.error(401, f"Incorrect API key provided: {CANARY}", headers={"x-request-id": CANARY})
        return Answer.chat(text, headers={"x-request-id": f"r-{CANARY}", "set-cookie": f"session={CANARY}"})

    with ScriptedServer(leak) as leaking, recording(leaking, "run") as (runtime, _):
        client = LLMClient(runtime=runtime)
        assert CANARY in say(client, f"my key is {CANARY}").content  # what the program gets is what was sent
        with pytest.raises(Exception, match="Incorrect"):
            say(client, "fail")
    held = everything_in("run")
    assert CANARY.encode() not in held
    assert CANARY[:8].encode() not in held
    assert b"[key]" in held
    assert b"uthorization" not in held
    assert b"set-cookie" not in held
    with replaying("run") as (runtime, _):
        assert say(LLMClient(runtime=runtime), f"my key is {CANARY}").content == "your key is [key], or [key]"


def test_secrets_of_a_url_are_left_out_and_do_not_tell_requests_apart() -> None:
    one = HttpRequest("http://me:hunter2secret@host:81/v1?api-version=3&api_key=topsecret", {}, b'{"a": "topsecret"}')
    other = HttpRequest(
        "https://host/v1?api-version=3&api_key=othersecret", {"X-Own": "othersecret"}, b'{"a": "[key]"}'
    )
    assert identity(one, mask_of(one)) == (
        "http://host:81/v1?api-version=3&api_key=key",
        *identity(other, mask_of(other))[1:],
    )
    changed = HttpRequest("https://host/v1?api-version=4&api_key=othersecret", {}, b'{"a": "[key]"}')
    assert identity(changed, mask_of(changed))[1] != identity(other, mask_of(other))[1]
    broken = HttpRequest("http://[::1/v1", {}, b"")
    assert identity(broken, mask_of(broken))[0] == "[no URL]"


def test_only_headers_that_were_looked_at_are_recorded() -> None:
    answer = Answer.error(
        429, "slow", headers={"retry-after-ms": "1", "x-ratelimit-remaining-requests": "7", "x-odd": "1"}
    )
    with ScriptedServer() as server:
        server.script(answer)
        with recording(server, "run") as (runtime, _):
            say(LLMClient(runtime=runtime), "hello")
    first = next(event for event in Recording("run") if event["kind"] == "response_body")
    assert first["status"] == 429
    names = {name for name, _ in first["headers"]}
    assert {"retry-after-ms", "x-ratelimit-remaining-requests"} <= names
    assert "x-odd" not in names


def test_a_recording_that_cannot_be_written_fails_no_call(server: ScriptedServer) -> None:
    log = ReplayLogger("run")
    runtime = Runtime(settings_for(server), recorder=log)
    log.abandon()
    assert say(LLMClient(runtime=runtime), "hello").content == "hello"
    runtime.close()


def test_an_engine_that_is_left_out_is_left_out(server: ScriptedServer) -> None:
    with ReplayLogger("run", engine=False) as log:
        runtime = Runtime(settings_for(server), recorder=log)
        say(LLMClient(runtime=runtime), "hello")
        runtime.close()
    assert [event["kind"] for event in Recording("run")] == [
        "recording_begin",
        "request_body",
        "response_body",
        "recording_end",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_records_nothing() -> None:
    with ReplayLogger("run") as log:
        runtime = Runtime(Settings(provider="offline", ledger={"url": "none"}), recorder=log)
        say(LLMClient(runtime=runtime), "parent")
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                say(LLMClient(runtime=runtime), "child")
                code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        say(LLMClient(runtime=runtime), "parent again")
        runtime.close()
    report = replay("run")
    assert report.ok
    assert report.inputs == 4
