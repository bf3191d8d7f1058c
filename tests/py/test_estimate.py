"""What is estimated, what is learned from it, and that both are bounded, whole numbers and the same every time."""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore import LLMClient, Reply, Runtime, Settings, ToolCall, Usage
from llmcore.estimate import TokenEstimator, fill_in
from llmcore.providers.registry import create_provider
from llmcore.types import EmbeddingReply, EmbeddingRequest, LLMRequest
from support.server import Answer, ScriptedServer

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def asked(text: Any, model: str = "gpt-4o", **more: Any) -> LLMRequest:
    return LLMRequest(model, [{"role": "user", "content": text}], **more)


def expected(request: LLMRequest, estimator: TokenEstimator | None = None) -> int:
    return (estimator or TokenEstimator()).prompt(request, 0).expected


def used(tokens: int, **more: Any) -> Usage:
    return Usage(input_uncached=tokens, **more)


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        # Counted by OpenAI's own tokenizer, with the seven tokens that its chat adds.
        (asked("Hello, world!"), 11),
        (asked("The quick brown fox jumps over the lazy dog."), 17),
        (asked("def add(a, b):\n    return a + b\n"), 19),
        (asked("3.14159 and 2024-01-31"), 21),
    ],
)
def test_what_short_texts_come_to(request_: LLMRequest, tokens: int) -> None:
    assert abs(expected(request_) - tokens) <= 3


def test_scripts_weigh_by_their_bytes() -> None:
    latin, cyrillic, han = (expected(asked(text * 20)) for text in ("abcd", "абвг", "漢字漢字"))
    assert latin < cyrillic < han <= 20 * 4 + 20
    assert expected(asked("\ud800")) > 0, "half a character is the encoding's to refuse"


def test_tools_pictures_and_searches_weigh_by_the_piece() -> None:
    estimator = TokenEstimator()
    plain = estimator.prompt(asked("hi"), 0)
    one, two = (estimator.prompt(asked("hi", tools=[TOOL] * count), 0) for count in (1, 2))
    assert plain.expected + 20 < one.expected < two.expected < plain.expected + 100
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": TOOL["function"]}}
    assert expected(asked("hi", response_format=schema)) > plain.expected + 20
    assert expected(asked("hi", response_format={"type": "json_object"})) == plain.expected
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    shown = estimator.prompt(asked([{"type": "text", "text": "hi"}, picture]), 1_000_200)
    assert plain.expected + 100 < shown.expected < 1_000 < shown.upper < 4_000
    paper = {"type": "file", "file": {"file_data": "A" * 1_000_000}}
    assert estimator.prompt(asked([paper]), 1_000_200).upper > 100_000, "a long file may be many pages"
    search = estimator.prompt(asked("hi", tools=[{"type": "web_search"}]), 0)
    assert search.expected < 100 < 5_000 < search.upper
    for name in ("web_search_options", "plugins"):
        assert estimator.prompt(asked("hi", params={name: {}}), 0).upper > 5_000


def test_a_chat_template_is_its_familys() -> None:
    tokens = {model: expected(asked("hi", model)) for model in ("gpt-4o", "openai/gpt-oss-120b", "claude-sonnet-4-5")}
    assert tokens["gpt-4o"] < tokens["claude-sonnet-4-5"] < tokens["openai/gpt-oss-120b"]
    with_tools = expected(asked("hi", "claude-sonnet-4-5", tools=[TOOL]))
    assert with_tools > expected(asked("hi", tools=[TOOL])) + 300
    estimator = TokenEstimator()
    estimate = estimator.prompt(asked("hi"), 0)
    assert estimator.for_model(estimate, "gpt-oss-20b") == estimator.prompt(asked("hi", "gpt-oss-20b"), 0)


def test_bytes_of_no_known_form_are_reserved_for() -> None:
    estimator = TokenEstimator()
    assert estimator.prompt(asked("hi"), 60) == estimator.prompt(asked("hi"), 0)
    assert estimator.prompt(asked("hi"), 30_000).upper > 9_000
    assert estimator.prompt(asked("hi"), 30_000).expected == expected(asked("hi"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "text", "function", "image_url", "name"]) | st.text(), inner)
    ),
    max_leaves=12,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["content", "tool_calls", "function_call", "role"]), JSON)),
    JSON,
    JSON,
    JSON,
    st.integers(0, 1 << 30),
)
def test_any_request_has_an_estimate(
    messages: list[dict[str, Any]], tools: Any, response_format: Any, param: Any, size: int
) -> None:
    params = {"tools": param, "functions": param, "response_format": param}
    request = LLMRequest("m", messages, tools=tools, response_format=response_format, params=params)
    estimate = TokenEstimator().prompt(request, size)
    assert type(estimate.expected) is type(estimate.upper) is int
    assert 0 < estimate.expected < estimate.upper


