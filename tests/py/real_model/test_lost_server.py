"""A real server that is killed, that hangs, that comes back, and one that takes over from another."""

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

from llmcore import (
    AsyncLLMClient,
    CallRecord,
    Chunk,
    LLMClient,
    LLMConnectionError,
    LLMError,
    LLMResponse,
    LLMServerError,
    LLMTimeoutError,
    UsageTracker,
)
from llmcore.cli.doctor import run_doctor
from llmcore.runtime import Runtime
from llmcore.types import LLMCallStatusEnum, Outcome
from support.either import Either
from support.llama_server import LlamaServer

HELLO: Any = [{"role": "user", "content": "Say something."}]
ENDLESS: Any = {"max_tokens": 30_000}  # seconds of talk
PROVIDERS = ("openai", "openai-responses", "anthropic", "llama")
PATIENCE = 20.0
Runtimes = Callable[..., Runtime]
Kind = Literal["sync", "async"]


def records(runtime: Runtime) -> list[CallRecord]:
    found: list[CallRecord] = runtime.sink.records  # type: ignore[attr-defined]
    return found


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Trap(list[Chunk]):
    """Does something when the first chunk is there."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self._then = then

    def append(self, chunk: Chunk) -> None:
        super().append(chunk)
        if len(self) == 1:
            self._then()


def everywhere(server: LlamaServer) -> dict[str, LlamaServer]:
    return dict.fromkeys(("openai", "anthropic", "llama"), server)


# --- one server


@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_in_the_middle_of_a_stream(
    runtimes: Runtimes, mortal: LlamaServer, kind: Kind, provider: str, tmp_path: Path
) -> None:
    tracker = UsageTracker(str(tmp_path / "calls.db"))
    budget = {"scope": "global", "period": "total", "limit_usd": 10}
    runtime = runtimes(everywhere(mortal), tracker=tracker, budgets=[budget])
    either = Either(kind, runtime, "tiny")
    chunks = Trap(mortal.kill)
    with pytest.raises(LLMConnectionError) as caught:
        either.read(provider, HELLO, chunks, **ENDLESS)
    # What reached the user is on the error, is paid for, and is not asked for again.
    partial = caught.value.partial
    assert partial is not None
    assert partial.content == "".join(chunk.text for chunk in chunks) != ""
    assert caught.value.attempts == 1
    assert partial.usage.estimated
    assert partial.usage.output_tokens > 0
    assert set(runtime.stats()["reserved"].values()) == {0}

    assert tracker.flush(PATIENCE)
    with closing(sqlite3.connect(tracker.location)) as database:
        [(status, code, cost, output, first)] = database.execute(
            "SELECT status, error_code, cost_nano_usd, output_tokens, first_token_ms FROM llm_calls"
        )
        [(outcome, estimated)] = database.execute("SELECT outcome, estimated FROM llm_attempts")
    assert (status, code, outcome, estimated) == ("error", "connection", "connection", 1)
    assert output == partial.usage.output_tokens
    assert first > 0
    assert cost == (0 if provider == "llama" else partial.usage.input_tokens * 1_000 + output * 2_000)
    assert sum(account["spent_nano_usd"] for account in runtime.stats()["budgets"]) == cost
    runtime.close()
    tracker.close()


def test_gone_and_back_again(runtimes: Runtimes, mortal: LlamaServer, kind: Kind) -> None:
    health = {"breaker_errors": 3, "cooldown": 0.3}
    runtime = runtimes({"llama": mortal}, retry={"max_attempts": 1}, health=health)
    either = Either(kind, runtime, "tiny")
    assert either.complete("llama", HELLO, max_tokens=5).content
    mortal.kill()
    for _ in range(3):
        with pytest.raises(LLMConnectionError) as caught:
            either.complete("llama", HELLO)
        assert caught.value.attempts == 1
    # Its connection is not tried any more: a call fails at once, or waits for the time to look again.
    assert runtime.stats()["providers"]["llama"]["health"] == "degraded"
    with pytest.raises(LLMError) as refused:
        either.complete("llama", HELLO, deadline=0.05)
    assert type(refused.value) in (LLMServerError, LLMTimeoutError)
    assert runtime.stats()["attempts"] == 4

    mortal.start()
    chunks: list[Chunk] = []
    assert either.read("llama", HELLO, chunks, max_tokens=5, deadline=PATIENCE).output_tokens == 5
    assert runtime.stats()["providers"]["llama"]["health"] == "healthy"
    assert [record.status for record in records(runtime)].count(LLMCallStatusEnum.SUCCESS) == 2


def test_a_call_outlives_a_restart(runtimes: Runtimes, mortal: LlamaServer, kind: Kind) -> None:
    runtime = runtimes(
        {"llama": mortal}, retry={"max_attempts": 50, "base_delay": 0.02, "max_delay": 0.1}, health={"cooldown": 0.1}
    )
    either = Either(kind, runtime, "tiny")
    mortal.kill()
    back = threading.Timer(0.2, mortal.start)
    back.start()
    response = either.complete("llama", HELLO, max_tokens=5, deadline=PATIENCE)
    back.join()
    assert response.attempts > 1
    [record] = records(runtime)
    assert [attempt.outcome for attempt in record.attempts][-1] is Outcome.OK
    assert {attempt.outcome for attempt in record.attempts[:-1]} <= {Outcome.CONNECTION, Outcome.OVERLOADED}


def test_a_server_that_hangs(runtimes: Runtimes, mortal: LlamaServer, kind: Kind) -> None:
    runtime = runtimes({"llama": mortal}, retry={"max_attempts": 1})
    either = Either(kind, runtime, "tiny")
    either.complete("llama", HELLO, max_tokens=5)
    mortal.freeze()
    began = time.monotonic()
    with pytest.raises(LLMTimeoutError):
        either.complete("llama", HELLO, deadline=0.3)
    mortal.thaw()
    chunks = Trap(mortal.freeze)
    with pytest.raises(LLMTimeoutError) as caught:
        either.read("llama", HELLO, chunks, deadline=0.5, **ENDLESS)
    assert time.monotonic() - began < PATIENCE / 2
    assert caught.value.partial is not None
    assert caught.value.partial.content == "".join(chunk.text for chunk in chunks) != ""
    mortal.thaw()
    assert either.complete("llama", HELLO, max_tokens=5, deadline=PATIENCE).content
    statuses = [record.status for record in records(runtime)]
    assert statuses == [
        LLMCallStatusEnum.SUCCESS,
        LLMCallStatusEnum.TIMEOUT,
        LLMCallStatusEnum.TIMEOUT,
        LLMCallStatusEnum.SUCCESS,
    ]


def test_a_reader_who_leaves_stops_the_server_too(runtimes: Runtimes, mortal: LlamaServer) -> None:
    runtime = runtimes({"openai": mortal})
    with LLMClient("openai", "tiny", runtime=runtime).stream(HELLO, **ENDLESS) as stream:
        next(stream)
        assert mortal.slots_in_use() == 1
    assert until(lambda: mortal.slots_in_use() == 0)

    async def leave() -> None:
        client = AsyncLLMClient("openai", "tiny", runtime=runtime)
        async with client.stream(HELLO, **ENDLESS) as stream:
            await anext(stream)
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in client.stream(HELLO, **ENDLESS):
                begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        time.sleep(0.02)  # noqa: ASYNC251 - more has come by now, and the loop knows nothing of it
        reading.cancel()
        await asyncio.wait([reading], timeout=PATIENCE)
        assert reading.cancelled()

    asyncio.run(leave())
    assert until(lambda: mortal.slots_in_use() == 0)
    assert [record.status for record in records(runtime)] == [LLMCallStatusEnum.CANCELLED] * 3
    assert all(record.cost for record in records(runtime))  # for what came


def test_the_doctor_sees_it(
    runtimes: Runtimes, mortal: LlamaServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtimes({"llama": mortal})  # an environment without settings
    monkeypatch.setenv("LLAMA_SERVER_URL", mortal.url)
    monkeypatch.setenv("LLMCORE_LEDGER__URL", "none")
    assert run_doctor(None, json=False) == 0
    assert "is there" in capsys.readouterr().out
    mortal.kill()
    assert run_doctor(None, json=False) == 1
    assert "wrong   provider llama" in capsys.readouterr().out


# --- two servers


def test_the_second_takes_over_before_the_first_chunk(
    runtimes: Runtimes, mortal: LlamaServer, second: LlamaServer, kind: Kind
) -> None:
    runtime = runtimes(
        {"openai": mortal, "llama": second}, retry={"max_attempts": 2, "base_delay": 0.01}, health={"breaker_errors": 3}
    )
    either = Either(kind, runtime, "tiny")
    fallbacks = ["llama/tiny"]
    assert either.complete("openai", HELLO, fallbacks, max_tokens=5).provider == "openai"
    mortal.kill()
    whole = either.complete("openai", HELLO, fallbacks, max_tokens=5)
    chunks: list[Chunk] = []
    streamed = either.read("openai", HELLO, chunks, fallbacks, max_tokens=5)
    for response in (whole, streamed):
        assert (response.provider, response.status) == ("llama", LLMCallStatusEnum.FALLBACK)
        assert response.output_tokens == 5
    assert "".join(chunk.text for chunk in chunks) == streamed.content
    _, *later = records(runtime)
    for record in later:
        assert record.fallback_used
        assert [attempt.provider for attempt in record.attempts][-1] == "llama"
    # After three errors in a row the first one is not even asked.
    assert runtime.stats()["providers"]["openai"]["errors"] == 3
    assert either.complete("openai", HELLO, fallbacks, max_tokens=5).attempts == 1


def test_after_the_first_chunk_nobody_takes_over(
    runtimes: Runtimes, mortal: LlamaServer, second: LlamaServer, kind: Kind
) -> None:
    runtime = runtimes({"openai": mortal, "llama": second})
    with pytest.raises(LLMConnectionError) as caught:
        Either(kind, runtime, "tiny").read("openai", HELLO, Trap(mortal.kill), ["llama/tiny"], **ENDLESS)
    assert caught.value.partial is not None
    [record] = records(runtime)
    assert [attempt.provider for attempt in record.attempts] == ["openai"]


def test_none_of_many_is_lost_when_the_first_dies(runtimes: Runtimes, mortal: LlamaServer, second: LlamaServer) -> None:
    runtime = runtimes({"openai": mortal, "llama": second}, limits={"max_in_flight": 8})
    client = AsyncLLMClient("openai", "tiny", runtime=runtime, fallbacks=["llama/tiny"])

    async def many() -> list[LLMResponse | BaseException]:
        wholes = [client.complete(HELLO, max_tokens=50) for _ in range(20)]
        streams = [client.stream(HELLO, max_tokens=50).finish() for _ in range(20)]
        calls = [asyncio.ensure_future(call) for pair in zip(wholes, streams, strict=True) for call in pair]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        mortal.kill()
        return await asyncio.gather(*calls, return_exceptions=True)

    ended = asyncio.run(many())
    answers = [one for one in ended if isinstance(one, LLMResponse)]
    broken = [one for one in ended if not isinstance(one, LLMResponse)]
    # Only a stream that had begun to be read may end in an error, and that one says what came.
    assert all(isinstance(error, LLMConnectionError) and error.partial is not None for error in broken), broken
    assert len(broken) <= 2  # the server's places
    found = Counter(answer.provider for answer in answers)
    assert found["openai"] > 0 < found["llama"]
    assert all(answer.output_tokens == 50 for answer in answers)
    assert len(records(runtime)) == len(ended)
    assert len({record.id for record in records(runtime)}) == len(ended)
