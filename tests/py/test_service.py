"""The service over real calls and a real ledger: DTOs, ids that can be looked up at once, the host's sessions."""

import asyncio
import json
import uuid
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from llmcore import (
    AsyncLLMClient,
    LedgerError,
    LLMMessageDTO,
    LLMRateLimitError,
    LLMRequestDTO,
    LLMRequestRepo,
    LLMResponseDTO,
    LLMService,
    LLMServicesProvider,
    LLMValidationError,
    Runtime,
    Settings,
    UnknownModelError,
    UsageTracker,
    context,
)
from support.scripted import ListSink, settings_of
from support.server import Answer, ScriptedServer

ASK = [LLMMessageDTO(role="system", content="Be brief."), LLMMessageDTO(role="user", content="Hello?", name="ann")]
COST = 12e-6 + 2 * 5e-6  # dollars, of an answer


class Mood(BaseModel):
    mood: str


def chat(text: str = "Hi!") -> Answer:
    return Answer.chat(text, body={"model": "m1"})


def service_of(server: ScriptedServer, tracker: Any, repo: LLMRequestRepo | None = None) -> LLMService:
    settings = settings_of(
        provider="openai",
        model="m1",
        providers={"openai": {"api_key": "sk-canary", "base_url": server.base_url}},
        prices={"openai/m1": {"input": 1, "output": 2}},
        retry={"max_attempts": 1},
    )
    return LLMService(repo, AsyncLLMClient(runtime=Runtime(settings, tracker=tracker)))


def as_provider(service: LLMService) -> LLMServicesProvider:
    """What mypy checks: the service is what the protocol says."""
    return service


async def test_an_answer_and_its_request(tmp_path: Path) -> None:
    user = uuid.uuid4()
    tracker = UsageTracker(str(tmp_path / "ledger.db"))
    with ScriptedServer(lambda request: chat()) as server:
        service = as_provider(service_of(server, tracker))
        response, request_id = await service.generate_response(ASK, user, temperature=0.5, max_tokens=50, seed=7)
        sent = server.requests[0].json
    assert sent["messages"] == [message.model_dump(exclude_none=True) for message in ASK]
    assert (sent["temperature"], sent["max_tokens"], sent["seed"]) == (0.5, 50, 7)
    assert type(response) is LLMResponseDTO
    assert response.model_dump() == {
        "content": "Hi!",
        "provider": "openai",
        "model": "m1",
        "tokens_used": 17,
        "cost_estimate": pytest.approx(COST),
        "input_tokens": 12,
        "output_tokens": 5,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "latency_ms": response.latency_ms,
        "finish_reason": "stop",
        "status": "success",
        "cache_hit": False,
        "fallback_used": False,
    }
    # Right after the answer, in the same process, without waiting for anything.
    request = service.get_request(request_id)
    assert type(request) is LLMRequestDTO
    assert request.id == request_id
    assert request.user_id == str(user)
    assert (request.provider, request.model, request.status) == ("openai", "m1", "success")
    assert request.tokens_used == 17
    assert request.cost_estimate == pytest.approx(COST)
    assert (request.temperature, request.max_tokens, request.response) == (0.5, 50, "Hi!")
    assert request.messages == sent["messages"]
    assert request.created_at is not None
    assert request.completed_at is not None
    assert request.created_at <= request.completed_at
    assert "Hello" not in repr(request)
    assert service.get_request(uuid.uuid4()) is None
    tracker.close()


async def test_the_requests_of_a_user_by_pages(tmp_path: Path) -> None:
    ann, bob = uuid.uuid4(), uuid.uuid4()
    tracker = UsageTracker(str(tmp_path / "ledger.db"))
    with ScriptedServer(lambda request: chat()) as server:
        service = service_of(server, tracker)
        made = [(await service.generate_response(ASK, user))[1] for user in (ann, bob, ann, ann)]
        newest_first = [made[3], made[2], made[0]]
        assert [request.id for request in service.get_user_requests(ann)] == newest_first
        assert [request.id for request in service.get_user_requests(ann, limit=1, offset=1)] == newest_first[1:2]
        assert [request.id for request in await service.aget_user_requests(bob)] == [made[1]]
        assert service.get_user_requests(uuid.uuid4()) == []
        for wrong in ({"limit": 0}, {"limit": 10_001}, {"offset": -1}, {"offset": True}):
            with pytest.raises(LLMValidationError, match=next(iter(wrong))):
                service.get_user_requests(ann, **wrong)
    tracker.close()


