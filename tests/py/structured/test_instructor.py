"""Models that no provider holds to a schema, asked in words by instructor."""

import json
import logging
from typing import Any

import pytest

from llmcore.errors import LLMAuthError, LLMConfigError, LLMValidationError
from llmcore.structured import StructuredResponse
from llmcore.types import Money
from support.reviews import BAD, CANARY, COST, GOOD, HELLO, PROBLEMS, Ask, Review, as_said, chat, runtime_of
from support.scripted import ListSink
from support.server import Answer, ScriptedServer


@pytest.fixture
def instructor() -> None:
    pytest.importorskip("instructor", reason="instructor is not installed (the extra structured)")


@pytest.mark.usefixtures("instructor")
def test_instructor_asks_through_our_client(ask: Ask) -> None:
    sink = ListSink()
    with ScriptedServer() as server:
        server.script(chat(BAD), chat(GOOD))
        found = ask(runtime_of(server, "deepseek", sink=sink), user_id="u1")
    assert found.value == Review(mood="good", stars=4)
    assert type(found.value) is Review
    assert [record.context.parent_call_id for record in sink.records] == [None, found.call_id]
    assert {record.context.user_id for record in sink.records} == {"u1"}
    assert found.cost == Money(2 * COST)
    first, second = (request.json for request in server.requests)
    assert first["response_format"] == {"type": "json_object"}
    assert "stars" in json.dumps(first["messages"])
    assert BAD in [message["content"] for message in second["messages"]]


@pytest.mark.usefixtures("instructor")
@pytest.mark.parametrize("kind", [list[int], dict[str, int]])
def test_instructor_gives_other_types_too(ask: Ask, kind: Any) -> None:
    value = [1, 2] if kind == list[int] else {"a": 1}
    with ScriptedServer(lambda request: chat(json.dumps({"value": value}))) as server:
        found: StructuredResponse[Any] = ask(runtime_of(server), HELLO, kind, mode="instructor")
        assert found.value == value


@pytest.mark.usefixtures("instructor")
def test_instructor_is_held_to_our_limits(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(lambda request: chat(f'{{"mood": "{CANARY}", "stars": 11}}')) as server:
        runtime = runtime_of(server, "deepseek")
        with caplog.at_level(logging.DEBUG), pytest.raises(LLMValidationError, match="after 1 of 1 re-asks") as caught:
            ask(runtime, max_retries=1)
        assert [str(problem) for problem in caught.value.problems] == PROBLEMS
        assert len(caught.value.calls) == len(server.requests) == 2
        assert caught.value.__context__ is None
        with pytest.raises(LLMValidationError, match="asking again could cost more"):
            ask(runtime, max_retry_cost=0)
        assert len(server.requests) == 3
    assert CANARY not in caplog.text


@pytest.mark.usefixtures("instructor")
def test_errors_pass_through_instructor_as_they_are(ask: Ask) -> None:
    with ScriptedServer() as server:
        runtime = runtime_of(server, "deepseek")
        server.script(Answer.error(401))
        with pytest.raises(LLMAuthError):
            ask(runtime)
        server.script(as_said("stop", "", refusal="No."))
        with pytest.raises(LLMValidationError, match="refused"):
            ask(runtime)
        assert len(server.requests) == 2


def test_without_instructor_it_says_what_to_install(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "instructor", None)
    with ScriptedServer() as server:
        with pytest.raises(LLMConfigError, match=r"pip install 'llmcore\[structured\]'"):
            ask(runtime_of(server, "deepseek"))
        assert not server.requests
