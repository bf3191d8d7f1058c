"""Streams over real connections: the two runners, both transports, a server that does everything wrong."""

import asyncio
import gc
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.errors import (
    LLMCancelledError,
    LLMConnectionError,
    LLMError,
    LLMRateLimitError,
    LLMServerError,
    LLMTimeoutError,
    LLMValidationError,
)
from llmcore.recording import ReplayLogger
from llmcore.replay_transport import ReplayTransport
from llmcore.runtime import Runtime
from llmcore.transport import create_transport
from llmcore.types import LLMCallStatusEnum, LLMResponse, Outcome
from support.scripted import ListSink, bare_environment, settings_of
from support.server import Answer, ScriptedServer

HELLO = [{"role": "user", "content": "Hello?"}]
SSE = {"content-type": "text/event-stream"}
NOTHING = {"requests": 0, "tokens": 0, "nano_usd": 0}
PATIENCE = 15.0


def event(text: str = "", finish: str | None = None) -> bytes:
    # ensure_ascii=False: characters of several bytes, so that cuts fall into them
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "m1", "choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


def told(prompt: int = 10, completion: int = 5) -> bytes:
    return b'data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}\n\n' % (prompt, completion)


TEXT = ["Grü", "ße ", "aus ", "東京", " 🗼", "!"]
END = event("", "stop") + told() + b"data: [DONE]\n\n"
BODY = b"".join(map(event, TEXT)) + END


def stream(body: bytes = BODY, *, step: int | None = None, **fields: Any) -> Answer:
    """The body in pieces: of that many bytes, or an event each."""
    cuts = (
        list(range(step, len(body), step))
        if step
        else [at + 2 for at in range(len(body)) if body[at : at + 2] == b"\n\n"]
    )
    return Answer(headers=SSE, body=body, chunks=[cut for cut in cuts if cut < len(body)], **fields)


def runtime_of(server: ScriptedServer, kind: Literal["native", "sdk"] = "native", **settings: Any) -> Runtime:
    chosen = {
        "provider": "openai",
        "openai_api_key": "sk-canary",
        "openai_base_url": server.base_url,
        "prices": {"openai/m1": {"input": 1, "output": 2}},
        **settings,
    }
    return Runtime(settings_of(**chosen), tracker=ListSink(), transport=create_transport(kind))


def rests(runtime: Runtime) -> bool:
    stats = runtime.stats()
    waiting = [stats[name] for name in ("in_flight", "queued", "backing_off", "following")]
    return waiting == [0, 0, 0, 0] and stats["reserved"] == NOTHING and runtime.check() == ""


