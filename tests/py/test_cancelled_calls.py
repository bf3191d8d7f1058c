"""Two thousand calls that are given up at random moments: waiting, connecting, before the first token, in the middle of
a stream, while they are settled. Nothing of them stays but one row each.
"""

import asyncio
import random
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import openai
import pytest

from llmcore import AsyncLLMClient, Runtime, Settings, UsageTracker
from llmcore.openai import AsyncOpenAI
from llmcore.providers.openai import OpenAIProvider
from support.server import Answer, Request, ScriptedServer, streamed_chat

CALLS = 2_000
SPAN = 1.5  # seconds over which they are given up
MESSAGES: Any = [{"role": "user", "content": "Hi"}]

pytestmark = pytest.mark.slow


def sockets() -> int:
    """Those that this process has open, both ends of those on loopback."""
    count = 0
    for name in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            count += str(name.readlink()).startswith("socket:")
    return count


@pytest.fixture
def unreachable() -> Iterator[str]:
    """The URL of a server that lets nobody in and turns nobody away."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}/v1"


async def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Waits for it to become true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not true():
        if loop.time() > end:
            return False
        await asyncio.sleep(0.01)
    return True


def at_rest(stats: dict[str, Any]) -> bool:
    return stats["in_flight"] == 0 and stats["queued"] == 0 and set(stats["reserved"].values()) == {0}


class Storm:
    """The calls of one client after another, each of another shape, with what the test knows of them."""

    def __init__(self, runtime: Runtime, server: ScriptedServer, unreachable: str, seed: int) -> None:
        self.luck = random.Random(seed)
        self.client = AsyncLLMClient(OpenAIProvider("k", server.base_url), "gpt-4o-mini", runtime=runtime)
        self.lost = AsyncLLMClient(OpenAIProvider("k", unreachable, name="azure"), "gpt-4o-mini", runtime=runtime)
        self.sdk = AsyncOpenAI(api_key="k", base_url=server.base_url, runtime=runtime)
        self.began = 0

    async def whole(self) -> None:
        self.began += 1
        await self.client.complete(MESSAGES)

    async def connecting(self) -> None:
        self.began += 1
        await self.lost.complete(MESSAGES, deadline=1.0)

    async def read(self) -> None:
        self.began += 1
        async with self.client.stream(MESSAGES) as stream:
            async for _ in stream:
                pass

    async def dropped(self) -> None:
        """Left after some chunks, and closed by nobody."""
        left = self.luck.randrange(1, 4)
        self.began += 1
        async for _ in self.client.stream(MESSAGES):
            left -= 1
            if not left:
                return

    async def relayed(self) -> None:
        self.began += 1
        stream = await self.sdk.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=self.luck.random() < 0.7
        )
        if isinstance(stream, openai.AsyncStream):
            left = self.luck.randrange(1, 9)
            async for _ in stream:
                left -= 1
                if not left:
                    return

    async def all(self) -> Counter[str]:
        """Runs them and gives up as many as it can. How many ended how."""
        loop = asyncio.get_running_loop()
        await self.relayed()  # the SDK's first call looks at the machine, in a thread, before it is one
        tasks = []
        for _ in range(CALLS):
            kind = self.luck.choices(
                (self.whole, self.read, self.dropped, self.relayed, self.connecting), (30, 25, 20, 20, 5)
            )[0]
            task = asyncio.ensure_future(kind())
            tasks.append(task)
            if self.luck.random() < 0.8:
                loop.call_later(self.luck.random() * SPAN, task.cancel)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        return Counter(
            type(one.__cause__ or one).__name__ if isinstance(one, Exception) else type(one).__name__ for one in ended
        )


def answering(seed: int) -> Callable[[Request], Answer]:
    luck = random.Random(seed)

    def answer(request: Request) -> Answer:
        delay = luck.choice((0.0, 0.0, 0.005, 0.03))
        if not request.json.get("stream"):
            return Answer.chat("Hello.", delay=delay)
        made = streamed_chat(6)
        return Answer(headers=made.headers, body=made.body, chunks=made.chunks, delay=delay, pause=0.003)

    return answer


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the sockets of this process in /proc")
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_stays_of_calls_that_were_given_up(tmp_path: Path, unreachable: str, seed: int) -> None:
    tracker = UsageTracker(str(tmp_path / "calls.db"))
    settings = Settings(
        limits={"max_in_flight": 64},
        budgets=[{"scope": "global", "period": "total", "limit_usd": 100}],
        defaults={"deadline": 15},
        health={"breaker_errors": 10**6},  # those that connect in vain would open it
    )
    with ScriptedServer(answering(seed), record=False) as server:

        async def run() -> tuple[Counter[str], int]:
            before = sockets()
            runtime = Runtime(settings, tracker=tracker)
            storm = Storm(runtime, server, unreachable, seed)
            ended = await storm.all()
            assert await until(lambda: at_rest(runtime.stats())), runtime.stats()
            assert await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}), asyncio.all_tasks()
            assert runtime.check() == ""
            await storm.sdk.close()
            await runtime.aclose()
            assert await until(lambda: server.open_connections == 0), server.open_connections
            assert await until(lambda: sockets() <= before), (sockets(), before)
            return ended, storm.began

        ended, began = asyncio.run(run())
    # Some may be late on a busy machine; nothing else goes wrong.
    assert set(ended) <= {"NoneType", "CancelledError", "LLMTimeoutError"}
    assert ended["CancelledError"] > CALLS // 10
    assert ended["NoneType"] > CALLS // 10
    assert tracker.flush(30)
    with closing(sqlite3.connect(tracker.location)) as database:
        rows = database.execute(
            "SELECT status, attempts > 0, first_token_ms > 0, cost_nano_usd FROM llm_calls"
        ).fetchall()
    tracker.close()
    assert len(rows) == began
    found = Counter((status, bool(sent), bool(seen)) for status, sent, seen, _ in rows)
    assert {status for status, _, _ in found} <= {"success", "cancelled", "timeout"}, found
    assert found["success", True, True]
    assert found["cancelled", False, False], found  # while it waited
    assert found["cancelled", True, False], found  # connecting, or before the first token
    assert found["cancelled", True, True], found  # in the middle of a stream
    assert all(cost for status, _, seen, cost in rows if seen)