# --- learning
# --------------------------------------------------------------------------------------------------------------------


def teach(estimator: TokenEstimator, request: LLMRequest, tokens: int, times: int = 1) -> None:
    for _ in range(times):
        estimator.learn(request.model, estimator.prompt(request, 0), used(tokens))


def test_a_constant_of_the_model_is_learned() -> None:
    estimator = TokenEstimator()
    for text, tokens in (("What is this?", 60), ("Tell me something about it, please.", 64), ("Why?", 58)) * 6:
        teach(estimator, asked(text, "new-model"), tokens)
    assert abs(expected(asked("And what is that?", "new-model"), estimator) - 61) <= 4
    assert expected(asked("And what is that?", "other-model"), estimator) == expected(asked("And what is that?"))


def test_a_tokenizer_of_its_own_is_learned_from_long_texts() -> None:
    estimator = TokenEstimator()
    texts = [
        f"Some words in a sentence, as people say them, number {number}. " * (20 + 3 * number) for number in range(10)
    ]
    for text in texts:
        cold = expected(asked(text, "wordy"))
        teach(estimator, asked(text, "wordy"), cold * 15 // 10)
    text = "Another sentence that says other things in other words. " * 30
    assert abs(expected(asked(text, "wordy"), estimator) / expected(asked(text, "wordy")) - 1.5) < 0.08


def test_tools_are_learned_apart_from_texts() -> None:
    estimator = TokenEstimator()
    teach(estimator, asked("hi", "m", tools=[TOOL]), 400, 12)
    assert abs(expected(asked("hi", "m", tools=[TOOL]), estimator) - 400) <= 20
    assert expected(asked("hi", "m"), estimator) < 40


def test_one_exception_moves_little_and_is_reserved_for() -> None:
    estimator = TokenEstimator()
    request = asked("What is the capital of France?")
    teach(estimator, request, 14, 20)
    teach(estimator, request, 5_000)
    estimate = estimator.prompt(request, 0)
    assert estimate.expected < 40
    assert estimate.upper > 4_500
    teach(estimator, request, 14, 100)
    assert estimator.prompt(request, 0).expected == 14
    assert estimator.prompt(request, 0).upper < 1_000


def test_an_absurd_claim_does_not_block_the_next_call() -> None:
    estimator = TokenEstimator()
    teach(estimator, asked("hi"), 1 << 52)
    estimate = estimator.prompt(asked("hi"), 0)
    assert estimate.expected < 100
    assert estimate.upper < 60_000


def test_estimated_usage_and_none_teach_nothing() -> None:
    estimator = TokenEstimator()
    request = asked("hi")
    before = estimator.prompt(request, 0)
    for usage in (used(500, estimated=True), used(0)):
        estimator.learn(request.model, before, usage)
    assert estimator.prompt(request, 0) == before


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({"content": "eight by"}, 2),
        ({"reasoning": "eight by", "refusal": "four"}, 3),
        ({"tool_calls": [ToolCall("call_1", "get_weather", '{"city": "Oslo"}')]}, 4),
        ({}, 1),
    ],
)
def test_an_answer_without_usage_is_never_for_nothing(said: dict[str, Any], tokens: int) -> None:
    reply = msgspec.structs.replace(Reply("", "gpt-4o", used(0, estimated=True)), **said)
    fill_in(TokenEstimator(), reply, asked("hi"), 0)
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens == tokens


def test_vectors_without_usage_cost_their_input_alone() -> None:
    reply = EmbeddingReply("", "m", used(0, estimated=True), vectors=b"", dimensions=0)
    fill_in(TokenEstimator(), reply, EmbeddingRequest("m", ["some text"]), 0)
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens == 0


OBSERVATIONS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.text(max_size=200), st.booleans(), st.integers(1, 1 << 40)), max_size=30
)


@given(OBSERVATIONS)
def test_the_same_observations_give_the_same_whole_numbers(seen: list[tuple[str, str, bool, int]]) -> None:
    one, other = TokenEstimator(), TokenEstimator()
    for estimator in (one, other):
        for model, text, with_tools, tokens in seen:
            teach(estimator, asked(text, model, tools=[TOOL] if with_tools else None), tokens)
    for model in ("a", "b", "c"):
        for tools in (None, [TOOL]):
            estimate = one.prompt(asked("some text", model, tools=tools), 0)
            assert estimate == other.prompt(asked("some text", model, tools=tools), 0)
            assert type(estimate.expected) is type(estimate.upper) is int
            assert 0 < estimate.expected < estimate.upper


