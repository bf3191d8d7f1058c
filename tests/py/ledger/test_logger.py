"""Calls that others make: whatever becomes of one, its row says so."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import llmcore
from ledger.making import ask, count
from llmcore._core import Usage
from llmcore.errors import LLMValidationError
from llmcore.ledger.foreign import usage_of
from llmcore.ledger.logger import LLMLogger, log_rag_query
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import LLMCallTypeEnum

CALL: dict[str, Any] = {"call_type": "chat", "provider": "openai", "model": "gpt-4o-mini"}


@pytest.fixture
def tracker(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsageTracker]:
    """The process's own tracker, for one test."""
    tracker = UsageTracker(str(path))
    monkeypatch.setattr(UsageTracker, "_default", tracker)
    yield tracker
    tracker.close()


def row(path: Path, columns: str) -> tuple[Any, ...]:
    (found,) = ask(path, f"SELECT {columns} FROM llm_calls")
    return found


async def test_a_call_in_a_block(path: Path, tracker: UsageTracker) -> None:
    async with LLMLogger.log_call(
        call_type=LLMCallTypeEnum.CHAT,
        provider="openrouter",
        model="gpt-4",
        prompt="What are the main product gaps?",
        user_id="u1",
        session_id="s1",
        tags=["production"],
        metadata={"environment": "production"},
    ) as log_id:
        assert await LLMLogger.complete(
            log_id,
            response="Three.",
            tokens={"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
            estimated_cost=12 * 0.00003,
        )
    tracker.flush(30)

    wanted = "id, call_type, status, provider, model, input_tokens, output_tokens, total_tokens, cost_nano_usd, user_id"
    assert row(path, wanted) == (log_id, "chat", "success", "openrouter", "gpt-4", 10, 2, 12, 360_000, "u1")
    assert row(path, "session_id, tags, price_source") == ("s1", '["production"]', "caller")
    assert json.loads(row(path, "metadata")[0]) == {"environment": "production"}
    assert ask(path, "SELECT prompt, response FROM llm_payloads") == [("What are the main product gaps?", "Three.")]
    assert row(path, "latency_ms >= 0, completed_at >= created_at") == (1, 1)


def test_a_call_is_known_before_it_ends(path: Path, tracker: UsageTracker) -> None:
    LLMLogger.start_sync(**CALL)
    tracker.flush(30)
    assert row(path, "status") == ("pending",)
    tracker.close()
    assert row(path, "status, error_code") == ("lost", "lost")


def test_a_cost_that_is_not_told_comes_from_the_catalogue(path: Path, tracker: UsageTracker) -> None:
    usage = SimpleNamespace(prompt_tokens=1000, completion_tokens=100)
    LLMLogger.complete_sync(LLMLogger.start_sync(**CALL), tokens=usage)
    tracker.flush(30)
    cost, source = row(path, "cost_nano_usd, price_source")
    assert cost == 1000 * 150 + 100 * 600
    assert source.startswith("genai-prices")


@pytest.mark.parametrize("tokens", [None, 500, {"total_tokens": 500}])
def test_a_total_without_its_parts_has_no_price(path: Path, tracker: UsageTracker, tokens: Any) -> None:
    LLMLogger.complete_sync(LLMLogger.start_sync(**CALL), tokens=tokens)
    tracker.flush(30)
    assert row(path, "total_tokens, cost_nano_usd") == (500 if tokens else 0, None)


async def test_a_block_that_raises_has_a_call_that_failed(path: Path, tracker: UsageTracker) -> None:
    with pytest.raises(KeyError):
        async with LLMLogger.log_call(**CALL):
            raise KeyError("gone")
    tracker.flush(30)
    assert row(path, "status, error_code, error_message, cost_nano_usd") == ("error", "KeyError", "'gone'", None)


async def test_a_block_that_is_cancelled_has_a_call_that_was(path: Path, tracker: UsageTracker) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with LLMLogger.log_call(**CALL):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    tracker.flush(30)
    assert row(path, "status") == ("cancelled",)


def test_a_timeout_is_one(path: Path, tracker: UsageTracker) -> None:
    with pytest.raises(TimeoutError), LLMLogger.log_call_sync(**CALL):
        raise TimeoutError
    tracker.flush(30)
    assert row(path, "status, error_code, error_message") == ("timeout", "TimeoutError", "TimeoutError")


def test_a_block_that_says_nothing_has_a_call_that_succeeded(path: Path, tracker: UsageTracker) -> None:
    with LLMLogger.log_call_sync(**CALL):
        pass
    tracker.flush(30)
    assert row(path, "status, total_tokens, cost_nano_usd") == ("success", 0, None)


@pytest.mark.parametrize("first", ["complete", "fail"])
@pytest.mark.parametrize("second", ["complete", "fail"])
def test_the_first_end_counts(
    path: Path, tracker: UsageTracker, first: str, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    log_id = LLMLogger.start_sync(**CALL)
    assert getattr(LLMLogger, f"{first}_sync")(log_id, "one") is True
    assert getattr(LLMLogger, f"{second}_sync")(log_id, "two") is False
    tracker.flush(30)
    assert row(path, "status") == ("success" if first == "complete" else "error",)
    assert "has ended already" in caplog.text
    assert count(path) == 1


def test_an_id_that_nobody_began(tracker: UsageTracker) -> None:
    for end in (LLMLogger.complete_sync, LLMLogger.fail_sync):
        with pytest.raises(LLMValidationError, match="no call 'nobody' was begun in this process"):
            end("nobody")


@pytest.mark.parametrize("wrong", [{"tokens": {"prompt_tokens": -1}}, {"tokens": {"prompt_tokens": "7"}}])
def test_a_figure_that_is_none_leaves_the_call_open(path: Path, tracker: UsageTracker, wrong: Any) -> None:
    log_id = LLMLogger.start_sync(**CALL)
    with pytest.raises(LLMValidationError, match="is a number of tokens"):
        LLMLogger.complete_sync(log_id, **wrong)
    assert LLMLogger.complete_sync(log_id, tokens={"prompt_tokens": 1})
    tracker.flush(30)
    assert row(path, "status, input_tokens") == ("success", 1)


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), 1e300, "much"])
def test_a_cost_that_is_none_is_refused(tracker: UsageTracker, cost: Any) -> None:
    log_id = LLMLogger.start_sync(**CALL)
    with pytest.raises(LLMValidationError, match="estimated_cost is an amount of US dollars"):
        LLMLogger.complete_sync(log_id, estimated_cost=cost)
    assert LLMLogger.fail_sync(log_id, "no")


