"""Answers of a real server through both clients and every provider that can speak to it: whole and streamed, how they
end, what they used and what that costs.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

import pytest

from llmcore import (
    AsyncLLMClient,
    CallRecord,
    Chunk,
    ConversationMemory,
    LLMBadRequestError,
    LLMContextLengthError,
    LLMResponse,
    LLMValidationError,
)
from llmcore.providers.llama import LocalLlamaProvider
from llmcore.runtime import Runtime
from llmcore.types import LLMCallStatusEnum, Outcome
from support.either import Either
from support.llama_server import LlamaServer

PROVIDERS = ("openai", "openai-responses", "anthropic", "llama")
HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say something."}]
LONG = [{"role": "user", "content": "word " * 2_000}]
FIXED: Any = {"temperature": 0.0}


def records(runtime: Runtime) -> list[CallRecord]:
    found: list[CallRecord] = runtime.sink.records  # type: ignore[attr-defined]
    return found


def comes_to(response: LLMResponse) -> int:
    """What its tokens cost by the prices of the conftest, in nano-USD."""
    if response.provider == "llama":
        return 0
    uncached = response.input_tokens - response.cached_tokens
    return uncached * 1_000 + response.cached_tokens * 100 + response.output_tokens * 2_000


def end_of(provider: str) -> str:
    """What a server calls an answer that was cut by max_tokens; as Responses this one calls it completed."""
    return "stop" if provider == "openai-responses" else "length"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_is_counted_and_priced(either: Either, provider: str) -> None:
    response = either.complete(provider, HELLO, max_tokens=24)
    assert (response.provider, response.model, response.attempts) == (provider, "tiny", 1)
    assert (response.finish_reason, response.output_tokens) == (end_of(provider), 24)
    assert len(response.content) >= 24  # a token is a letter, at the least
    assert response.input_tokens > sum(len(said["content"]) for said in HELLO)
    assert response.cost is not None
    assert response.cost.nano_usd == comes_to(response)
    [record] = records(either.runtime)
    assert (record.status, record.cost) == (LLMCallStatusEnum.SUCCESS, response.cost.nano_usd)
    assert record.usage is not None
    assert not record.usage.estimated


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_comes_to_the_same(either: Either, provider: str) -> None:
    first = either.complete(provider, HELLO, max_tokens=24, **FIXED)
    whole = either.complete(provider, HELLO, max_tokens=24, **FIXED)
    chunks: list[Chunk] = []
    streamed = either.read(provider, HELLO, chunks, max_tokens=24, **FIXED)
    assert len(chunks) > 10
    assert "".join(chunk.text for chunk in chunks) == streamed.content == whole.content == first.content
    assert streamed.finish_reason == whole.finish_reason
    # What the server has in its own cache is told beside the prompt by one API and inside of it by the others.
    assert whole.cached_tokens > 0
    assert streamed.input_tokens == whole.input_tokens == first.input_tokens
    assert streamed.output_tokens == whole.output_tokens == 24
    assert streamed.cost is not None
    assert streamed.cost.nano_usd == comes_to(streamed)
    record = records(either.runtime)[-1]
    assert 0 < record.first_token < record.latency


@pytest.mark.parametrize("provider", ["openai", "llama", "anthropic"])
def test_an_answer_stops_at_a_word(either: Either, provider: str) -> None:
    whole = either.complete(provider, HELLO, max_tokens=40, **FIXED).content
    word = whole[10:13]
    stopped = either.complete(provider, HELLO, max_tokens=40, stop=[word], **FIXED)
    assert stopped.content == whole[: whole.index(word)]
    assert stopped.finish_reason == "stop"
    streamed = either.read(provider, HELLO, [], max_tokens=40, stop=[word], **FIXED)
    assert (streamed.content, streamed.finish_reason) == (stopped.content, "stop")


def test_what_an_api_has_no_word_for_is_not_sent(either: Either) -> None:
    with pytest.raises(LLMValidationError, match="stop"):
        either.complete("openai-responses", HELLO, stop=["."])
    assert either.runtime.stats()["attempts"] == 0


@pytest.mark.parametrize("provider", ["openai", "llama"])
def test_an_answer_has_the_form_of_a_schema(either: Either, provider: str) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Lisbon", "Rome"]}, "days": {"type": "integer", "maximum": 9, "minimum": 1}},
        "required": ["city", "days"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema}}
    chunks: list[Chunk] = []
    for response in (
        either.complete(provider, HELLO, max_tokens=100, response_format=form),
        either.read(provider, HELLO, chunks, max_tokens=100, response_format=form),
    ):
        found = json.loads(response.content)
        assert (found["city"] in ("Lisbon", "Rome"), found["days"] in range(1, 10)) == (True, True)
        assert response.finish_reason == "stop"
    assert len(chunks) > 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_prompt_that_is_too_long_is_told_at_once(either: Either, provider: str) -> None:
    for call in (either.complete, lambda name, said: either.read(name, said, [])):
        with pytest.raises(LLMContextLengthError, match="context size") as caught:
            call(provider, LONG)
        assert (caught.value.outcome, caught.value.attempts) == (Outcome.CONTEXT_LENGTH, 1)
        assert (caught.value.status, caught.value.code) == (400, "exceed_context_size_error")
        assert caught.value.partial is None
    assert [record.status for record in records(either.runtime)] == [LLMCallStatusEnum.ERROR] * 2
    assert [record.cost for record in records(either.runtime)] == [0, 0]
    # It is the caller's mistake: the provider is as well as before.
    assert either.runtime.stats()["providers"][provider]["health"] == "healthy"
    assert either.runtime.stats()["retries"] == 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_conversation_goes_on(either: Either, provider: str) -> None:
    memory = ConversationMemory("Be brief.")
    told = 0
    for said in ("Hello.", "And now?", "Why?"):
        answer = either.call("chat", provider, memory, said, max_tokens=12)
        assert answer.input_tokens > told + 12  # what it said itself is in there
        told = answer.input_tokens
    assert [message["role"] for message in memory.turn("So?")] == ["system", *["user", "assistant"] * 3, "user"]


def test_an_answer_that_does_not_fit_is_cut(either: Either) -> None:
    response = either.complete("llama", HELLO, max_tokens=5_000)
    assert response.finish_reason == "length"
    assert response.total_tokens == 1_024  # the server's context


def test_what_the_server_refuses_is_not_repeated(either: Either) -> None:
    with pytest.raises(LLMBadRequestError, match="n") as caught:
        either.complete("openai", HELLO, n=50)
    assert (caught.value.attempts, caught.value.status) == (1, 400)


def test_it_is_well_and_names_its_model(runtime: Runtime, server: LlamaServer) -> None:
    llama = LocalLlamaProvider(server.url)
    answer = runtime.transport.send(llama.health(), 5.0)
    assert llama.is_healthy(answer.status, answer.headers, answer.body) is True
    answer = runtime.transport.send(llama.models(), 5.0)
    assert llama.model_names(answer.status, answer.headers, answer.body) == ["tiny"]


def test_equal_calls_are_one(runtime: Runtime) -> None:
    async def all_at_once() -> list[LLMResponse]:
        client = AsyncLLMClient("openai", "tiny", runtime=runtime)
        return await asyncio.gather(*(client.complete(HELLO, max_tokens=100, cache=True) for _ in range(10)))

    answers = asyncio.run(all_at_once())
    answers += asyncio.run(all_at_once())
    assert len({answer.content for answer in answers}) == 1
    assert runtime.stats()["attempts"] == 1
    paid = [record.cost for record in records(runtime) if record.cost]
    assert paid == [comes_to(answers[0])]


def test_more_calls_than_it_has_places(runtimes: Callable[..., Runtime], server: LlamaServer) -> None:
    runtime = runtimes({"llama": server}, limits={"max_in_flight": 2})

    async def all_at_once() -> list[LLMResponse]:
        client = AsyncLLMClient("llama", "tiny", runtime=runtime)
        streams = [client.stream(HELLO, max_tokens=60).finish() for _ in range(10)]
        return await asyncio.gather(*streams, *(client.complete(HELLO, max_tokens=60) for _ in range(10)))

    assert [answer.output_tokens for answer in asyncio.run(all_at_once())] == [60] * 20
    assert len(records(runtime)) == 20


@pytest.mark.parametrize("provider", ["openai", "llama"])
def test_vectors_come_in_their_order(
    folder: Any, talker: Any, runtimes: Callable[..., Runtime], kind: Literal["sync", "async"], provider: str
) -> None:
    np = pytest.importorskip("numpy")
    with LlamaServer(talker, folder, embeddings=True) as server:
        either = Either(kind, runtimes({provider: server}), "tiny")
        found = either.call("embed", provider, ["one", "another", "one"])
        vectors = found.vectors
        assert (vectors.shape, vectors.dtype) == ((3, 64), np.float32)
        assert np.allclose(vectors[0], vectors[2], atol=1e-5)
        assert not np.allclose(vectors[0], vectors[1], atol=1e-2)
        assert found.input_tokens == len("oneanotherone") - 1  # "th" is one token of this model


def test_who_has_no_vectors_says_so(either: Either) -> None:
    with pytest.raises(LLMBadRequestError, match="embeddings") as caught:
        either.call("embed", "llama", "one")
    assert (caught.value.status, caught.value.attempts) == (501, 1)  # it will not learn it
