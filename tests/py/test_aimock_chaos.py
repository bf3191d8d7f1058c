"""500 calls while aimock fails at random, by threads and by asyncio: none is lost and none is counted twice. What the
callers got, what the engine counted, what the ledger holds and what the fake saw are the same, call by call.
"""

import asyncio
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ledger.making import ask
from llmcore import AsyncLLMClient, LLMClient, LLMError, LLMResponse, Runtime, Settings
from support.aimock import Aimock

pytestmark = pytest.mark.slow

CALLS = 500
AT_ONCE = 25
MODELS = {"openai": "gpt-4o-mini", "openai-responses": "gpt-4o", "anthropic": "claude-sonnet-4-5"}
CHAOS = {"dropRate": 0.1, "malformedRate": 0.05, "rateLimitRate": 0.03, "disconnectRate": 0.08, "latencyMs": 2}
#: How an attempt may end of which the fake says this.
ENDS = {
    "200": {"ok"},
    "200 interrupted": {"connection"},
    "200 malformed": {"server_error"},
    "429 rateLimit": {"rate_limited"},
    "500 drop": {"server_error"},
    "0 disconnect": {"connection"},
}


class Storm:
    """The calls, each with a number in its text, and what came of each."""

    def __init__(self, fake: Aimock, runtime: Runtime) -> None:
        self._fake = fake
        self._runtime = runtime
        self._begun = 0
        self._lock = threading.Lock()
        luck = random.Random(7)
        self.calls = [(luck.choice(list(MODELS)), luck.random() < 0.5, luck.random() < 0.1) for _ in range(CALLS)]
        self.ended: dict[int, list[LLMResponse | LLMError]] = defaultdict(list)

    def text(self, number: int) -> list[dict[str, Any]]:
        cut = self.calls[number][2]
        return [{"role": "user", "content": f"{'Break off, ' if cut else ''}Call number {number}."}]

    def weather(self) -> None:
        """Chaos after a quarter of the calls, and calm again after three quarters."""
        with self._lock:
            self._begun += 1
            begun = self._begun
        if begun == CALLS // 4:
            self._fake.chaos(**CHAOS)
        elif begun == CALLS * 3 // 4:
            self._fake.chaos()

    def call(self, number: int) -> None:
        self.weather()
        name, streamed, _ = self.calls[number]
        client = LLMClient(name, MODELS[name], runtime=self._runtime)
        try:
            answer = client.stream(self.text(number)).finish() if streamed else client.complete(self.text(number))
        except LLMError as error:
            self.ended[number].append(error)
        else:
            self.ended[number].append(answer)

    async def acall(self, number: int, free: asyncio.Semaphore) -> None:
        async with free:
            await asyncio.to_thread(self.weather)
            name, streamed, _ = self.calls[number]
            client = AsyncLLMClient(name, MODELS[name], runtime=self._runtime)
            try:
                if streamed:
                    answer = await client.stream(self.text(number)).finish()
                else:
                    answer = await client.complete(self.text(number))
            except LLMError as error:
                self.ended[number].append(error)
            else:
                self.ended[number].append(answer)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def runtime(aimock: Aimock, ledger: Path) -> Iterator[Runtime]:
    own = {
        name: {"base_url": aimock.url + ("" if name == "anthropic" else "/v1"), "api_key": "sk-x"} for name in MODELS
    }
    settings = Settings(
        provider="openai",
        providers=own,
        # Its 429s say that nothing is left for six minutes; with limits of one's own that is less than a second.
        limits={"requests_per_minute": 600_000, "tokens_per_minute": 10**9},
        retry={"max_attempts": 4, "base_delay": 0.01, "max_delay": 0.05},
        health={"breaker_errors": 20, "cooldown": 0.1},
        budgets=[{"scope": "global", "limit_usd": 100}],
        ledger={"url": f"sqlite:///{ledger}", "spool_dir": str(ledger.parent / "spool")},
    )
    with Runtime(settings) as running:
        yield running


