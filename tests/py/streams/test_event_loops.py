"""Awaited streams: cancelled, dropped, and many at once."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Literal

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.errors import LLMCancelledError, LLMConnectionError, LLMError, LLMTimeoutError
from llmcore.runtime import Runtime
from llmcore.types import LLMCallStatusEnum
from support.runtimes import PATIENCE, records_of, rests
from support.server import Answer, ScriptedServer
from support.streaming import HELLO, TEXT, hanging, runtime_of, stream


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
    assert [record.status.value for record in records_of(loop_runtime)] == ["success", "timeout", "error", "cancelled"]


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
    (record,) = records_of(loop_runtime)
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
    (record,) = records_of(loop_runtime)
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
        await settled(lambda: len(records_of(runtime)) == runtime.stats()["submitted"])
        await settled(lambda: len(asyncio.all_tasks()) == 1)
        await runtime.aclose()
        await settled(lambda: not server._alive)

    asyncio.run(run())
    rows = records_of(runtime)
    assert len({record.id for record in rows}) == len(rows) == runtime.stats()["submitted"] > 100
    assert {record.status.value for record in rows} >= {"success", "cancelled"}
    billed = sum(record.cost for record in rows)
    (account,) = runtime.stats()["budgets"]
    assert account["spent_nano_usd"] == billed > 0
    assert runtime.stats()["late"] == 0