def until(true: Callable[[], object]) -> None:
    """Waits for what another thread is about to bring about."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def records(runtime: Runtime) -> list[Any]:
    assert isinstance(runtime.sink, ListSink)
    return runtime.sink.records


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(params=["native", "sdk"])
def runtime(server: ScriptedServer, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    made = runtime_of(server, request.param)
    yield made
    made.close()
    assert rests(made)


@pytest.fixture(params=["native", "sdk"])
async def loop_runtime(server: ScriptedServer, request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    made = runtime_of(server, request.param)
    yield made
    await made.aclose()
    assert rests(made)


def client_of(runtime: Runtime, **arguments: Any) -> LLMClient:
    return LLMClient("openai", "m1", runtime=runtime, **arguments)


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [None, 1, 7, 1000])
def test_text_is_the_same_however_it_is_cut(runtime: Runtime, server: ScriptedServer, step: int | None) -> None:
    server.script(stream(step=step))
    with client_of(runtime).stream(HELLO) as answer:
        assert [chunk.text for chunk in answer] == [*TEXT, ""]
    response = answer.response
    assert (response.content, response.finish_reason) == ("".join(TEXT), "stop")
    assert (response.input_tokens, response.output_tokens) == (10, 5)
    assert response.cost is not None
    assert response.cost.nano_usd == 20_000
    assert server.requests[0].json["stream"] is True
    assert server.requests[0].json["stream_options"] == {"include_usage": True}
    (record,) = records(runtime)
    assert 0 < record.first_token <= record.latency
    assert record.status is LLMCallStatusEnum.SUCCESS


def test_a_connection_serves_one_stream_after_another(server: ScriptedServer) -> None:
    runtime = runtime_of(server)
    server.script(*[stream() for _ in range(5)])
    for _ in range(5):
        assert client_of(runtime).stream(HELLO).finish().content == "".join(TEXT)
    # The connection is put back in the background once the body's end was read: a busy machine may open another first.
    assert server.connections < 5
    runtime.close()


def hanging() -> Answer:
    """Sends one chunk and then nothing."""
    first = event("Hello there, ")
    head, chunk, *_ = Answer(headers=SSE, body=first + END, chunks=[len(first)]).pieces
    return Answer(headers=SSE, body=first + END, chunks=[len(first)], stop_after=len(head + chunk), then="hang")


def test_leaving_early_closes_the_connection_at_once_and_pays_for_what_came(
    runtime: Runtime, server: ScriptedServer
) -> None:
    server.script(hanging())
    with client_of(runtime).stream(HELLO) as answer:
        assert next(answer).text == "Hello there, "
        assert server.in_flight == 1
    until(lambda: not server._alive)
    (record,) = records(runtime)
    assert (record.status, record.outcome) == (LLMCallStatusEnum.CANCELLED, Outcome.CANCELLED)
    assert record.usage.estimated
    assert record.usage.output_tokens == 4
    assert record.usage.input_tokens > 0
    assert record.cost == record.usage.input_tokens * 1000 + 8000
    assert rests(runtime)
    answer.close()
    assert list(answer) == []
    with pytest.raises(LLMError, match="closed or failed before its end"):
        _ = answer.response


def test_a_stream_that_was_dropped_is_closed(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging(), hanging())
    client = client_of(runtime)
    next(client.stream(HELLO))
    until(lambda: rests(runtime) and not server._alive)
    loop: list[Any] = [client.stream(HELLO)]
    next(loop[0])
    loop.append(loop)
    del loop
    gc.collect()
    until(lambda: rests(runtime) and not server._alive)
    assert [record.status for record in records(runtime)] == [LLMCallStatusEnum.CANCELLED] * 2
    assert all(record.cost for record in records(runtime))


def test_a_stream_that_was_never_read_makes_no_call(runtime: Runtime, server: ScriptedServer) -> None:
    with client_of(runtime).stream(HELLO):
        pass
    client_of(runtime).stream(HELLO)
    assert (server.received, records(runtime), runtime.stats()["submitted"]) == (0, [], 0)


def test_wrong_arguments_are_told_before_anything_is_read(runtime: Runtime) -> None:
    with pytest.raises(LLMValidationError):
        client_of(runtime).stream([])


def test_there_is_no_response_before_the_end(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging())
    with client_of(runtime).stream(HELLO) as answer:
        next(answer)
        with pytest.raises(LLMError, match="has not come to its end"):
            _ = answer.response


def test_a_refusal_before_the_first_chunk_is_repeated(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(Answer.error(429, headers={"retry-after-ms": "10"}), Answer.error(503), stream())
    answer = client_of(runtime).stream(HELLO)
    assert next(answer).text == TEXT[0]
    assert answer.finish().attempts == 3


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_stream_cut_at_any_byte_is_whole_or_repeated_or_told(server: ScriptedServer, then: Any) -> None:
    """Every cut but those of the head, which is another test's."""
    runtime = runtime_of(server, retry={"max_attempts": 1}, health={"breaker_errors": 100_000})
    client = client_of(runtime)
    answer = stream()
    start = answer.pieces[0].index(b"\r\n\r\n") + 4
    full = "".join(TEXT)
    total = len(b"".join(answer.pieces))
    paid = 0
    cuts = range(start, total, 1 if then == "close" else 17)
    for at in cuts:
        server.script(stream(stop_after=at, then=then))
        seen = ""
        try:
            with client.stream(HELLO) as chunks:
                for chunk in chunks:
                    seen += chunk.text
            assert seen == chunks.response.content == full
        except LLMConnectionError as error:
            told = error.partial
        else:
            continue
        assert full.startswith(seen), at
        assert (told is not None) == bool(seen), at
        if told is not None:
            assert told.content.startswith(seen), at
            assert records(runtime)[-1].usage.output_tokens >= 1
            assert records(runtime)[-1].cost > 0
            paid += 1
    assert paid > 0
    assert len(records(runtime)) == len(cuts)
    runtime.close()
    assert rests(runtime)


