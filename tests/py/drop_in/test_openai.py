"""The drop-in for the ``openai`` SDK: its types and its errors, and our limits, cache, retries, budget and ledger."""

import asyncio
import gc
import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

import llmcore
from llmcore import (
    BudgetExceededError,
    LLMAuthError,
    LLMRateLimitError,
    LLMTimeoutError,
    QueueFullError,
    Runtime,
    Settings,
)
from llmcore.openai import AsyncOpenAI, OpenAI
from llmcore.types import LLMCallStatusEnum, Outcome
from support.scripted import ListSink
from support.server import Answer, Request, ScriptedServer, streamed_chat

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
ASKED: Any = {"model": "gpt-4o-mini", "messages": MESSAGES}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_772_366_400,
    "model": "gpt-4o-mini",
    "status": "completed",
    "output": [
        {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12},
}


def answer(request: Request) -> Answer:
    asked = json.loads(request.body or b"{}")
    if request.path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        body = {"object": "list", "model": "text-embedding-3-small", "data": data, "usage": usage}
        return Answer(body=json.dumps(body).encode())
    if request.path.endswith("/images/generations"):
        return Answer(body=json.dumps({"created": 1_772_366_400, "data": [{"url": "https://x/1.png"}]}).encode())
    if request.path.endswith("/responses"):
        return Answer(body=json.dumps(RESPONSE).encode())
    if request.path.endswith("/models"):
        return Answer(body=json.dumps({"object": "list", "data": []}).encode())
    if asked.get("stream"):
        return streamed_chat(3)
    return Answer.chat("Hello.")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answer) as running:
        yield running


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def client(server: ScriptedServer, sink: ListSink) -> Iterator[OpenAI]:
    settings = Settings(retry={"base_delay": 0.001, "max_delay": 0.002}, ledger={"url": "none"})
    with OpenAI(api_key="sk-canary", base_url=server.base_url, settings=settings, tracker=sink) as made:
        yield made
        assert made.runtime.check() == ""
        stats = made.runtime.stats()
        assert stats["in_flight"] == 0


# --- what is returned


def test_every_kind_returns_the_sdks_own_type_and_is_recorded(client: OpenAI, sink: ListSink) -> None:
    assert type(client.chat.completions.create(**ASKED)) is ChatCompletion
    assert type(client.responses.create(model="gpt-4o-mini", input="Hi")) is Response
    vectors = client.embeddings.create(model="text-embedding-3-small", input="Hi")
    assert type(vectors) is CreateEmbeddingResponse
    assert vectors.data[0].embedding == [0.5, 1.0]
    assert type(client.images.generate(model="dall-e-3", prompt="A bridge", size="1024x1024")) is ImagesResponse
    told = [(row.call_type, row.status, row.provider, row.model) for row in sink.records]
    success = LLMCallStatusEnum.SUCCESS
    assert told == [
        ("chat", success, "openai", "gpt-4o-mini"),
        ("chat", success, "openai", "gpt-4o-mini"),
        ("embedding", success, "openai", "text-embedding-3-small"),
        ("image_generation", success, "openai", "dall-e-3"),
    ]
    assert [row.cost for row in sink.records] == [12 * 150 + 5 * 600, 10 * 150 + 2 * 600, 8 * 20, 40_000_000]
    assert [texts.messages for texts in sink.texts if texts is not None] == [
        MESSAGES,
        MESSAGES,
        MESSAGES,
        [{"role": "user", "content": "A bridge"}],
    ]


def test_what_is_sent_is_what_the_sdk_sends(client: OpenAI, server: ScriptedServer) -> None:
    bare = openai.OpenAI(api_key="sk-canary", base_url=server.base_url)
    options: Any = {
        "temperature": 0.2,
        "extra_headers": {"X-Mine": "1"},
        "extra_query": {"a": "b"},
        "extra_body": {"top_k": 3},
    }
    with bare:
        bare.chat.completions.create(**ASKED, **options)
    client.chat.completions.create(**ASKED, **options)
    theirs, ours = server.requests
    assert ours.path == theirs.path == "/v1/chat/completions?a=b"
    assert ours.body == theirs.body
    connection = {"accept-encoding", "connection", "host"}
    assert {k: v for k, v in ours.headers.items() if k not in connection} == {
        k: v for k, v in theirs.headers.items() if k not in connection
    }


