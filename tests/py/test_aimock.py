"""Every kind of call against aimock, a fake of the providers that others wrote: what they take to be OpenAI's,
Anthropic's, Azure's, Ollama's and OpenRouter's APIs is what this library speaks.
"""

import time
from decimal import Decimal
from typing import Any, Literal, Self

import pytest
from pydantic import BaseModel

from llmcore import (
    AsyncLLMClient,
    CostCalculator,
    LLMClient,
    LLMConnectionError,
    LLMError,
    LLMRateLimitError,
    LLMServerError,
    LLMTimeoutError,
    Runtime,
    Settings,
)
from support.aimock import Aimock
from support.scripted import ListSink

#: where each API lies on the fake, and a model of it
APIS = {
    "openai": ("/v1", "gpt-4o-mini"),
    "openai-responses": ("/v1", "gpt-4o-mini"),
    "anthropic": ("", "claude-sonnet-4-5"),
    "azure": ("", "gpt-4o-mini"),
    "openrouter": ("/api/v1", "openai/gpt-4o-mini"),
    "ollama": ("/api", "llama3.2"),
}
THREE = ("openai", "openai-responses", "anthropic")
HELLO = "Hello, and a good day to everybody who reads this."


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


class Bench:
    """A client of one API, its runtime and its ledger."""

    def __init__(self, fake: Aimock, name: str = "openai", model: str | None = None, **settings: Any) -> None:
        path, usual = APIS[name]
        own = {name: {"base_url": fake.url + path, "api_key": "sk-for-aimock"}}
        retry = {"base_delay": 0.01, "jitter": 0, **settings.pop("retry", {})}
        self.sink = ListSink()
        chosen = Settings(provider=name, model=model or usual, providers=own, retry=retry, **settings)
        self.runtime = Runtime(chosen, tracker=self.sink)
        self.client = LLMClient(runtime=self.runtime)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        stats = self.runtime.stats()
        assert self.runtime.check() == ""
        assert set(stats["reserved"].values()) == {0}
        assert all(lane["limiter"]["in_flight"] == 0 for lane in stats["lanes"])
        self.runtime.close()


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", APIS)
def test_an_answer_and_its_stream_are_the_same(aimock: Aimock, name: str) -> None:
    with Bench(aimock, name) as bench:
        answer = bench.client.complete(ask("Say hello"))
        with bench.client.stream(ask("Say hello")) as stream:
            chunks = [chunk.text for chunk in stream]
            streamed = stream.response
    assert answer.content == streamed.content == "".join(chunks) == HELLO
    assert len([text for text in chunks if text]) > 1
    assert answer.finish_reason == streamed.finish_reason == "stop"
    assert answer.usage == streamed.usage
    assert answer.cost == streamed.cost
    if name == "ollama":  # of which the fake counts nothing
        assert answer.usage.estimated
        assert answer.output_tokens > 0
        assert answer.cost is not None
        assert answer.cost.nano_usd == 0
    else:
        assert (answer.input_tokens, answer.output_tokens, answer.usage.estimated) == (12, 11, False)
        assert answer.cost == CostCalculator().cost(name, APIS[name][1], answer.usage)
    first, second = aimock.journal()
    assert first["headers"]["x-request-id"] == answer.request_id
    assert second["headers"]["x-request-id"] == streamed.request_id
    assert [record.reported_cost for record in bench.sink.records] == [2_100_000 if name == "openrouter" else None] * 2


@pytest.mark.parametrize("name", THREE)
async def test_the_async_client_gets_the_same(aimock: Aimock, name: str) -> None:
    bench = Bench(aimock, name)
    async with bench.runtime:
        client = AsyncLLMClient(runtime=bench.runtime)
        answer = await client.complete(ask("Say hello"))
        async with client.stream(ask("Say hello")) as stream:
            text = "".join([chunk.text async for chunk in stream])
    assert answer.content == text == HELLO
    assert answer.usage == stream.response.usage