def test_silence_in_the_middle_ends_at_the_deadline_with_what_came(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging())
    began = time.monotonic()
    with pytest.raises(LLMTimeoutError) as caught:
        client_of(runtime).stream(HELLO, deadline=0.5).finish()
    assert time.monotonic() - began < PATIENCE
    assert caught.value.partial is not None
    assert caught.value.partial.content == "Hello there, "
    (record,) = records(runtime)
    assert record.status is LLMCallStatusEnum.TIMEOUT
    assert record.cost > 0


def test_an_error_in_the_middle_is_told_at_once(runtime: Runtime, server: ScriptedServer) -> None:
    error = b'data: {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}\n\n'
    body = event("Hel") + error + END
    head, text, broken, *_ = stream(body).pieces
    server.script(stream(body, stop_after=len(head + text + broken), then="hang"))  # it says no more, and stays
    with pytest.raises(LLMRateLimitError) as caught:
        client_of(runtime).stream(HELLO, deadline=PATIENCE).finish()
    assert caught.value.partial is not None
    assert caught.value.partial.content == "Hel"
    assert caught.value.code == "rate_limit_exceeded"


def test_a_page_instead_of_a_stream_is_the_servers_error(runtime: Runtime, server: ScriptedServer) -> None:
    server.handler = lambda request: Answer(headers={"content-type": "text/html"}, body=b"<html>Bad Gateway</html>")
    with pytest.raises(LLMServerError):
        client_of(runtime).stream(HELLO, deadline=2).finish()


