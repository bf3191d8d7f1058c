"""Streams over real connections, read by threads: early leavers, slow readers, equal streams, recordings."""

import gc
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from llmcore.errors import LLMCancelledError, LLMConnectionError, LLMError, LLMValidationError
from llmcore.recording import ReplayLogger
from llmcore.replay_transport import ReplayTransport
from llmcore.runtime import Runtime
from llmcore.types import LLMCallStatusEnum, LLMResponse, Outcome
from support.runtimes import PATIENCE, records_of, rests, until
from support.scripted import ListSink
from support.server import Answer, ScriptedServer
from support.streaming import END, HELLO, SSE, TEXT, client_of, event, hanging, runtime_of, stream


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
    (record,) = records_of(runtime)
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


def test_leaving_early_closes_the_connection_at_once_and_pays_for_what_came(
    runtime: Runtime, server: ScriptedServer
) -> None:
    server.script(hanging())
    with client_of(runtime).stream(HELLO) as answer:
        assert next(answer).text == "Hello there, "
        assert server.in_flight == 1
    until(lambda: not server._alive)
    (record,) = records_of(runtime)
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
    assert [record.status for record in records_of(runtime)] == [LLMCallStatusEnum.CANCELLED] * 2
    assert all(record.cost for record in records_of(runtime))


def test_a_stream_that_was_never_read_makes_no_call(runtime: Runtime, server: ScriptedServer) -> None:
    with client_of(runtime).stream(HELLO):
        pass
    client_of(runtime).stream(HELLO)
    assert (server.received, records_of(runtime), runtime.stats()["submitted"]) == (0, [], 0)


def test_wrong_arguments_are_told_before_anything_is_read(runtime: Runtime) -> None:
    with pytest.raises(LLMValidationError):
        client_of(runtime).stream([])


def test_there_is_no_response_before_the_end(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging())
    with client_of(runtime).stream(HELLO) as answer:
        next(answer)
        with pytest.raises(LLMError, match="has not come to its end"):
            _ = answer.response


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
    (record,) = records_of(runtime)
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
