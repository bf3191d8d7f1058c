"""A call that succeeds: what it came to, what it cost."""

from collections.abc import Mapping

import msgspec

from llmcore.flow import Perform
from llmcore.providers.llama import LocalLlamaProvider
from llmcore.types import Failure, LLMCallStatusEnum, Money, Outcome, Reply, ToolCall
from support.flow_bench import SECOND, Bench
from support.scripted import ScriptedProvider, answer


def test_a_call_is_one_request_and_one_response() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 2}})
    flow = bench.flow("hello", call_type="chat", user_id="alice")
    step = flow.go()
    assert isinstance(step, Perform)
    assert step.request.url == "scripted://p1"
    assert msgspec.json.decode(step.request.body) == {"model": "m1", "text": "hello"}
    assert step.timeout == 60.0
    bench.clock.set(2 * SECOND)
    response = flow.ends(answer("hi", 10, 5, model="m1-2024", finish_reason="stop", request_id="r-1"))
    assert (response.content, response.model, response.provider) == ("hi", "m1-2024", "p1")
    assert (response.input_tokens, response.output_tokens) == (10, 5)
    assert response.cost is not None
    assert response.cost.nano_usd == 10 * 1000 + 5 * 2000
    assert (response.attempts, response.status, response.latency_ms) == (1, LLMCallStatusEnum.SUCCESS, 2000.0)
    assert not response.cache_hit
    assert not response.fallback_used
    record = bench.record
    assert record.id == response.call_id
    assert (record.call_type, record.status, record.outcome) == ("chat", LLMCallStatusEnum.SUCCESS, Outcome.OK)
    assert (record.provider, record.model, record.response_model) == ("p1", "m1", "m1-2024")
    assert (record.cost, record.price_source, record.finish_reason) == (20_000, "config", "stop")
    assert (record.context.user_id, record.request_id, record.max_tokens) == ("alice", "r-1", 100)
    assert [attempt.number for attempt in record.attempts] == [1]
    assert record.completed_at - record.created_at == record.latency == 2 * SECOND
    assert bench.rests()


def test_a_response_of_unknown_price_has_no_cost(bench: Bench) -> None:
    flow = bench.flow()
    flow.request()
    assert flow.ends(answer("hi", 10, 5)).cost is None
    assert (bench.record.cost, bench.record.price_source) == (None, None)


def test_the_price_is_that_of_the_model_that_answered() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 1}, "p1/m1-large": {"input": 5, "output": 5}})
    flow = bench.flow()
    flow.request()
    response = flow.ends(answer("hi", 10, 0, model="m1-large"))
    assert response.cost is not None
    assert response.cost.nano_usd == 50_000


def test_the_asked_models_price_stands_in_where_the_answering_one_has_none() -> None:
    bench = Bench(prices={"p1/m1": {"input": 1, "output": 1}})
    flow = bench.flow()
    flow.request()
    response = flow.ends(answer("hi", 10, 0, model="m1-of-tuesday"))
    assert response.cost is not None
    assert response.cost.nano_usd == 10_000


def test_where_nothing_is_charged_a_call_costs_nothing_and_a_budget_lets_it_pass() -> None:
    class Free(ScriptedProvider):
        free = True

    class WithoutAName(LocalLlamaProvider):
        """A server that goes by a name which no table holds."""

        def __init__(self) -> None:
            super().__init__("http://127.0.0.1:9", name="p1")

    bench = Bench(Free("p1"), budgets=[{"limit_usd": 1}])
    flow = bench.flow()
    flow.request()
    response = flow.ends(answer("hi", 10, 5))
    assert response.cost == Money(0)
    assert bench.record.price_source == "free"
    assert Bench(WithoutAName(), budgets=[{"limit_usd": 1}]).flow().request().url.startswith("http://127.0.0.1:9/v1")
    own = Bench(Free("p1"), prices={"p1/m1": {"input": 1, "output": 2}}).flow()  # the power that it draws, say
    own.request()
    assert own.ends(answer("hi", 10, 5)).cost == Money(20_000)


def test_usage_that_was_not_told_is_estimated_and_says_so(bench: Bench) -> None:
    flow = bench.flow("hello", input_tokens=40)
    flow.request()
    response = flow.ends(answer("eight by", estimated=True))
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.estimated) == (40, 2, True)
    assert bench.record.usage == response.usage


def test_usage_that_was_told_is_never_replaced(bench: Bench) -> None:
    flow = bench.flow("hello", input_tokens=40)
    flow.request()
    response = flow.ends(answer("eight by", 3, 4, estimated=True))
    assert (response.usage.input_tokens, response.usage.output_tokens) == (3, 4)


def test_the_headers_of_an_answer_hold_the_next_call_back(bench: Bench) -> None:
    first, second = bench.flow("one"), bench.flow("two")
    first.request()
    first.ends(answer(observe={"remaining_requests": 0, "requests_reset_ms": 4000}))
    second.parks()
    bench.at(4)
    second.request()


def test_tool_calls_reach_the_caller_as_the_model_wrote_them(bench: Bench) -> None:
    class WithTools(ScriptedProvider):
        def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
            reply = super().decode(status, headers, body)
            assert isinstance(reply, Reply)
            reply.tool_calls = [ToolCall("c1", "look_up", '{ "spaces" : 1 }')]
            return reply

    bench = Bench(WithTools("p1"))
    flow = bench.flow()
    flow.request()
    assert flow.ends(answer()).tool_calls == [ToolCall("c1", "look_up", '{ "spaces" : 1 }')]