def test_raw_responses_have_headers_bytes_and_the_calls_id(
    client: OpenAI, server: ScriptedServer, sink: ListSink
) -> None:
    server.script(Answer.chat("Hello.", headers={"x-request-id": "req_7", "X-Other": "1"}))
    raw = client.chat.completions.with_raw_response.create(**ASKED)
    assert raw.headers["x-other"] == "1"
    assert raw.headers["x-llmcore-call-id"] == sink.records[0].id
    assert raw.request_id == "req_7"
    assert raw.status_code == 200
    assert raw.elapsed.total_seconds() > 0
    assert json.loads(raw.content)["choices"][0]["message"]["content"] == "Hello."
    assert raw.parse().choices[0].message.content == "Hello."
    with client.chat.completions.with_streaming_response.create(**ASKED) as streamed:
        assert b"Hello." in b"".join(streamed.iter_bytes())


def test_an_answer_is_parsed_into_the_programs_own_type(client: OpenAI, server: ScriptedServer) -> None:
    from pydantic import BaseModel

    class Answered(BaseModel):
        word: str

    server.script(Answer.chat('{"word": "yes"}'))
    parsed = client.chat.completions.parse(**ASKED, response_format=Answered)
    assert parsed.choices[0].message.parsed == Answered(word="yes")


def test_what_is_not_ours_passes_through(client: OpenAI, sink: ListSink) -> None:
    assert client.models.list().data == []
    assert sink.records == []


# --- streams


def test_a_stream_is_the_sdks_and_settled_at_its_end(client: OpenAI, server: ScriptedServer, sink: ListSink) -> None:
    with client.chat.completions.create(**ASKED, stream=True) as stream:
        assert type(stream) is openai.Stream
        pieces = list(stream)
    assert all(type(piece) is ChatCompletionChunk for piece in pieces)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == " word0 word1 word2"
    assert json.loads(server.requests[0].body)["stream_options"] == {"include_usage": True}
    (row,) = sink.records
    assert row.status is LLMCallStatusEnum.SUCCESS
    assert row.usage is not None
    assert (row.usage.input_tokens, row.usage.output_tokens, row.usage.estimated) == (12, 3, False)