@pytest.mark.parametrize(
    ("name", "model"), [("openai", "o3"), ("openai-responses", "o3"), ("anthropic", "claude-sonnet-4-5")]
)
def test_reasoning_comes_apart_from_the_answer(aimock: Aimock, name: str, model: str) -> None:
    with Bench(aimock, name, model) as bench:
        answer = bench.client.complete(ask("Think first"))
        with bench.client.stream(ask("Think first")) as stream:
            thoughts = "".join(chunk.reasoning for chunk in stream)
    assert answer.content == stream.response.content == "Forty-two."
    assert answer.reasoning == thoughts == "Six times seven is more than forty, and less than fifty."


@pytest.mark.parametrize("name", [*THREE, "azure", "ollama"])
def test_a_model_calls_a_function_and_answers_with_what_it_says(aimock: Aimock, name: str) -> None:
    asked: list[tuple[str, str]] = []

    def weather(city: str, unit: Literal["C", "F"]) -> dict[str, Any]:
        """The weather of a city."""
        asked.append((city, unit))
        return {"degrees": 4}

    with Bench(aimock, name) as bench:
        run = bench.client.run_tools(ask("How warm is it in Oslo?"), [weather])
    assert asked == [("Oslo", "C")]
    assert run.content == "It is 4 degrees in Oslo."
    assert len(run.calls) == len(bench.sink.records) == len(aimock.journal()) == 2


@pytest.mark.parametrize("name", [*THREE, "azure"])
def test_an_answer_is_held_to_a_schema_or_asked_for_again(aimock: Aimock, name: str) -> None:
    class City(BaseModel):
        name: str
        people: int

    with Bench(aimock, name) as bench:
        found = bench.client.complete_structured(ask("Which city is the largest?"), City)
    assert found.value == City(name="Tokyo", people=37_400_068)
    # Of schemas the fake knows those of Chat Completions alone, and answers the others in prose at first.
    assert len(found.calls) == len(aimock.journal()) == (1 if name in ("openai", "azure") else 2)


@pytest.mark.parametrize("name", ["openai", "openai-responses", "azure", "ollama"])
def test_texts_become_vectors(aimock: Aimock, name: str) -> None:
    model = "nomic-embed-text" if name == "ollama" else "text-embedding-3-small"
    with Bench(aimock, name) as bench:
        known = bench.client.embed("a known text", model=model)
        # Of Ollama's API the fake knows one text at a time.
        texts = ["one text"] if name == "ollama" else ["one text", "another text"]
        others = bench.client.embed(texts, model=model)
    assert known.vectors.tolist() == [[0.5, -0.25, 1.0, 0.0]]
    assert others.vectors.shape[0] == len(texts)
    assert others.vectors.shape[1] > 100
    assert len({tuple(vector) for vector in others.vectors.tolist()}) == len(texts)
    assert all(record.cost is not None for record in bench.sink.records)


def test_pictures_come_as_places_and_as_bytes(aimock: Aimock) -> None:
    with Bench(aimock) as bench:
        two = bench.client.generate_image("two red squares", model="dall-e-2", n=2, size="256x256")
        one = bench.client.generate_image("a red square", model="dall-e-2", size="256x256")
    assert [image.url for image in two.images] == ["https://example.com/1.png", "https://example.com/2.png"]
    assert one.images[0].data == b"\x89PNG\r\n\x1a\n"
    assert two.cost is not None
    assert one.cost is not None
    assert two.cost.dollars == 2 * one.cost.dollars == Decimal("0.032")


# --- refusals and faults ----------------------------------------------------------------------------------------------


def test_a_429_waits_as_long_as_it_says(aimock: Aimock) -> None:
    # Limits of one's own, as what the fake says to be left is nothing, for six minutes.
    with Bench(aimock, limits={"requests_per_minute": 600_000, "tokens_per_minute": 10**9}) as bench:
        began = time.monotonic()
        answer = bench.client.complete(ask("Too soon, openai"))
        waited = time.monotonic() - began
    assert (answer.content, answer.attempts) == ("Now it is time.", 2)
    assert 1.0 <= waited < 3.0
    assert [entry["response"]["status"] for entry in aimock.journal()] == [429, 200]
    assert [attempt.outcome.name for attempt in bench.sink.records[0].attempts] == ["RATE_LIMITED", "OK"]