async def test_a_failure_has_a_request_too(tmp_path: Path) -> None:
    user = uuid.uuid4()
    tracker = UsageTracker(str(tmp_path / "ledger.db"))
    with ScriptedServer() as server:
        service = service_of(server, tracker)
        server.script(Answer.error(429, "slow down"))
        with pytest.raises(LLMRateLimitError) as caught:
            await service.generate_response(ASK, user)
        assert caught.value.call_id is not None
        request = await service.aget_request(uuid.UUID(caught.value.call_id))
    assert request is not None
    assert (request.status, request.user_id, request.response) == ("rate_limited", str(user), None)
    assert "slow down" in (request.error or "")
    tracker.close()


async def test_a_value_of_a_model_and_the_id_of_its_first_request(tmp_path: Path) -> None:
    tracker = UsageTracker(str(tmp_path / "ledger.db"))
    with ScriptedServer() as server:
        service = as_provider(service_of(server, tracker))
        server.script(chat("{}"), chat('{"mood": "good"}'))
        value, request_id = await service.generate_structured_response(ASK, Mood, uuid.uuid4(), max_tokens=9)
        assert value == Mood(mood="good")
        request = service.get_request(request_id)
        assert request is not None
        assert request.response == "{}"
        server.script(chat("{}"))
        with pytest.raises(LLMValidationError, match="mood: missing"):
            await service.generate_structured_response(ASK, Mood, max_retries=0)
    tracker.close()


async def test_a_stream_is_recorded_like_an_answer(tmp_path: Path) -> None:
    tracker = UsageTracker(str(tmp_path / "ledger.db"))
    service = LLMService(client=AsyncLLMClient(runtime=Runtime(settings_of(provider="offline"), tracker=tracker)))
    async with service.stream_response(ASK, uuid.uuid4()) as stream:
        text = "".join([chunk.text async for chunk in stream])
    request = await service.aget_request(uuid.UUID(stream.response.call_id))
    assert request is not None
    assert request.response == text
    tracker.close()


async def test_a_user_of_the_context_stays() -> None:
    sink = ListSink()
    with ScriptedServer(lambda request: chat()) as server:
        service = service_of(server, sink)
        with context(user_id="ann"):
            await service.generate_response(ASK)
            await service.generate_response(ASK, uuid.UUID(int=1))
    assert [record.context.user_id for record in sink.records] == ["ann", str(uuid.UUID(int=1))]


def test_costs_beforehand() -> None:
    with ScriptedServer() as server:
        service = service_of(server, ListSink())
        estimate = service.estimate_cost(ASK)
        assert type(estimate) is float
        assert 2800 * 2e-6 < estimate < 2900 * 2e-6
        with pytest.raises(UnknownModelError, match="no price is known for openai/unheard-of"):
            service.estimate_cost(ASK, "unheard-of")
        assert not server.requests


async def test_requests_are_found_through_sessions_of_the_host(tmp_path: Path) -> None:
    path = tmp_path / "host.db"
    tracker = UsageTracker(str(path))
    engine, async_engine = create_engine(f"sqlite:///{path}"), create_async_engine(f"sqlite+aiosqlite:///{path}")
    with ScriptedServer(lambda request: chat()) as server:
        for _ in range(2):
            with Session(engine) as session:
                service = service_of(server, tracker, LLMRequestRepo(session))
                _, request_id = await service.generate_response(ASK)
                found = service.get_request(request_id)
                assert found is not None
                assert found.id == request_id
        async with AsyncSession(async_engine) as asynchronous:
            service = service_of(server, tracker, LLMRequestRepo(asynchronous))
            _, request_id = await service.generate_response(ASK)
            found = await service.aget_request(request_id)
            assert found is not None
            assert found.id == request_id
            with pytest.raises(LedgerError, match="this session is asynchronous"):
                service.get_request(request_id)
    await async_engine.dispose()
    engine.dispose()
    tracker.close()