def test_the_usage_of_a_stream_is_shown_to_those_who_ask(client: OpenAI) -> None:
    unasked = list(client.chat.completions.create(**ASKED, stream=True))
    assert all(piece.choices for piece in unasked)
    asked = list(client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    assert asked[:-1] == unasked
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 3


def test_the_sdks_stream_helper_works(client: OpenAI) -> None:
    with client.chat.completions.stream(**ASKED) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == " word0 word1 word2"


def test_a_stream_that_is_left_is_cancelled_and_paid_for(
    client: OpenAI, server: ScriptedServer, sink: ListSink
) -> None:
    server.script(
        Answer(headers={"content-type": "text/event-stream"}, body=streamed_chat(9).body, stop_after=900, then="hang")
    )
    with client.chat.completions.create(**ASKED, stream=True) as stream:
        next(iter(stream))
    (row,) = sink.records
    assert row.status is LLMCallStatusEnum.CANCELLED
    assert row.cost
    assert client.runtime.stats()["in_flight"] == 0


def test_a_stream_that_breaks_raises_what_the_sdk_has_for_it(
    client: OpenAI, server: ScriptedServer, sink: ListSink
) -> None:
    cut = Answer(headers={"content-type": "text/event-stream"}, body=streamed_chat(9).body, stop_after=900)
    server.script(cut)
    stream = client.chat.completions.create(**ASKED, stream=True)
    with pytest.raises(openai.APIConnectionError) as caught:
        list(stream)
    cause = caught.value.__cause__
    assert isinstance(cause, llmcore.LLMConnectionError)
    assert cause.partial is not None
    assert sink.records[0].outcome == Outcome.CONNECTION


def test_a_stream_that_fails_with_an_event_raises_its_error(
    client: OpenAI, server: ScriptedServer, sink: ListSink
) -> None:
    good = streamed_chat(1).body.split(b"\n\n")[0] + b"\n\n"
    bad = b'data: {"error": {"message": "the model fell over", "code": "server_error"}}\n\n'
    head = {"content-type": "text/event-stream"}
    server.script(Answer(headers=head, body=good + bad, chunks=[len(good)], pause=0.05))
    stream = client.chat.completions.create(**ASKED, stream=True)
    assert next(stream).choices[0].delta.content == " word0"
    with pytest.raises(openai.APIError, match="the model fell over"):
        next(stream)
    assert sink.records[0].outcome == Outcome.SERVER_ERROR


def test_until_something_of_the_answer_is_there_a_stream_is_begun_again(client: OpenAI, server: ScriptedServer) -> None:
    bad = b'data: {"error": {"message": "overloaded", "code": "server_error"}}\n\n'
    head = {"content-type": "text/event-stream"}
    server.script(Answer(headers=head, body=bad), Answer.error(503))
    assert len(list(client.chat.completions.create(**ASKED, stream=True))) == 4
    assert len(server.requests) == 3


def test_a_loop_that_is_left_ends_the_call_without_the_collector(client: OpenAI, server: ScriptedServer) -> None:
    head = {"content-type": "text/event-stream"}
    server.script(Answer(headers=head, body=streamed_chat(9).body, stop_after=900, then="hang"))
    gc.disable()
    try:
        for _ in client.chat.completions.create(**ASKED, stream=True):
            break
        end = time.monotonic() + 10
        while client.runtime.stats()["in_flight"] and time.monotonic() < end:
            time.sleep(0.001)
        assert client.runtime.stats()["in_flight"] == 0
    finally:
        gc.enable()


# --- errors


@pytest.mark.parametrize(
    ("status", "kind", "cause"),
    [
        (400, openai.BadRequestError, llmcore.LLMBadRequestError),
        (401, openai.AuthenticationError, LLMAuthError),
        (403, openai.PermissionDeniedError, LLMAuthError),
        (404, openai.NotFoundError, llmcore.LLMBadRequestError),
        (422, openai.UnprocessableEntityError, llmcore.LLMBadRequestError),
        (429, openai.RateLimitError, LLMRateLimitError),
        (500, openai.InternalServerError, llmcore.LLMServerError),
    ],
)
def test_errors_are_the_sdks_with_ours_behind(
    client: OpenAI, server: ScriptedServer, status: int, kind: type[openai.APIStatusError], cause: type[Exception]
) -> None:
    server.script(*[Answer.error(status, "no: sk-canary", code="x", headers={"x-request-id": "r1"})] * 3)
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**ASKED)
    error = caught.value
    assert (error.status_code, error.code, error.request_id) == (status, "x", "r1")
    assert isinstance(error.__cause__, cause)
    assert "sk-canary" not in f"{error!r} {error.body} {error.response.text} {error.__cause__!r}"


def test_retries_are_the_engines(client: OpenAI, server: ScriptedServer, sink: ListSink) -> None:
    server.script(Answer.error(503), Answer.error(503))
    assert client.with_options(max_retries=0).chat.completions.create(**ASKED).choices[0].message.content == "Hello."
    assert sink.records[0].attempts is not None
    assert len(sink.records[0].attempts) == 3


def test_a_timeout_is_the_deadline_of_everything(client: OpenAI, server: ScriptedServer) -> None:
    server.script(Answer.chat("late", gate=server.gate()))
    with pytest.raises(openai.APITimeoutError) as caught:
        client.chat.completions.create(**ASKED, timeout=0.05)
    assert isinstance(caught.value.__cause__, LLMTimeoutError)


def test_a_refused_connection_is_the_sdks_connection_error(sink: ListSink) -> None:
    settings = Settings(retry={"max_attempts": 1})
    with (
        OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", settings=settings, tracker=sink) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(**ASKED)


def test_a_budget_that_is_spent_is_a_rate_limit_error(server: ScriptedServer, sink: ListSink) -> None:
    settings = Settings(budgets=[{"scope": "user=ada", "period": "day", "limit_usd": Decimal("0.0001")}])
    with OpenAI(api_key="k", base_url=server.base_url, settings=settings, tracker=sink) as client:
        with llmcore.context(user_id="ada"), pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ASKED)
        assert caught.value.code == "over_budget"
        assert isinstance(caught.value.__cause__, BudgetExceededError)
        client.chat.completions.create(**ASKED)  # nobody's in particular
        with llmcore.context(user_id="ada"):  # a limit of its own that fits
            client.chat.completions.create(**ASKED, max_completion_tokens=20)
    assert len(server.requests) == 2