def seen_by(fake: Aimock) -> dict[int, list[str]]:
    """What the fake says of the attempts at each call, in the order in which they came."""
    found = defaultdict(list)
    for entry in fake.journal():
        number = int(entry["body"]["messages"][-1]["content"].split()[-1].rstrip("."))
        said = entry["response"]
        how = said.get("chaosAction") or ("interrupted" if said.get("interrupted") else "")
        found[number].append(f"{said['status']} {how}".strip())
    return found


def check(storm: Storm, runtime: Runtime, fake: Aimock, ledger: Path) -> None:
    assert runtime.check() == ""
    stats = runtime.stats()
    assert runtime.sink.flush(30)

    # Each call has ended once, for its caller.
    assert sorted(storm.ended) == list(range(CALLS))
    assert {len(ends) for ends in storm.ended.values()} == {1}
    ended = {number: ends[0] for number, ends in storm.ended.items()}
    ids = {end.call_id: number for number, end in ended.items()}
    assert len(ids) == CALLS

    # For the engine, which has nothing left.
    assert (stats["submitted"], stats["finished"], sum(stats["outcomes"].values())) == (CALLS, CALLS, CALLS)
    assert stats["in_flight"] == stats["queued"] == stats["backing_off"] == stats["late"] == 0
    assert set(stats["reserved"].values()) == {0}
    assert all(lane["limiter"]["in_flight"] == lane["limiter"]["reserved_tokens"] == 0 for lane in stats["lanes"])
    answered = {number for number, end in ended.items() if isinstance(end, LLMResponse)}
    assert stats["outcomes"]["ok"] == len(answered)

    # For the ledger: a row to a call, with the attempts and the cost that its caller was told.
    query = "SELECT id, status, attempts, cost_nano_usd, response_model IS NOT NULL FROM llm_calls"
    rows = {ids[row[0]]: row[1:] for row in ask(ledger, query)}
    assert len(ask(ledger, "SELECT 1 FROM llm_calls")) == len(rows) == CALLS
    outcomes = defaultdict(list)
    for call_id, outcome in ask(ledger, "SELECT call_id, outcome FROM llm_attempts ORDER BY call_id, number"):
        outcomes[ids[call_id]].append(outcome)
    for number, (status, attempts, cost, modelled) in rows.items():
        end = ended[number]
        assert attempts == end.attempts == len(outcomes[number]), number
        assert (status == "success") == modelled == (number in answered), number
        if isinstance(end, LLMResponse):
            assert outcomes[number][-1] == "ok"
            assert end.cost is not None
            assert cost == end.cost.nano_usd
    spent = ask(ledger, "SELECT sum(cost_nano_usd) FROM llm_calls")[0][0]
    (budget,) = stats["budgets"]
    assert (budget["spent_nano_usd"], budget["reserved_nano_usd"]) == (spent, 0)

    # For the fake: every request is an attempt, and every attempt a request that ended as it says.
    seen = seen_by(fake)
    assert sum(map(len, seen.values())) == stats["attempts"] == sum(map(len, outcomes.values()))
    for number, ends in seen.items():
        assert len(ends) == len(outcomes[number]), (number, ends, outcomes[number])
        for seen_end, outcome in zip(ends, outcomes[number], strict=True):
            assert outcome in ENDS[seen_end], (number, ends, outcomes[number])

    # And it was a storm: of the rarest fault alone there may be none.
    assert {end for ends in seen.values() for end in ends} | {"429 rateLimit"} == set(ENDS)
    assert stats["retries"] > 20
    assert 0.7 * CALLS < len(answered) < CALLS


def test_threads_lose_nothing_and_count_nothing_twice(aimock: Aimock, runtime: Runtime, ledger: Path) -> None:
    storm = Storm(aimock, runtime)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(storm.call, range(CALLS)))
    check(storm, runtime, aimock, ledger)


async def test_tasks_lose_nothing_and_count_nothing_twice(aimock: Aimock, runtime: Runtime, ledger: Path) -> None:
    storm = Storm(aimock, runtime)
    free = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(storm.acall(number, free) for number in range(CALLS)))
    check(storm, runtime, aimock, ledger)
    await runtime.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
