"""Vectors and pictures: the same way through the engine as a chat completion."""

import json
import struct
import sys
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from llmcore import (
    AsyncLLMClient,
    BudgetExceededError,
    EmbeddingResponse,
    ImageResponse,
    LLMBadRequestError,
    LLMClient,
    LLMConfigError,
    LLMError,
    LLMServerError,
    LLMTimeoutError,
    LLMValidationError,
    Runtime,
    Settings,
)
from llmcore.clock import ManualClock
from llmcore.embeddings import batches
from llmcore.types import LLMCallStatusEnum
from support.scripted import ListSink
from support.server import Answer, Request, ScriptedServer

PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")


def vectors_for(texts: list[str], dimensions: int = 3, **more: Any) -> Answer:
    """An answer as OpenAI's, the last vector first: the index says where each belongs."""
    data = [
        {"object": "embedding", "index": n, "embedding": b64encode(array("f", [len(text)] * dimensions)).decode()}
        for n, text in enumerate(texts)
    ]
    tokens = sum(map(len, texts))
    body: dict[str, Any] = {"object": "list", "data": data[::-1], "model": "text-embedding-3-small"}
    body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Answer(body=json.dumps(body | more).encode())


def packed(number: float) -> str:
    return b64encode(struct.pack("<f", number)).decode()


def embedding_server(request: Request) -> Answer:
    return vectors_for(request.json["input"], request.json.get("dimensions") or 3)


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(embedding_server) as running:
        yield running


def runtime_at(server: ScriptedServer, sink: ListSink, **settings: Any) -> Runtime:
    made = Settings(provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url, **settings)
    return Runtime(made, tracker=sink)


# --- embeddings -------------------------------------------------------------------------------------------------------


def test_vectors_come_in_the_order_of_the_inputs(server: ScriptedServer, sink: ListSink) -> None:
    with runtime_at(server, sink) as runtime:
        answer = LLMClient(runtime=runtime).embed(["a", "bbb", "cc"], user_id="ada")

    assert type(answer) is EmbeddingResponse
    assert answer.vectors.dtype == np.float32
    assert answer.vectors.tolist() == [[1.0] * 3, [3.0] * 3, [2.0] * 3]
    assert (len(answer), answer.dimensions, answer.calls) == (3, 3, ())
    assert (answer.input_tokens, answer.output_tokens) == (6, 0)
    assert answer.cost is not None
    assert answer.cost.nano_usd == 6 * 20  # $0.02 for a million
    asked = server.requests[0]
    assert asked.path == "/v1/embeddings"
    assert asked.json == {"input": ["a", "bbb", "cc"], "model": "text-embedding-3-small", "encoding_format": "base64"}
    (record,) = sink.records
    assert (record.call_type, record.context.user_id, record.cost) == ("embedding", "ada", 120)
    assert sink.texts[0] is not None
    assert sink.texts[0].messages == [{"role": "user", "content": text} for text in ("a", "bbb", "cc")]


async def test_the_async_client_gives_the_same(server: ScriptedServer, sink: ListSink) -> None:
    runtime = runtime_at(server, sink)
    client = AsyncLLMClient(runtime=runtime)
    answer = await client.embed("one text", dimensions=5, model="text-embedding-3-large")
    await runtime.aclose()

    assert answer.vectors.shape == (1, 5)
    assert server.requests[0].json["model"] == "text-embedding-3-large"


def test_too_many_inputs_go_out_in_several_calls_of_one_family(server: ScriptedServer, sink: ListSink) -> None:
    inputs = ["x" * (n % 7 + 1) for n in range(5_000)]
    with runtime_at(server, sink) as runtime:
        answer = LLMClient(runtime=runtime).embed(inputs)
        assert runtime.check() == ""

    assert [len(request.json["input"]) for request in server.requests] == [2048, 2048, 904]
    assert answer.vectors[:, 0].tolist() == [float(len(text)) for text in inputs]
    assert [len(call) for call in answer.calls] == [2048, 2048, 904]
    assert answer.input_tokens == sum(map(len, inputs))
    assert answer.cost is not None
    assert answer.cost.nano_usd == sum(record.cost or 0 for record in sink.records)
    assert answer.attempts == 3
    first, *others = sink.records
    assert answer.call_id == first.id
    assert first.context.parent_call_id is None
    assert [record.context.parent_call_id for record in others] == [first.id] * 2