def test_a_whole_answer_instead_of_a_stream_is_taken(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(Answer.chat("All at once."))
    answer = client_of(runtime).stream(HELLO)
    assert [chunk.text for chunk in answer] == ["All at once."]
    assert answer.response.output_tokens == 5


@pytest.mark.parametrize("kind", ["native", "sdk"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_body_is_bounded(server: ScriptedServer, kind: Literal["native", "sdk"], status: int) -> None:
    runtime = runtime_of(server, kind, retry={"max_attempts": 1})
    runtime.transport = create_transport(kind, max_response_bytes=1_000_000)
    server.script(Answer(status=status, headers=SSE, body=b"data: " + b"x" * 20_000_000, chunks=[]))
    with pytest.raises(LLMServerError, match="max_response_bytes"):
        client_of(runtime).stream(HELLO).finish()
    until(lambda: not server._alive)
    runtime.close()


def test_a_slow_reader_slows_the_server_down(server: ScriptedServer) -> None:
    """What the server could hand to the network is a part of what it has: nobody reads it ahead of the user."""
    runtime = runtime_of(server)
    piece = event("x" * 50_000)
    body = piece * 600  # 30 MB
    server.script(Answer(headers=SSE, body=body + END, chunks=[]))
    left: list[int] = []

    def look() -> None:
        left.extend(connection._transport.get_write_buffer_size() for connection in server._alive)

    with client_of(runtime).stream(HELLO) as answer:
        next(answer)
        before = -1
        while not left or left[-1] != before:  # until nothing moves any more
            before = left[-1] if left else -1
            time.sleep(0.3)
            server.loop.call_soon_threadsafe(look)
            until(lambda: left)
            time.sleep(0.05)
        assert left[-1] > 15_000_000
        assert sum(len(chunk.text) for chunk in answer) == 599 * 50_000
    runtime.close()


def test_one_stream_is_for_one_thread_at_a_time(server: ScriptedServer) -> None:
    runtime = runtime_of(server)
    gate = server.gate()
    server.script(stream(gate=gate))
    answer = client_of(runtime).stream(HELLO)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(chunk.text for chunk in answer))
    reader.start()
    server.wait_for(1)
    with pytest.raises(LLMError, match="one thread or task at a time"):
        next(answer)
    with pytest.raises(LLMError, match="closed by the thread or task that reads it"):
        answer.close()
    gate.open()
    reader.join(PATIENCE)
    assert "".join(seen) == "".join(TEXT)
    runtime.close()


def test_closing_the_runtime_ends_a_stream_in_the_middle(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging())
    answer = client_of(runtime).stream(HELLO)
    next(answer)
    runtime.close()
    assert rests(runtime)
    with pytest.raises(LLMCancelledError) as caught:
        next(answer)
    assert caught.value.partial is not None
    (record,) = records(runtime)
    assert record.cost > 0
    until(lambda: not server._alive)


def test_equal_streams_ask_once_and_a_hit_has_the_chunks_of_the_miss(runtime: Runtime, server: ScriptedServer) -> None:
    gate = server.gate()
    server.script(stream(step=11, gate=gate))
    client = client_of(runtime)
    results: list[tuple[list[str], LLMResponse]] = []

    def read() -> None:
        with client.stream(HELLO, cache=True) as answer:
            results.append(([chunk.text for chunk in answer], answer.response))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: runtime.stats()["following"] == 3)
    gate.open()
    for thread in threads:
        thread.join(PATIENCE)
    read()
    assert server.received == 1
    assert [texts for texts, _ in results] == [[*TEXT, ""]] * 5
    assert sorted(response.cache_hit for _, response in results) == [False, True, True, True, True]
    assert len({response.content for _, response in results}) == 1


def test_a_recording_plays_streams_again_whole_or_cut(server: ScriptedServer, tmp_path: Path) -> None:
    server.script(Answer.error(503, headers={"retry-after-ms": "1"}), stream(step=9), hanging(), stream(stop_after=500))

    def program(runtime: Runtime) -> list[Any]:
        client = client_of(runtime)
        told: list[Any] = [[chunk.text for chunk in client.stream(HELLO)]]
        with client.stream(HELLO) as answer:  # left early
            told.append(next(answer).text)
        with pytest.raises(LLMConnectionError) as caught:
            client.stream(HELLO).finish()
        assert caught.value.partial is not None
        return [*told, caught.value.partial.content]

    first = runtime_of(server)
    with ReplayLogger(tmp_path / "run", engine=False) as log:
        first.recorder = log
        told = program(first)
        first.close()
    again = Runtime(first.settings, tracker=ListSink(), transport=ReplayTransport(tmp_path / "run"))
    assert program(again) == told
    assert told[0] == [*TEXT, ""]
    again.close()
    assert b"sk-canary" not in b"".join(path.read_bytes() for path in (tmp_path / "run").iterdir())


# --- event loops ------------------------------------------------------------------------------------------------------


def async_client_of(runtime: Runtime) -> AsyncLLMClient:
    return AsyncLLMClient("openai", "m1", runtime=runtime)


async def settled(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


@pytest.mark.anyio
async def test_awaited_streams_behave_like_the_others(loop_runtime: Runtime, server: ScriptedServer) -> None:
    client = async_client_of(loop_runtime)
    server.script(Answer.error(503, headers={"retry-after-ms": "5"}), stream(step=5))
    async with client.stream(HELLO) as answer:
        assert [chunk.text async for chunk in answer] == [*TEXT, ""]
    assert (answer.response.content, answer.response.attempts) == ("".join(TEXT), 2)
    server.script(hanging())
    with pytest.raises(LLMTimeoutError) as caught:
        await client.stream(HELLO, deadline=0.5).finish()
    assert caught.value.partial is not None
    server.script(stream(stop_after=600))
    with pytest.raises(LLMConnectionError) as cut:
        await client.stream(HELLO).finish()
    assert cut.value.partial is not None
    server.script(hanging())
    async with client.stream(HELLO) as answer:
        await anext(answer)
    await settled(lambda: not server._alive)
    assert [record.status.value for record in records(loop_runtime)] == ["success", "timeout", "error", "cancelled"]


@pytest.mark.anyio
async def test_closing_the_runtime_ends_a_task_that_waits_for_a_chunk(server: ScriptedServer) -> None:
    runtime = runtime_of(server)
    server.script(hanging())
    answer = async_client_of(runtime).stream(HELLO)
    await anext(answer)
    waiting = asyncio.create_task(anext(answer))
    await asyncio.sleep(0.05)
    await runtime.aclose()
    assert rests(runtime)
    with pytest.raises(LLMCancelledError) as caught:
        await asyncio.wait_for(waiting, PATIENCE)
    assert caught.value.partial is not None
    await settled(lambda: not server._alive)


@pytest.mark.anyio
async def test_a_cancelled_task_leaves_its_stream_at_once(loop_runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging())
    seen = asyncio.Event()

    async def read() -> None:
        async for _ in async_client_of(loop_runtime).stream(HELLO):
            seen.set()

    task = asyncio.create_task(read())
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settled(lambda: not server._alive)
    (record,) = records(loop_runtime)
    assert (record.status, record.usage.output_tokens) == (LLMCallStatusEnum.CANCELLED, 4)


@pytest.mark.anyio
async def test_a_stream_that_a_task_dropped_is_closed(loop_runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging())

    async def first() -> str:
        async for chunk in async_client_of(loop_runtime).stream(HELLO):
            return chunk.text
        return ""

    assert await first() == "Hello there, "
    await settled(lambda: rests(loop_runtime) and not server._alive)
    (record,) = records(loop_runtime)
    assert record.status is LLMCallStatusEnum.CANCELLED


async def many(runtime: Runtime, server: ScriptedServer, count: int, seed: int) -> None:
    """Streams that are cancelled, closed or dropped at random moments, with retries, a queue and a budget."""
    chance = random.Random(seed)
    answers: list[Callable[[], Answer]] = [
        lambda: stream(pause=0.002),
        stream,
        lambda: stream(delay=0.03),
        lambda: Answer.error(503, headers={"retry-after-ms": "5"}),
        lambda: stream(stop_after=500),
    ]
    server.handler = lambda request: chance.choice(answers)()
    client = async_client_of(runtime)

    async def one(number: int) -> None:
        own = random.Random(seed * 1000 + number)
        mode = own.choice(["cancel", "cancel", "close", "drop", "read"])
        answer = client.stream([{"role": "user", "content": f"{number % 50}"}], cache=own.random() < 0.3, deadline=20)
        stop = own.randrange(1, 6)
        try:
            async for _ in answer:
                stop -= 1
                if mode in ("close", "drop") and stop == 0:
                    break
            if mode == "close":
                await answer.close()
        except LLMError:
            pass

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    for task in tasks:
        if chance.random() < 0.5:
            asyncio.get_running_loop().call_later(chance.random() * 0.5, task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_streams_cancelled_at_random_moments_give_everything_back(
    server: ScriptedServer, kind: Literal["native", "sdk"]
) -> None:
    runtime = runtime_of(
        server,
        kind,
        limits={"max_in_flight": 40},
        budgets=[{"limit_usd": 10}],
        health={"breaker_errors": 1000},
    )

    async def run() -> None:
        await many(runtime, server, 200, 7)
        await settled(lambda: rests(runtime))
        await settled(lambda: len(records(runtime)) == runtime.stats()["submitted"])
        await settled(lambda: len(asyncio.all_tasks()) == 1)
        await runtime.aclose()
        await settled(lambda: not server._alive)

    asyncio.run(run())
    rows = records(runtime)
    assert len({record.id for record in rows}) == len(rows) == runtime.stats()["submitted"] > 100
    assert {record.status.value for record in rows} >= {"success", "cancelled"}
    billed = sum(record.cost for record in rows)
    (account,) = runtime.stats()["budgets"]
    assert account["spent_nano_usd"] == billed > 0
    assert runtime.stats()["late"] == 0
