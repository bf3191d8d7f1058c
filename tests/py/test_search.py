"""Searching the web: what goes out, what comes back, and that each query is a call like every other."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from llmcore import (
    AsyncLLMClient,
    LLMBadRequestError,
    LLMClient,
    LLMConfigError,
    LLMError,
    LLMResponse,
    LLMServerError,
    LLMTimeoutError,
    LLMValidationError,
    OpenAISearch,
    Runtime,
    SearchBackend,
    SearxngSearch,
    Settings,
)
from llmcore.clock import ManualClock
from support.scripted import ListSink
from support.server import Answer, Request, ScriptedServer


def pages(query: str, count: int = 3) -> list[dict[str, str]]:
    return [
        {"url": f"https://{n}.example/{query}", "title": f"{query} {n}", "content": f"all on {query}"}
        for n in range(count)
    ]


def asked_of(request: Request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.path).query)


def searxng(request: Request) -> Answer:
    form = asked_of(request)
    assert form["format"] == ["json"]
    body = {"query": form["q"][0], "results": pages(form["q"][0]), "unresponsive_engines": []}
    return Answer(body=json.dumps(body).encode())


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def instance() -> Iterator[ScriptedServer]:
    with ScriptedServer(searxng) as running:
        yield running


def settings_for(instance: ScriptedServer, **more: Any) -> Settings:
    base_url = instance.base_url.removesuffix("/v1")
    return Settings(provider="offline", providers={"searxng": {"base_url": base_url}}, **more)


def test_pages_come_query_after_query(instance: ScriptedServer, sink: ListSink) -> None:
    with LLMClient(settings=settings_for(instance), tracker=sink) as client:
        found = client.search_web(["poker", "chess"], max_results=2, user_id="ada")

    assert found.results == [
        {"title": "poker 0", "url": "https://0.example/poker", "snippet": "all on poker", "query": "poker"},
        {"title": "poker 1", "url": "https://1.example/poker", "snippet": "all on poker", "query": "poker"},
        {"title": "chess 0", "url": "https://0.example/chess", "snippet": "all on chess", "query": "chess"},
        {"title": "chess 1", "url": "https://1.example/chess", "snippet": "all on chess", "query": "chess"},
    ]
    assert list(found) == found.results
    assert (len(found), found[0]["query"]) == (4, "poker")
    assert found.cost is not None
    assert found.cost.nano_usd == 0
    assert [urlsplit(request.path).path for request in instance.requests] == ["/search"] * 2
    assert {(request.method, request.body) for request in instance.requests} == {("GET", b"")}
    first, second = sink.records
    assert (first.call_type, first.provider, first.context.user_id) == ("web_search", "searxng", "ada")
    assert (first.context.parent_call_id, second.context.parent_call_id) == (None, found.call_id)


def test_the_pages_are_a_list_that_json_has(instance: ScriptedServer, sink: ListSink) -> None:
    with LLMClient(settings=settings_for(instance), tracker=sink) as client:
        found = client.search_web("poker", max_results=1)
    page = {"title": "poker 0", "url": "https://0.example/poker", "snippet": "all on poker", "query": "poker"}
    assert isinstance(found, list)
    assert found == found.results == [page]
    assert json.loads(json.dumps(found)) == [page]


def test_the_clients_observers_are_told(instance: ScriptedServer, sink: ListSink) -> None:
    told: list[str] = []
    failed: list[LLMError] = []
    runtime = Runtime(settings_for(instance, retry={"max_attempts": 1}), tracker=sink)
    client = LLMClient(runtime=runtime, on_record=lambda call: told.append(call.provider), on_error=failed.append)
    with runtime:
        client.search_web(["poker", "chess"])
        instance.script(Answer.error(400, "no"))
        with pytest.raises(LLMBadRequestError):
            client.search_web("go")
    assert told == ["searxng"] * 3
    assert [type(error) for error in failed] == [LLMBadRequestError]


def test_there_is_one_deadline_for_all_queries(instance: ScriptedServer, sink: ListSink) -> None:
    clock = ManualClock()

    class Encyclopedia:
        provider, model = "offline", None

        def ask(self, query: str, max_results: int) -> dict[str, Any]:
            return {"messages": [{"role": "user", "content": query}]}

        def results(self, response: LLMResponse, max_results: int) -> list[dict[str, str]]:
            return []

    runtime = Runtime(settings_for(instance), tracker=sink, clock=clock)
    client = LLMClient(runtime=runtime, on_record=lambda call: clock.set(clock.now()[0] + 4 * 10**9))
    with runtime, pytest.raises(LLMTimeoutError, match="not all of 5 queries were answered"):
        client.search_web(["1", "2", "3", "4", "5"], backend=Encyclopedia(), deadline=10.0)
    assert [call.context.parent_call_id for call in sink.records] == [None, *[sink.records[0].id] * 2]


async def test_the_async_client_gives_the_same(instance: ScriptedServer, sink: ListSink) -> None:
    async with AsyncLLMClient(settings=settings_for(instance), tracker=sink) as client:
        found = await client.search_web([f"q{n}" for n in range(20)], max_results=1)
    assert [page["query"] for page in found] == [f"q{n}" for n in range(20)]
    assert {record.context.parent_call_id for record in sink.records} == {None, found.call_id}


async def test_when_one_query_fails_its_error_is_raised_and_nothing_goes_on(sink: ListSink) -> None:
    def answer(request: Request) -> Answer:
        return Answer(status=400, body=b"no") if "q=bad" in request.path else searxng(request)

    with ScriptedServer(answer) as instance:
        async with AsyncLLMClient(settings=settings_for(instance), tracker=sink) as client:
            with pytest.raises(LLMBadRequestError):
                await client.search_web(["good", "bad", *(f"q{n}" for n in range(30))])
            assert client.stats()["in_flight"] == 0


def test_equal_queries_are_answered_from_the_cache_and_others_are_not(instance: ScriptedServer, sink: ListSink) -> None:
    with LLMClient(settings=settings_for(instance), tracker=sink) as client:
        backend = SearxngSearch(params={"language": "en", "pageno": 2})
        client.search_web("poker", cache=True, backend=backend)
        again = client.search_web("poker", cache=True, backend=backend)
        client.search_web("chess", cache=True, backend=backend)
    assert again.calls[0].cache_hit
    assert len(again) == 3
    assert [asked_of(request)["q"] for request in instance.requests] == [["poker"], ["chess"]]
    assert asked_of(instance.requests[0])["pageno"] == ["2"]


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (Answer(status=403, body=b"Forbidden"), Exception, 'does the instance allow the format "json"'),
        (Answer(body=b"<html>results</html>"), LLMServerError, "no search result in JSON"),
        (Answer(body=b'{"results": 5}'), LLMServerError, "no search result in JSON"),
    ],
)
def test_what_is_no_result_is_a_typed_error(answer: Answer, error: type[Exception], told: str, sink: ListSink) -> None:
    with ScriptedServer(lambda _: answer) as instance:
        made = settings_for(instance, retry={"max_attempts": 1})
        with LLMClient(settings=made, tracker=sink) as client, pytest.raises(error, match=told):
            client.search_web("poker")


def test_pages_without_an_address_are_left_out(sink: ListSink) -> None:
    body = {"results": [{"title": "x"}, {"url": 5}, {"url": "https://a.example", "title": None, "content": ["x"]}]}
    with (
        ScriptedServer(lambda _: Answer(body=json.dumps(body).encode())) as instance,
        LLMClient(settings=settings_for(instance), tracker=sink) as client,
    ):
        found = client.search_web("poker")
    assert found.results == [{"title": "", "url": "https://a.example", "snippet": "", "query": "poker"}]


# --- OpenAI -----------------------------------------------------------------------------------------------------------


def response(text: str, annotations: list[dict[str, Any]] | None = None) -> Answer:
    part = {"type": "output_text", "text": text, "annotations": annotations or []}
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1767225600,
        "status": "completed",
        "model": "gpt-4o-mini-2024-07-18",
        "output": [
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "poker"},
            },
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]},
        ],
        "usage": {"input_tokens": 300, "output_tokens": 50, "total_tokens": 350},
    }
    return Answer(body=json.dumps(body).encode())


@pytest.fixture
def openai(sink: ListSink) -> Iterator[tuple[ScriptedServer, Runtime]]:
    with ScriptedServer() as server:
        made = Settings(provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url)
        with Runtime(made, tracker=sink) as runtime:
            yield server, runtime


def test_openai_searches_with_its_tool(openai: tuple[ScriptedServer, Runtime], sink: ListSink) -> None:
    server, runtime = openai
    told = {
        "results": [
            {"title": "Poker", "url": "https://a.example", "snippet": "cards"},
            {"title": "no page", "url": "?", "snippet": ""},
        ]
    }
    server.script(response(json.dumps(told)))
    found = LLMClient(runtime=runtime).search_web(["poker"], max_results=5)

    assert found.results == [{"title": "Poker", "url": "https://a.example", "snippet": "cards", "query": "poker"}]
    asked = server.requests[0]
    assert asked.path == "/v1/responses"
    assert asked.json["tools"] == [{"type": "web_search"}]
    assert asked.json["text"]["format"]["name"] == "search_results"
    assert found.cost is not None
    assert found.cost.nano_usd == sink.records[0].cost == 300 * 150 + 50 * 600


def test_where_the_model_keeps_to_no_form_its_citations_count(openai: tuple[ScriptedServer, Runtime]) -> None:
    server, runtime = openai
    cited = {"type": "url_citation", "url": "https://b.example", "title": "B", "start_index": 0, "end_index": 5}
    server.script(response("Poker is a game.", [cited]))
    found = LLMClient(runtime=runtime).search_web("poker", backend=OpenAISearch(tool={"type": "web_search_preview"}))
    assert found.results == [{"title": "B", "url": "https://b.example", "snippet": "", "query": "poker"}]
    assert server.requests[0].json["tools"] == [{"type": "web_search_preview"}]


# --- one's own --------------------------------------------------------------------------------------------------------


class Encyclopedia:
    """A backend of a user's own: any object with these."""

    provider = "offline"
    model = None

    def ask(self, query: str, max_results: int) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": query}], "max_tokens": 10}

    def results(self, response: LLMResponse, max_results: int) -> list[dict[str, str]]:
        return [{"title": "T", "url": "https://own.example", "snippet": response.content}]


