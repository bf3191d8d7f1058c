"""A program's run, recorded through a runtime, verified and replayed."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmcore import (
    AsyncLLMClient,
    LLMClient,
    LLMConnectionError,
    LLMResponse,
    LLMTimeoutError,
    ReplayError,
    ReplayLogger,
    ReplayRng,
    ReplayTransport,
    ReplayValidator,
    Runtime,
    Settings,
)
from llmcore.recording import Recording, identity, mask_of, replay
from llmcore.types import HttpRequest
from support.scripted import bare_environment
from support.server import Answer, Request, ScriptedServer, echo

CANARY = "sk-canary-0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(echo) as running:
        yield running


def settings_for(server: ScriptedServer | None = None, key: str = CANARY, **more: Any) -> Settings:
    url = "http://127.0.0.1:9/v1" if server is None else server.base_url
    retry = {"base_delay": 0.001, "jitter": 0, **more.pop("retry", {})}
    reached = {"openai": {"api_key": key, "base_url": url}}
    return Settings(provider="openai", model="m", ledger={"url": "none"}, providers=reached, retry=retry, **more)


@contextlib.contextmanager
def recording(server: ScriptedServer, directory: str, **more: Any) -> Iterator[tuple[Runtime, ReplayLogger]]:
    with ReplayLogger(directory) as log:
        runtime = Runtime(settings_for(server, **more), recorder=log)
        try:
            yield runtime, log
        finally:
            runtime.close()


@contextlib.contextmanager
def replaying(directory: str, **more: Any) -> Iterator[tuple[Runtime, ReplayTransport]]:
    transport = ReplayTransport(directory)
    runtime = Runtime(settings_for(None, **more), transport=transport)
    try:
        yield runtime, transport
    finally:
        runtime.close()


def say(client: LLMClient, text: str, **more: Any) -> LLMResponse:
    return client.complete([{"role": "user", "content": text}], **more)


def everything_in(directory: str) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(Path(directory).rglob("*")) if path.is_file())


# --- recording -----------------------------------------------------------------------------------------------------


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


# --- replaying -----------------------------------------------------------------------------------------------------


def test_failures_are_replayed_as_they_were() -> None:
    with ScriptedServer() as server:
        server.script(
            Answer.error(429, "slow down", headers={"retry-after-ms": "1"}),
            Answer.chat("after a while"),
            Answer.chat("never whole", stop_after=30),
            Answer.chat("never whole", stop_after=30),
            Answer.chat("too late", delay=60),
        )
        with recording(server, "run", retry={"max_attempts": 2}) as (runtime, _):
            client = LLMClient(runtime=runtime)
            assert say(client, "patient").attempts == 2
            with pytest.raises(LLMConnectionError) as broken:
                say(client, "broken")
            with pytest.raises(LLMTimeoutError):
                say(client, "late", deadline=0.2)
    assert replay("run").ok
    with replaying("run", retry={"max_attempts": 2}) as (runtime, transport):
        client = LLMClient(runtime=runtime)
        assert say(client, "patient").attempts == 2
        with pytest.raises(LLMConnectionError) as again:
            say(client, "broken")
        assert again.value.message == broken.value.message
        with pytest.raises(LLMTimeoutError):
            say(client, "late", deadline=0.2)
        assert transport.unasked() == 0


def test_equal_requests_get_their_answers_in_their_order() -> None:
    with ScriptedServer() as server:
        server.script(*(Answer.chat(text) for text in ("one", "two", "three")))
        with recording(server, "run") as (runtime, _):
            for _turn in range(3):
                say(LLMClient(runtime=runtime), "next")
    with replaying("run") as (runtime, _):
        client = LLMClient(runtime=runtime)
        assert [say(client, "next").content for _turn in range(3)] == ["one", "two", "three"]
        with pytest.raises(ReplayError, match=r"recorded 3 times, and is made once more.\nIf the change is meant"):
            say(client, "next")


def _complete(runtime: Runtime, call: dict[str, Any], is_async: bool) -> LLMResponse:
    if is_async:
        return asyncio.run(AsyncLLMClient(runtime=runtime).complete(**call))
    return LLMClient(runtime=runtime).complete(**call)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_request_that_changed_is_shown_beside_the_recorded_one(server: ScriptedServer, is_async: bool) -> None:
    story = "Once upon a time there was a princess.\nShe had a horse.\nThey rode far.\n"
    with recording(server, "run") as (runtime, _):
        say(LLMClient(runtime=runtime), "something else entirely", temperature=0.25)
        say(LLMClient(runtime=runtime), story, temperature=0.25)
    with replaying("run") as (runtime, transport):
        changed = story.replace("horse", "dragon")
        call = {"messages": [{"role": "user", "content": changed}], "temperature": 0.75}
        with pytest.raises(ReplayError) as caught:
            _complete(runtime, call, is_async)
        assert caught.value.message.splitlines() == [
            "this request is not in the recording. Against the recorded one most like it:",
            "  messages[0].content",
            "    @@ -1,3 +1,3 @@",
            "     Once upon a time there was a princess.",
            "    -She had a horse.",
            "    +She had a dragon.",
            "     They rode far.",
            "  temperature",
            "    recorded: '0.25'",
            "    now:      '0.75'",
            "If the change is meant, record again.",
        ]
        assert len(transport.misses) == 1
        assert runtime.stats()["in_flight"] == 0


def test_a_request_without_an_answer_says_so(server: ScriptedServer) -> None:
    events: list[dict[str, Any]] = []
    with recording(server, "run") as (runtime, _):
        say(LLMClient(runtime=runtime), "hello")
    events = [event for event in Recording("run") if event["kind"] != "response_body"]
    runtime = Runtime(settings_for(), transport=ReplayTransport(events))
    with pytest.raises(ReplayError, match="recorded without an answer"):
        say(LLMClient(runtime=runtime), "hello")
    runtime.close()
    runtime = Runtime(settings_for(), transport=ReplayTransport([]))
    with pytest.raises(ReplayError, match="the recording holds no request"):
        say(LLMClient(runtime=runtime), "hello")
    runtime.close()
    with pytest.raises(ReplayError, match="answer to a request that it does not hold"):
        ReplayTransport([event for event in Recording("run") if event["kind"] == "response_body"])


# --- a program's own events ----------------------------------------------------------------------------------------


def game(rng: ReplayRng, log: ReplayLogger) -> None:
    """Three frames of a game whose luck is recorded."""
    gold = 0
    for tick in range(3):
        log.frame(tick)
        gold += rng.below("loot", 100) + rng.between("weather", -5, 5)
        log.snapshot(tick, "purse", str(gold).encode(), keep=tick == 2)


def test_a_game_is_the_same_again() -> None:
    with ReplayLogger("one") as log:
        game(ReplayRng(7, log), log)
    with ReplayLogger("two") as log:
        rng = ReplayRng.of("one")
        game(rng, log)
        assert rng.replaying
        assert rng.divergence is None
    assert ReplayValidator(("frame", "snapshot")).compare("one", "two") is None
    with ReplayLogger("other") as log:
        game(ReplayRng(8, log), log)
    parted = ReplayValidator(("frame", "rng", "snapshot")).compare("one", "other")
    assert parted is not None
    assert (parted.tick, parted.field) == (0, "value")
    assert str(parted) == f"tick 0, event 3: value was {parted.expected} and is {parted.got}"


def test_a_draw_that_was_never_made_is_an_error() -> None:
    with ReplayLogger("one") as log:
        game(ReplayRng(7, log), log)
    rng = ReplayRng.of("one")
    with pytest.raises(ReplayError, match=r"rng.loot was below 100 and is below 6"):
        rng.below("loot", 6)
    assert rng.divergence is not None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda log: log.rng("", 1), "the name is empty"),
        (lambda log: log.rng("d6", 6, 6), "outside of its bound"),
        (lambda log: log.snapshot(1, "", b""), "the name is empty"),
        (lambda log: log.append({"kind": "nonsense"}), "no event of a recording"),
        (lambda log: log.append({"kind": "frame"}), "tick: it is missing"),
        (lambda log: log.append({"kind": "frame", "tick": "1"}), "tick: expected a whole number"),
        (lambda log: log.append({"kind": "frame", "tick": 1 << 63}), "tick: the number does not fit"),
        (lambda log: log.append({"kind": "frame", "tick": 1, "tock": 2}), "fields that are not known"),
        (lambda log: log.append({"kind": "frame", "tick": True}), "tick: expected a whole number"),
        (
            lambda log: log.append({"kind": "input", "mono": 0, "wall": 0, "input": {"jump": {}}, "state": "0" * 16}),
            "input: an input of this name is not known",
        ),
        (
            lambda log: log.append(
                {"kind": "input", "mono": 0, "wall": 0, "input": {"failed": {"attempt": 1, "outcome": b"\xff"}}}
            ),
            "input.failed.outcome: expected one of ok, ",
        ),
        (
            lambda log: log.append({"kind": "input", "mono": 0, "wall": 0, "input": {"tick": {}}, "state": "xyz"}),
            "state: expected 16 hex digits",
        ),
        (
            lambda log: log.append(
                {"kind": "input", "mono": 0, "wall": 0, "input": {"cancel": {"call": -1}}, "state": "0" * 16}
            ),
            "input.cancel.call: the number does not fit",
        ),
    ],
)
def test_what_could_not_be_replayed_is_refused(wrong: Callable[[ReplayLogger], object], why: str) -> None:
    with ReplayLogger("run") as log:
        with pytest.raises(ValueError, match=why):
            wrong(log)
        assert log.problem is None
        assert log.stats()["events"]["frame"] == 0


def test_a_recording_needs_a_place_of_its_own() -> None:
    with ReplayLogger("run") as log:
        log.frame(1)
        with pytest.raises(ReplayError, match="cannot record"):
            ReplayLogger("run")
    with pytest.raises(ReplayError, match="run holds a recording already"):
        ReplayLogger("run")
    with pytest.raises(ReplayError, match="cannot read"):
        Recording("nowhere")
    with pytest.raises(ReplayError, match="cannot read"):
        replay("nowhere")
    with pytest.raises(ReplayError, match="cannot read"):
        ReplayValidator().compare("run", "nowhere")
    with pytest.raises(ReplayError, match="cannot read"):
        ReplayRng.of("nowhere")
    with pytest.raises(ValueError, match="no kind of event"):
        ReplayValidator(("frames",)).compare("run", "run")
    with pytest.raises(ValueError, match="ack is"):
        ReplayLogger("else", ack="never")