async def test_many_at_once_each_find_their_own(tmp_path: Path) -> None:
    tracker = UsageTracker(str(tmp_path / "ledger.db"))
    with ScriptedServer(lambda request: chat(request.json["messages"][-1]["content"])) as server:
        service = service_of(server, tracker)

        async def one(number: int) -> None:
            said = [LLMMessageDTO(role="user", content=f"number {number}")]
            response, request_id = await service.generate_response(said)
            request = await service.aget_request(request_id)
            assert request is not None
            assert request.response == response.content == f"number {number}"

        await asyncio.gather(*map(one, range(50)))
    tracker.close()


def test_messages_take_nothing_that_is_none() -> None:
    class Row:
        role, content, name, tool_calls = "user", "Hi", None, ["all"]

    assert LLMMessageDTO.model_validate(Row()).model_dump(exclude_none=True) == {"role": "user", "content": "Hi"}
    with pytest.raises(ValueError, match="content"):
        LLMMessageDTO.model_validate({"role": "user"})


def test_without_a_repo_and_a_client_it_is_the_process_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from support.scripted import bare_environment

    bare_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("LLM_PROVIDER", "offline")
    monkeypatch.setattr(Runtime, "_default", None)
    monkeypatch.setattr(UsageTracker, "_default", None)
    service = LLMService()
    _, request_id = asyncio.run(service.generate_response(ASK))
    found = service.get_request(request_id)
    assert found is not None
    assert found.provider == "offline"
    Runtime.default().close()
    UsageTracker.default().close()


@pytest.mark.parametrize(
    ("picture", "url"),
    [
        ({"url": "https://example.com/1.png"}, "https://example.com/1.png"),
        ({"b64_json": b64encode(b"\x89PNG...").decode()}, "data:image/png;base64,iVBORy4uLg=="),
        ({"b64_json": b64encode(b"\xff\xd8\xff...").decode()}, "data:image/jpeg;base64,/9j/Li4u"),
    ],
)
async def test_a_picture_is_a_url(picture: dict[str, str], url: str) -> None:
    sink, user = ListSink(), uuid.uuid4()
    with ScriptedServer() as server:
        service = as_provider(service_of(server, sink))
        server.script(Answer(body=json.dumps({"created": 1767225600, "data": [picture]}).encode()))
        found, request_id = await service.generate_image("A bowl of soup", user, style="vivid", model="dall-e-3")
        sent = server.requests[0].json
        assert (sent["prompt"], sent["size"], sent["style"]) == ("A bowl of soup", "1024x1024", "vivid")
        assert "quality" not in sent
        assert found == url
        assert [(record.id, record.context.user_id, record.cost) for record in sink.records] == [
            (str(request_id), str(user), 40_000_000)
        ]
        server.script(Answer(body=json.dumps({"created": 1767225600, "data": [picture]}).encode()))
        await service.generate_image("A bowl of soup", quality="hd", model="dall-e-3")
        assert server.requests[1].json["quality"] == "hd"
        assert sink.records[1].cost == 80_000_000


async def test_a_search_is_a_request_too() -> None:
    sink, user = ListSink(), uuid.uuid4()
    found = {"results": [{"url": "https://example.com", "title": "Soup", "content": "hot"}]}
    with ScriptedServer(lambda _: Answer(body=json.dumps(found).encode())) as server:
        base_url = server.base_url.removesuffix("/v1")
        made = Settings(provider="offline", providers={"searxng": {"base_url": base_url}})
        async with AsyncLLMClient(settings=made, tracker=sink) as client:
            service = as_provider(LLMService(client=client))
            pages, request_id = await service.search_web(["soup", "bread"], user, max_results=1)
    page = {"title": "Soup", "url": "https://example.com", "snippet": "hot"}
    assert pages == [{**page, "query": "soup"}, {**page, "query": "bread"}]
    assert [record.context.user_id for record in sink.records] == [str(user)] * 2
    assert sink.records[0].id == str(request_id) == sink.records[1].context.parent_call_id