@pytest.mark.parametrize("name", THREE)
def test_a_429_that_asks_for_an_hour_is_not_waited_for(aimock: Aimock, name: str) -> None:
    with Bench(aimock, name) as bench:
        with pytest.raises(LLMRateLimitError) as refused:
            bench.client.complete(ask("Never now"))
        fallback = LLMClient(runtime=bench.runtime, fallbacks=("offline",)).complete(ask("Never now"))
        left = bench.runtime.stats()["lanes"][0]["limiter"]
    assert (refused.value.retry_after, refused.value.attempts) == (3600, 1)
    assert (fallback.provider, fallback.fallback_used) == ("offline", True)
    assert len(aimock.journal()) == 1  # the lane is closed: nobody asks for the second call
    assert left["paused_until"] is not None
    if name != "anthropic":  # whose headers have names of their own
        assert (left["available_requests"], left["available_tokens"]) == (0, 0)


def test_a_503_is_tried_again(aimock: Aimock) -> None:
    with Bench(aimock) as bench:
        answer = bench.client.complete(ask("Wake up"))
    assert (answer.content, answer.attempts) == ("Awake.", 2)
    assert [entry["response"]["status"] for entry in aimock.journal()] == [503, 200]


@pytest.mark.parametrize("name", [*THREE, "ollama"])
def test_a_stream_that_is_cut_raises_with_what_came_and_is_billed(aimock: Aimock, name: str) -> None:
    texts: list[str] = []
    with Bench(aimock, name) as bench:
        stream = bench.client.stream(ask("Break off"))
        with pytest.raises(LLMConnectionError) as broken:
            texts.extend(chunk.text for chunk in stream)
    (record,) = bench.sink.records
    assert "".join(texts)
    assert broken.value.partial is not None
    assert broken.value.partial.content == "".join(texts)
    assert "One two three four five six seven".startswith("".join(texts)[:33])
    assert record.usage is not None
    assert record.usage.estimated
    assert record.usage.output_tokens > 0
    assert record.cost is not None
    assert record.cost > 0 or name == "ollama"
    (entry,) = aimock.journal()  # what has reached the user is not asked for again
    assert entry["response"]["interrupted"]


def test_a_slow_stream_is_read_as_it_comes(aimock: Aimock) -> None:
    with Bench(aimock) as bench:
        began = time.monotonic()
        with bench.client.stream(ask("Take your time")) as stream:
            arrived = [time.monotonic() - began for chunk in stream if chunk.text]
    (record,) = bench.sink.records
    assert len(arrived) == 3
    assert 0.1 <= record.first_token / 1e9 <= arrived[0] + 0.01
    assert arrived[-1] - arrived[0] >= 0.03


@pytest.mark.parametrize("streamed", [False, True])
def test_a_deadline_ends_what_is_slower(aimock: Aimock, streamed: bool) -> None:
    with Bench(aimock) as bench:
        aimock.chaos(latencyMs=5_000)
        call = (
            bench.client.complete if not streamed else lambda *args, **more: bench.client.stream(*args, **more).finish()
        )
        began = time.monotonic()
        with pytest.raises(LLMTimeoutError):
            call(ask("Say hello"), deadline=0.2)
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("dropRate", LLMServerError), ("malformedRate", LLMServerError), ("disconnectRate", LLMConnectionError)],
)
@pytest.mark.parametrize("name", THREE)
def test_a_fault_of_every_attempt_is_the_error_that_it_is(
    aimock: Aimock, name: str, fault: str, expected: type[LLMError]
) -> None:
    with Bench(aimock, name, retry={"max_attempts": 2}, health={"breaker_errors": 100}) as bench:
        aimock.chaos(**{fault: 1.0})
        with pytest.raises(expected) as raised:
            bench.client.complete(ask("Say hello"))
        with pytest.raises(expected):
            bench.client.stream(ask("Say hello")).finish()
        aimock.reset()
        assert bench.client.complete(ask("Say hello")).content == HELLO
    assert raised.value.attempts == 2
    assert [len(record.attempts) for record in bench.sink.records] == [2, 2, 1]
