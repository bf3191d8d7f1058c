"""What a call will cost, before it is made and while it is under way."""

import asyncio
from typing import Any

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.arguments import most_output
from llmcore.client import LLMClient
from llmcore.errors import BudgetExceededError, LLMError
from llmcore.runtime import Runtime
from llmcore.types import LLMRequest, Money, Outcome
from support.runtimes import NOTHING, PRICE, EchoTransport, runtime_of
from support.scripted import ListSink, ScriptedTransport, ask, failure, settings_of


def test_an_estimate_prices_the_expected_and_the_worst_case_without_a_call() -> None:
    runtime = runtime_of(prices=PRICE)
    client = LLMClient("p1", "m1", runtime=runtime)
    estimate = client.estimate_cost([{"role": "user", "content": "x" * 4000}], max_tokens=500)
    assert (estimate.provider, estimate.model, estimate.max_output_tokens) == ("p1", "m1", 500)
    assert estimate.input_tokens == 3 + 4 + 4000 * 190 // 1000
    assert estimate.expected is not None
    assert estimate.worst_case is not None
    assert estimate.expected == Money(estimate.input_tokens * 1000 + 500 * 2000)
    assert estimate.worst_case > estimate.expected
    assert estimate.price_source == "config"
    assert runtime.stats()["submitted"] == 0


def test_an_estimate_of_an_unknown_model_has_tokens_and_no_price() -> None:
    estimate = LLMClient("p1", "m1", runtime=runtime_of(prices=PRICE)).estimate_cost(ask("hello"), model="m9")
    assert (estimate.model, estimate.expected, estimate.worst_case, estimate.price_source) == ("m9", None, None, None)
    assert estimate.input_tokens > 0
    assert estimate.max_output_tokens == 2800


def test_an_estimate_needs_no_key() -> None:
    runtime = Runtime(settings_of(), tracker=ListSink(), transport=EchoTransport())
    estimate = LLMClient("openai", "gpt-4o-mini", runtime=runtime).estimate_cost(ask("hello"))
    assert estimate.expected is not None
    assert estimate.expected.nano_usd > 0


@pytest.mark.parametrize(
    ("params", "most"),
    [
        ({"n": 3}, 300),
        ({"n": 3, "max_completion_tokens": 50}, 150),
        ({"n": 0, "max_completion_tokens": -5}, 100),
        ({"n": True, "max_completion_tokens": "many"}, 100),
        ({"n": 10**30}, 1 << 40),
    ],
)
def test_the_worst_case_is_every_answer_at_its_limit(params: dict[str, Any], most: int) -> None:
    assert most_output(LLMRequest("m1", ask("hello"), max_tokens=100, params=params)) == most


def test_a_budget_sets_aside_every_answer_that_is_asked_for() -> None:
    runtime = runtime_of(budgets=[{"limit_usd": 0.0007}], prices=PRICE)  # 300 output tokens and a short prompt
    client = LLMClient("p1", "m1", runtime=runtime)
    with pytest.raises(BudgetExceededError):
        client.complete(ask("hello"), max_tokens=100, n=4)
    assert client.complete(ask("hello"), max_tokens=100, n=3).content == "echo"


def test_statistics_are_zero_at_rest_and_say_what_is_held_while_busy() -> None:
    transport = ScriptedTransport()
    runtime = runtime_of(transport=transport, budgets=[{"limit_usd": 1}], prices=PRICE)
    client = AsyncLLMClient("p1", "m1", runtime=runtime)

    async def look() -> None:
        task = asyncio.create_task(client.complete(ask("hello"), max_tokens=100))
        await asyncio.sleep(0)
        held = client.stats()
        assert (held["in_flight"], held["reserved"]["requests"]) == (1, 1)
        assert held["reserved"]["tokens"] > 100
        assert held["reserved"]["nano_usd"] > 100 * 2000
        transport.open[0].answer(failure(Outcome.BAD_REQUEST))
        with pytest.raises(LLMError):
            await task

    asyncio.run(look())
    rest = runtime.stats()
    assert (rest["in_flight"], rest["queued"], rest["reserved"]) == (0, 0, NOTHING)