def test_a_full_queue_is_a_rate_limit_error(server: ScriptedServer, sink: ListSink) -> None:
    settings = Settings(limits={"max_in_flight": 1}, queue={"total": 1})
    gate = server.gate()
    server.script(Answer.chat("held", gate=gate))
    with OpenAI(api_key="k", base_url=server.base_url, settings=settings, tracker=sink) as client:
        first, second = (threading.Thread(target=lambda: client.chat.completions.create(**ASKED)) for _ in range(2))
        first.start()
        server.wait_for(1)
        second.start()
        while client.runtime.stats()["queued"] == 0:
            pass
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ASKED)
        gate.open()
        first.join()
        second.join()
    assert caught.value.code == "queue_full"
    assert isinstance(caught.value.__cause__, QueueFullError)


# --- what the engine gives


def test_equal_calls_of_a_caching_copy_are_sent_once(client: OpenAI, server: ScriptedServer, sink: ListSink) -> None:
    caching = client.with_options(cache=True, call_type="summarization")
    first, second = (caching.chat.completions.create(**ASKED) for _ in range(2))
    assert first == second
    one, two = (list(caching.chat.completions.create(**ASKED, stream=True)) for _ in range(2))
    assert one == two
    assert len(server.requests) == 2
    statuses = [row.status.value for row in sink.records]
    assert statuses == ["success", "cached", "success", "cached"]
    assert {row.call_type for row in sink.records} == {"summarization"}
    client.chat.completions.create(**ASKED)
    assert len(server.requests) == 3


def test_addresses_share_no_cached_answer(client: OpenAI, server: ScriptedServer) -> None:
    for version in ("v1", "v2", "v1"):
        there = client.with_options(cache=True, base_url=server.base_url.replace("v1", version))
        there.chat.completions.create(**ASKED)
    assert len(server.requests) == 2


def test_copies_keep_what_they_are_not_told_to_change(client: OpenAI, sink: ListSink) -> None:
    copied = client.with_options(tenant="acme", timeout=7).copy(call_type="chat")
    assert copied.timeout == 7
    assert copied.runtime is client.runtime
    copied.chat.completions.create(**ASKED)
    assert sink.records[0].tenant == "acme"
    assert copied.with_raw_response is not None


def test_a_client_without_settings_shares_the_processs_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: ScriptedServer
) -> None:
    monkeypatch.setenv("LLMCORE_LEDGER__URL", "none")
    monkeypatch.chdir(tmp_path)
    with OpenAI(api_key="k", base_url=server.base_url) as client:
        assert client.runtime is Runtime.default()
    assert Runtime.default() is client.runtime  # not closed with a client
    Runtime.default().close()


# --- async


def test_the_async_client_does_the_same(server: ScriptedServer, sink: ListSink) -> None:
    async def all_of_it() -> None:
        settings = Settings(retry={"base_delay": 0.001})
        async with AsyncOpenAI(api_key="k", base_url=server.base_url, settings=settings, tracker=sink) as client:
            assert type(await client.chat.completions.create(**ASKED)) is ChatCompletion
            assert type(await client.responses.create(model="gpt-4o-mini", input="Hi")) is Response
            await client.embeddings.create(model="text-embedding-3-small", input="Hi")
            await client.images.generate(model="dall-e-3", prompt="A bridge")
            async with await client.chat.completions.create(**ASKED, stream=True) as stream:
                assert type(stream) is openai.AsyncStream
                assert len([piece async for piece in stream]) == 4
            raw = await client.chat.completions.with_raw_response.create(**ASKED)
            assert raw.parse().choices[0].message.content == "Hello."
            server.script(Answer.error(404, code="model_not_found"))
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(**ASKED)
            assert (await client.models.list()).data == []

    asyncio.run(all_of_it())
    assert len(sink.records) == 7


def test_a_cancelled_task_gives_everything_back(server: ScriptedServer, sink: ListSink) -> None:
    async def cancelled(stream: bool) -> None:
        server.script(Answer.chat("held", gate=server.gate()))
        async with AsyncOpenAI(api_key="k", base_url=server.base_url, settings=Settings(), tracker=sink) as client:
            before = len(server.requests)
            task = asyncio.ensure_future(client.chat.completions.create(**ASKED, stream=stream))
            await asyncio.to_thread(server.wait_for, before + 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client.runtime.stats()["in_flight"] == 0

    asyncio.run(cancelled(False))
    asyncio.run(cancelled(True))
    assert [row.status for row in sink.records] == [LLMCallStatusEnum.CANCELLED] * 2