def test_inputs_are_shared_out_by_their_tokens_too() -> None:
    assert batches(["a", "b", "c"], [1, 1, 1], 2, 100) == [["a", "b"], ["c"]]
    assert batches(["a", "b", "c"], [60, 50, 40], 10, 100) == [["a"], ["b", "c"]]
    assert batches(["a", "b"], [500, 1], 10, 100) == [["a"], ["b"]]  # one that is too large goes alone
    assert batches(["a"], [1], 1, 1) == [["a"]]


def test_there_is_one_deadline_for_all_calls_together(sink: ListSink) -> None:
    clock = ManualClock()

    def slow(request: Request) -> Answer:
        clock.set(40 * 10**9)
        return embedding_server(request)

    with ScriptedServer(slow) as server:
        made = Settings(provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url)
        with (
            Runtime(made, tracker=sink, clock=clock) as runtime,
            pytest.raises(LLMTimeoutError, match=r"2,048 of 5,000 inputs .* deadline of 30 s"),
        ):
            LLMClient(runtime=runtime).embed(["x"] * 5_000, deadline=30.0)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([], "non-empty list"),
        ([""], r"inputs\[0\]"),
        (["a", 5], r"inputs\[1\]"),
        ({"a": 1}, "non-empty list"),
        (None, "list"),
    ],
)
def test_inputs_that_make_no_sense_are_refused_before_anything_is_sent(inputs: Any, told: str, sink: ListSink) -> None:
    with LLMClient("offline", tracker=sink) as client, pytest.raises(LLMValidationError, match=told):
        client.embed(inputs)
    assert sink.records == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"data": []}, "holds"),
        ({"data": [{"index": 0, "embedding": [1.0, 2.0]}]}, "1 vectors for 2 inputs"),
        ({"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]}, "neither"),
        ({"data": [{"index": 0, "embedding": "!"}, {"index": 1, "embedding": "!"}]}, "neither"),
        (
            {"data": [{"index": n, "embedding": b64encode(struct.pack("<f", float("nan"))).decode()} for n in (0, 1)]},
            "none",
        ),
        (
            {"data": [{"index": n, "embedding": b64encode(struct.pack("<f", float("inf"))).decode()} for n in (0, 1)]},
            "none",
        ),
        ({"data": [{"url": "http://x/a.png"}, {"url": "http://x/b.png"}]}, "no vectors"),
        ({"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}, "no vectors"),
    ],
)
def test_an_answer_that_holds_no_such_vectors_is_a_typed_error(body: dict[str, Any], told: str, sink: ListSink) -> None:
    def answer(request: Request) -> Answer:
        return Answer(body=json.dumps(body).encode())

    with ScriptedServer(answer) as server, runtime_at(server, sink, retry={"max_attempts": 1}) as runtime:
        with pytest.raises(LLMServerError, match=told):
            LLMClient(runtime=runtime).embed(["a", "b"])
        assert runtime.check() == ""
        assert runtime.stats()["in_flight"] == 0
    assert [record.status for record in sink.records] == [LLMCallStatusEnum.ERROR]


def test_equal_inputs_are_answered_from_the_cache(server: ScriptedServer, sink: ListSink) -> None:
    with runtime_at(server, sink) as runtime:
        client = LLMClient(runtime=runtime)
        one = client.embed(["a", "bb"], cache=True)
        two = client.embed(["a", "bb"], cache=True)

    assert len(server.requests) == 1
    assert two.cache_hit
    assert two.block == one.block
    assert (two.cost, two.saved) == (type(two.saved)(0), one.cost)


def test_an_overloaded_server_is_asked_again(server: ScriptedServer, sink: ListSink) -> None:
    server.script(Answer.error(503))
    with runtime_at(server, sink, retry={"base_delay": 0.001}) as runtime:
        assert LLMClient(runtime=runtime).embed("a").attempts == 2


def test_without_numpy_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, sink: ListSink) -> None:
    with LLMClient("offline", tracker=sink) as client:
        answer = client.embed("a")
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(LLMError, match=r"pip install 'llmcore\[numpy\]'"):
        _ = answer.vectors
    assert len(answer.block) == 4 * answer.dimensions


# --- pictures ---------------------------------------------------------------------------------------------------------


def picture_server(request: Request) -> Answer:
    wanted = request.json
    data = [{"b64_json": b64encode(PIXEL).decode()}] * wanted["n"]
    if wanted["model"].startswith("dall-e"):
        data = [
            {"url": f"https://pictures.example/{n}.png", "revised_prompt": "a castle, revised"}
            for n in range(wanted["n"])
        ]
    body: dict[str, Any] = {"created": 1767225600, "data": data}
    if wanted["model"].startswith("gpt-image"):
        body |= {"size": wanted.get("size"), "quality": "high"}
        details = {"text_tokens": 10, "image_tokens": 0}
        body["usage"] = {
            "input_tokens": 10,
            "output_tokens": 4160,
            "total_tokens": 4170,
            "input_tokens_details": details,
        }
    return Answer(body=json.dumps(body).encode())


def test_pictures_are_priced_by_the_piece_by_size_and_quality(sink: ListSink) -> None:
    with ScriptedServer(picture_server) as server, runtime_at(server, sink) as runtime:
        client = LLMClient(runtime=runtime)
        answer = client.generate_image("a castle", "1024x1792", "hd", "vivid", model="dall-e-3", game_id="g1")
        two = client.generate_image("a castle", size="256x256", n=2, model="dall-e-2")

    assert type(answer) is ImageResponse
    assert answer.url == "https://pictures.example/0.png"
    assert answer.images[0].revised_prompt == "a castle, revised"
    assert (answer.size, answer.quality, answer.data) == ("1024x1792", "hd", None)
    assert answer.cost is not None
    assert answer.cost.dollars == answer.cost.dollars.__class__("0.120000000")
    assert two.cost is not None
    assert two.cost.nano_usd == 2 * 16_000_000
    assert server.requests[0].json == {
        "model": "dall-e-3",
        "prompt": "a castle",
        "n": 1,
        "size": "1024x1792",
        "quality": "hd",
        "style": "vivid",
    }
    first, second = sink.records
    assert (first.call_type, first.image_count, first.image_size) == ("image_generation", 1, "1024x1792")
    assert (second.image_count, second.image_size, second.context.game_id) == (2, "256x256", None)


def test_pictures_that_are_sold_by_the_token_are_priced_so(sink: ListSink) -> None:
    with ScriptedServer(picture_server) as server, runtime_at(server, sink) as runtime:
        answer = LLMClient(runtime=runtime).generate_image("a castle")

    assert answer.data == PIXEL
    assert (answer.model or server.requests[0].json["model"]) == "gpt-image-1"
    assert answer.cost is not None
    assert answer.cost.nano_usd == 10 * 5_000 + 4160 * 40_000
    assert sink.records[0].image_count == 1


def test_pictures_that_are_sold_by_the_token_are_not_free_where_nobody_counts(sink: ListSink) -> None:
    with ScriptedServer() as server, runtime_at(server, sink) as runtime:
        untold = Answer(body=json.dumps({"data": [{"url": "https://pictures.example/0.png"}]}).encode())
        server.script(untold, untold)
        client = LLMClient(runtime=runtime)
        by_token = client.generate_image("a castle", model="gpt-image-1")
        by_piece = client.generate_image("a castle", model="dall-e-3")

    assert by_token.usage.estimated
    assert by_token.cost is not None
    assert by_token.cost.nano_usd > 6_240 * 40_000  # as large as it may be, and the words
    assert sink.records[0].cost == by_token.cost.nano_usd
    assert not by_piece.usage.estimated
    assert by_piece.cost is not None
    assert by_piece.cost.nano_usd == 40_000_000
    assert runtime.check() == ""


@pytest.mark.parametrize("wrong", [{"size": 5}, {"quality": []}, {"style": 1.0}])
def test_words_that_are_none_are_refused(wrong: dict[str, Any], sink: ListSink) -> None:
    told = f"{next(iter(wrong))} is a string or None"
    with ScriptedServer() as server, runtime_at(server, sink) as runtime, pytest.raises(LLMValidationError, match=told):
        LLMClient(runtime=runtime).generate_image("a castle", **wrong)
    assert server.received == 0


def test_a_budget_reserves_the_pictures_that_are_asked_for(sink: ListSink) -> None:
    budget = [{"scope": "global", "period": "total", "limit_usd": "0.10"}]
    with ScriptedServer(picture_server) as server, runtime_at(server, sink, budgets=budget) as runtime:
        client = LLMClient(runtime=runtime)
        with pytest.raises(BudgetExceededError):
            client.generate_image("a castle", n=3, model="dall-e-3")  # 0.12
        with pytest.raises(BudgetExceededError):
            client.generate_image("a castle", model="gpt-image-1")  # as large as it may be
        client.generate_image("a castle", n=2, model="dall-e-3")
        with pytest.raises(BudgetExceededError):
            client.generate_image("a castle", model="dall-e-3")  # 0.08 are spent
        assert runtime.check() == ""
    assert len(server.requests) == 1


@pytest.mark.parametrize("n", [0, 101, "two", True])
def test_a_number_of_pictures_that_makes_no_sense_is_refused(n: Any, sink: ListSink) -> None:
    with LLMClient("offline", tracker=sink) as client, pytest.raises(LLMValidationError, match="pictures"):
        client.generate_image("a castle", n=n)


async def test_the_async_client_draws_too(sink: ListSink) -> None:
    with ScriptedServer(picture_server) as server:
        runtime = runtime_at(server, sink)
        answer = await AsyncLLMClient(runtime=runtime).generate_image("a castle", model="dall-e-2", size="512x512")
        await runtime.aclose()
    assert answer.url == "https://pictures.example/0.png"


# --- whichever kind ---------------------------------------------------------------------------------------------------


def test_a_provider_without_them_says_so(sink: ListSink) -> None:
    made = Settings(provider="anthropic", anthropic_api_key="sk-ant-test")
    with Runtime(made, tracker=sink) as runtime:
        client = LLMClient(runtime=runtime)
        with pytest.raises(LLMConfigError, match="say model= for embeddings: 'anthropic'"):
            client.embed("a")
        with pytest.raises(LLMBadRequestError, match="anthropic has no embeddings"):
            client.embed("a", model="any")
        with pytest.raises(LLMBadRequestError, match="anthropic has no pictures"):
            client.generate_image("a", model="any")
    assert sink.records == []


@pytest.mark.parametrize("fallback", ["offline", "anthropic/claude-sonnet-4-5"])
def test_a_fallback_answers_if_it_has_them_and_is_named_if_not(fallback: str, sink: ListSink) -> None:
    def down(request: Request) -> Answer:
        return Answer.error(500)

    made: dict[str, Any] = {"anthropic_api_key": "sk-ant-test", "retry": {"max_attempts": 1, "base_delay": 0.001}}
    with ScriptedServer(down) as server, runtime_at(server, sink, **made) as runtime:
        client = LLMClient(runtime=runtime, fallbacks=(fallback,))
        if fallback == "offline":
            answer = client.embed(["a", "b"])
            assert (answer.provider, answer.fallback_used, len(answer)) == ("offline", True, 2)
        else:
            with pytest.raises(LLMBadRequestError, match="anthropic has no embeddings"):
                client.embed(["a", "b"])


def test_offline_vectors_are_of_length_one_and_the_same_for_the_same_text(sink: ListSink) -> None:
    with LLMClient("offline", tracker=sink) as client:
        one, two = client.embed(["a", "b"]), client.embed(["b", "a"], dimensions=7)
        three = client.embed("b")
    assert np.linalg.norm(one.vectors, axis=1) == pytest.approx([1, 1])
    assert two.vectors.shape == (2, 7)
    assert one.vectors[1].tolist() == three.vectors[0].tolist()
    assert one.cost is not None
    assert one.cost.nano_usd == 0


def test_offline_pictures_are_whole_png_files(sink: ListSink) -> None:
    with LLMClient("offline", tracker=sink) as client:
        answer = client.generate_image("a castle", size="48x20", n=2)
    first, second = (image.data or b"" for image in answer.images)
    assert first != second
    assert struct.unpack(">II", first[16:24]) == (48, 20)
    at, parts = 8, {}
    while at < len(first):
        (size,) = struct.unpack(">I", first[at : at + 4])
        kind, data = first[at + 4 : at + 8], first[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + data) == struct.unpack(">I", first[at + 8 + size : at + 12 + size])[0]
        parts[kind] = data
        at += 12 + size
    assert list(parts) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert len(zlib.decompress(parts[b"IDAT"])) == 20 * (1 + 48 // 8)