def test_a_backend_of_ones_own(sink: ListSink) -> None:
    backend: SearchBackend = Encyclopedia()
    with LLMClient("offline", tracker=sink, settings=Settings()) as client:
        found = client.search_web("poker", backend=backend)
    assert found[0]["url"] == "https://own.example"
    assert found[0]["snippet"] == found.calls[0].content


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([],), "queries is a list"),
        ((["ok", " "],), r"queries\[1\]"),
        (([5],), r"queries\[0\]"),
        (("poker", 0), "max_results"),
        (("poker", 1000), "max_results"),
        (("poker", True), "max_results"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: tuple[Any, ...], told: str, sink: ListSink) -> None:
    with LLMClient("offline", tracker=sink, settings=Settings()) as client:
        with pytest.raises(LLMValidationError, match=told):
            client.search_web(*arguments, backend=Encyclopedia())
        with pytest.raises(LLMValidationError, match="SearchBackend"):
            client.search_web("poker", backend=object())  # type: ignore[arg-type]
    assert sink.records == []


def test_with_nothing_to_search_with_one_sentence_says_what_to_set(sink: ListSink) -> None:
    with (
        LLMClient("offline", tracker=sink, settings=Settings()) as client,
        pytest.raises(LLMConfigError, match="set SEARXNG_URL or OPENAI_API_KEY"),
    ):
        client.search_web("poker")