def test_it_remembers_the_latest_models_only() -> None:
    estimator = TokenEstimator()
    for number in range(400):
        teach(estimator, asked("hi", f"m{number}"), 100, 3)
        teach(estimator, asked("hi", "kept"), 100 + number % 2 * 20)
    cold = expected(asked("hi"))
    assert expected(asked("hi", "m0"), estimator) == expected(asked("hi", "m100"), estimator) == cold
    assert expected(asked("hi", "m399"), estimator) > 2 * cold
    assert expected(asked("hi", "kept"), estimator) > 2 * cold


def test_threads_may_teach_at_once() -> None:
    estimator = TokenEstimator()

    def work(number: int) -> None:
        for at in range(300):
            teach(estimator, asked("hi", f"m{at % 200}"), 40 + number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(20 < expected(asked("hi", f"m{at}"), estimator) < 80 for at in range(200))


def test_calls_teach_the_runtimes_estimator() -> None:
    with ScriptedServer(lambda request: Answer.chat(body={"prompt_tokens": 90})) as server:
        settings = Settings(
            provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url, ledger={"url": "none"}
        )
        runtime = Runtime(settings)
        client = LLMClient(model="some-model", runtime=runtime)
        messages = [{"role": "user", "content": "Hello"}]
        before = client.count_tokens(messages)
        assert before < 20 < client.count_tokens(messages, tools=[TOOL])
        for _ in range(5):
            client.complete(messages)
        assert abs(client.count_tokens(messages) - 90) <= 5
        assert client.estimate_cost(messages).input_tokens == client.count_tokens(messages)
        assert client.count_tokens(messages, model="another") == before
        runtime.close()


# --- recorded calls
# --------------------------------------------------------------------------------------------------------------------

FOLDER = os.environ.get("LLMCORE_RECORDED", "")
recorded = pytest.mark.skipif(not FOLDER, reason="LLMCORE_RECORDED names no folder with recorded provider traffic")


def lines() -> Iterator[tuple[LLMRequest, int, int]]:
    """(request, bytes of its body, prompt tokens) of each recorded chat call whose answer tells its usage."""
    provider = create_provider("openai", Settings())
    for line in (Path(FOLDER) / "chat.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["status"] != 200:
            continue
        body = row["body"].encode()
        if row["stream"]:
            decoder = provider.stream_decoder(row["headers"])
            decoder.feed(body)
            said = decoder.finish()
        else:
            said = provider.decode(200, row["headers"], body)
        if not isinstance(said, Reply) or said.usage.estimated or not said.usage.input_tokens:
            continue
        asked_for = row["request"]
        params = {key: value for key, value in asked_for.items() if key not in {"messages", "model", "stream"}}
        request = LLMRequest(asked_for["model"], asked_for["messages"], params=params)
        yield request, len(json.dumps(asked_for, ensure_ascii=False).encode()), said.usage.input_tokens


def off(estimate: int, tokens: int) -> float:
    return abs(estimate - tokens) / tokens


@recorded
def test_recorded_prompts_are_estimated_well(capsys: pytest.CaptureFixture[str]) -> None:
    cold, taught, seen = TokenEstimator(), TokenEstimator(), Counter[str]()
    at_first, later, held, held_taught = [], [], 0, 0
    calls = list(lines())
    for request, size, tokens in calls:
        estimate = cold.prompt(request, size)
        at_first.append(off(estimate.expected, tokens))
        held += estimate.upper >= tokens
        estimate = taught.prompt(request, size)
        held_taught += estimate.upper >= tokens
        if seen[request.model] >= 20:
            later.append(off(estimate.expected, tokens))
        taught.learn(request.model, estimate, used(tokens))
        seen[request.model] += 1
    # And every model after twenty calls, those of which there are fewer again and again.
    after = []
    for model in seen:
        of_model = [call for call in calls if call[0].model == model]
        estimator = TokenEstimator()
        for number in range(20):
            request, size, tokens = of_model[number % len(of_model)]
            estimator.learn(model, estimator.prompt(request, size), used(tokens))
        after += [off(estimator.prompt(request, size).expected, tokens) for request, size, tokens in of_model]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(calls)} recorded prompts: off by {median(at_first):.1%} (median) at first, "
            f"{median(later or [0.0]):.1%} on calls after the 20th of a model ({len(later)}), "
            f"{median(after):.1%} with 20 calls of each; upper bound holds for {held / len(calls):.1%} at first, "
            f"{held_taught / len(calls):.1%} while learning\n"
        )
    assert len(calls) > 20
    assert median(at_first) < 0.12
    assert not later or median(later) < 0.06
    assert median(after) < 0.06
    assert held >= 0.99 * len(calls)
    assert held_taught >= 0.99 * len(calls)
