"""A recorded run is played again without a network: its failures, its order, and requests that changed."""

import asyncio
from typing import Any

import pytest

from llmcore import (
    AsyncLLMClient,
    LLMClient,
    LLMConnectionError,
    LLMResponse,
    LLMTimeoutError,
    ReplayError,
    ReplayTransport,
    Runtime,
)
from llmcore.recording import Recording, replay
from support.recordings import recording, replaying, say, settings_for
from support.server import Answer, ScriptedServer


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