@pytest.mark.parametrize("wrong", [{"provider": ""}, {"model": None}, {"colour": "red"}])
def test_what_a_call_must_say_at_its_beginning(path: Path, tracker: UsageTracker, wrong: dict[str, Any]) -> None:
    with pytest.raises(LLMValidationError):
        LLMLogger.start_sync(**(CALL | wrong))
    tracker.flush(30)
    assert not tracker.begun


async def test_a_pipeline_of_calls(path: Path, tracker: UsageTracker) -> None:
    parent = await LLMLogger.start(**CALL, prompt="Synthesize", trace_id="t1", company_id="c1")
    child = await log_rag_query(
        prompt="Extract", model="gpt-3.5-turbo", parent_call_id=parent, trace_id="t1", tags=["rag"]
    )
    await LLMLogger.complete(child, response="issues", tokens={"total_tokens": 500}, estimated_cost=0.001)
    await LLMLogger.complete(parent, response="answer")
    tracker.flush(30)
    query = (
        "SELECT call_type, parent_call_id, cost_nano_usd, total_tokens FROM llm_calls WHERE trace_id = 't1' ORDER BY id"
    )
    assert ask(path, query) == [("chat", None, None, 0), ("rag_query", parent, 1_000_000, 500)]


def test_the_context_around_is_inherited(path: Path, tracker: UsageTracker) -> None:
    with llmcore.context(trace_id="t9", user_id="u9"), LLMLogger.log_call_sync(**CALL, user_id="mine"):
        pass
    tracker.flush(30)
    assert row(path, "trace_id, user_id") == ("t9", "mine")


def test_a_tracker_of_ones_own(path: Path, tmp_path: Path, tracker: UsageTracker) -> None:
    own = UsageTracker(str(tmp_path / "own.db"))
    log_id = LLMLogger.start_sync(**CALL, tracker=own)
    LLMLogger.complete_sync(log_id, tracker=own)
    own.close()
    assert count(tmp_path / "own.db") == 1
    assert not path.exists()


def test_many_threads_log_at_once(path: Path, tracker: UsageTracker) -> None:
    def work() -> None:
        for _ in range(200):
            LLMLogger.complete_sync(LLMLogger.start_sync(**CALL), tokens=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.flush(30)
    assert ask(path, "SELECT count(*), sum(total_tokens) FROM llm_calls WHERE status = 'success'") == [(1600, 1600)]


# --- usage, however it is told ----------------------------------------------------------------------------------------

TOLD: list[tuple[Any, Usage]] = [
    (None, Usage()),
    (Usage(3, output_text=4), Usage(3, output_text=4)),
    ({"input_tokens": 10, "output_tokens": 4}, Usage(10, output_text=4)),
    (
        {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}},
        Usage(4, cache_read=6, output_text=4),
    ),
    (
        {"prompt_tokens": 1, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 5}},
        Usage(1, output_text=4, reasoning=5),
    ),
    (
        {"input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": 6, "cache_creation_input_tokens": 2},
        Usage(10, cache_read=6, cache_write_5m=2, output_text=4),
    ),
    ({"completion_tokens": 4, "total_tokens": 10}, Usage(6, output_text=4)),
    (7, Usage(7, estimated=True)),
    ({"total_tokens": 7}, Usage(7, estimated=True)),
]


@pytest.mark.parametrize(("told", "meant"), TOLD)
def test_usage_as_others_tell_it(told: Any, meant: Usage) -> None:
    assert usage_of(told) == meant
    if isinstance(told, dict):
        whole = {name: SimpleNamespace(**v) if isinstance(v, dict) else v for name, v in told.items()}
        assert usage_of(SimpleNamespace(**whole)) == meant
