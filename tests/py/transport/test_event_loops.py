"""Awaited exchanges: many at once, cancelled, on several loops."""

import asyncio
import threading
import time
from typing import Literal

import pytest

from llmcore._core import Outcome
from llmcore.transport import Transport, TransportError, create_transport
from support.exchanges import HEADERS, post
from support.server import Answer, ScriptedServer


async def test_awaited_calls_behave_like_the_others(async_transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(429, {"Retry-After": "3"}, b"slow", chunks=[1]))
    response = await async_transport.asend(post(server, b"body"), 10)
    assert (response.status, response.headers.get("retry-after"), response.body) == (429, "3", b"slow")
    assert server.requests[0].body == b"body"
    assert {name: server.requests[0].headers[name.lower()] for name in HEADERS} == HEADERS
    expected = [
        (Answer(delay=30), Outcome.TIMEOUT),
        (Answer(body=b"x" * 99, chunks=range(1, 99), pause=0.1), Outcome.TIMEOUT),
        (Answer(stop_after=30), Outcome.CONNECTION),
        (Answer(raw=b"?"), Outcome.CONNECTION),
        (Answer(body=b"x" * 200_001), Outcome.SERVER_ERROR),
        (Answer(body=b"x" * 200_001, chunks=[9]), Outcome.SERVER_ERROR),
        (Answer(headers={"content-encoding": "gzip"}, body=b"not gzip at all"), Outcome.SERVER_ERROR),
    ]
    for answer, outcome in expected:
        server.script(answer)
        with pytest.raises(TransportError) as caught:
            await async_transport.asend(post(server), 0.4)
        assert caught.value.outcome is outcome, answer
        assert f"127.0.0.1:{server.port}" in caught.value.message
        assert caught.value.__context__ is None
    with pytest.raises(TransportError) as caught:
        await async_transport.asend(post(server), 0)
    assert caught.value.outcome is Outcome.TIMEOUT
    assert server.received == 1 + len(expected)


async def test_many_awaited_calls_run_at_once(async_transport: Transport, server: ScriptedServer) -> None:
    gate = server.gate()
    server.script(*[Answer.chat(gate=gate)] * 30)
    calls = [asyncio.create_task(async_transport.asend(post(server), 20)) for _ in range(30)]
    await asyncio.to_thread(server.wait_for, 30)
    gate.open()
    assert [response.status for response in await asyncio.gather(*calls)] == [200] * 30
    assert server.peak_in_flight == 30


async def test_a_cancelled_call_ends_at_once_and_harms_no_other(
    async_transport: Transport, server: ScriptedServer
) -> None:
    gate = server.gate()
    server.script(Answer(gate=gate))
    call = asyncio.create_task(async_transport.asend(post(server), 60))
    await asyncio.to_thread(server.wait_for, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await async_transport.asend(post(server), 10)).status == 200
    gate.open()
    assert (await async_transport.asend(post(server), 10)).status == 200


@pytest.mark.parametrize("path", ["whole", "head", "piece"])
async def test_a_cancellation_that_meets_the_answer_is_not_lost(
    async_transport: Transport, server: ScriptedServer, path: str
) -> None:
    """What the task waits for comes while the loop is busy, and the loop learns of both at once."""
    server.script(Answer(body=b"ab", chunks=[1], delay=0.03, pause=0.03), Answer.chat("other"))

    async def read() -> None:
        if path == "whole":
            await async_transport.asend(post(server), 10.0)
            return
        exchange = await async_transport.astream(post(server), 10.0)
        try:
            reading.set()
            while path == "piece" and await exchange.aread():
                pass
        finally:
            exchange.close()

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    if path == "piece":
        await reading.wait()
    await asyncio.to_thread(server.wait_for, 1)
    time.sleep(0.1)  # noqa: ASYNC251 - it blocks the loop
    task.cancel()
    await asyncio.wait([task], timeout=10.0)
    assert task.cancelled()
    assert task.cancelling() == 1
    assert (await async_transport.asend(post(server), 10.0)).status == 200


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_one_transport_serves_several_loops(kind: str, server: ScriptedServer) -> None:
    transport = create_transport(kind)  # type: ignore[arg-type]
    statuses: list[int] = []

    async def several() -> None:
        responses = await asyncio.gather(*[transport.asend(post(server), 10) for _ in range(5)])
        statuses.extend(response.status for response in responses)
        if kind == "sdk":  # its connections belong to this loop, and nobody can close them after it
            client = transport._by_loop[asyncio.get_running_loop()]  # type: ignore[attr-defined]
            await client.aclose()

    asyncio.run(several())
    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(transport.aclose())
    assert statuses == [200] * 20


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_a_loop_that_ends_in_the_midst_of_a_body_has_nothing_to_report(
    kind: Literal["native", "sdk"], server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(*[Answer(body=b"x" * 300_000, chunks=range(1, 300_000, 1000), pause=0.001)] * 5)

    kept = []  # as the traceback of an error does

    async def leave() -> None:
        transport = create_transport(kind)
        exchange = await transport.astream(post(server), 10)
        kept.append(exchange)
        assert await exchange.aread()
        exchange.close()

    for _ in range(5):
        asyncio.run(leave())
    assert [
        record for record in caplog.records if record.name == "asyncio" and "socket.send" not in record.message
    ] == []
