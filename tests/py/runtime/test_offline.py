"""The offline provider: said once, the same every time, and free."""

import threading

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.config import Settings
from llmcore.runtime import Runtime
from llmcore.types import Money
from support.runtimes import PRICE, runtime_of
from support.scripted import ListSink, ask, settings_of


def test_the_offline_notice_is_said_once_and_only_when_nobody_chose(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmcore.prepare._said_offline", threading.Event())
    LLMClient("offline")
    LLMClient(settings=Settings(provider="offline")).close()
    assert capsys.readouterr().err == ""
    LLMClient()
    AsyncLLMClient()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("llmcore: no provider is configured") == 1
    assert "OPENAI_API_KEY" in said.err


def test_an_offline_answer_is_the_same_every_time_and_free() -> None:
    runtime = runtime_of(prices=PRICE)
    client = LLMClient("offline", runtime=runtime)
    first = client.complete(ask("hello"), call_type="summarization")
    second = client.complete(ask("hello"), call_type="summarization")
    assert first.content == second.content != ""
    assert (first.cost, first.fallback_used) == (Money(0), False)


def test_the_offline_provider_is_asked_anew_for_another_kind_of_call() -> None:
    runtime = Runtime(settings_of(provider="offline"), tracker=ListSink())
    client = LLMClient("offline", runtime=runtime)
    kinds = ("player_decision", "summarization", "player_decision")
    answers = [client.complete(ask("What now?"), cache=True, call_type=kind) for kind in kinds]
    assert [answer.cache_hit for answer in answers] == [False, False, True]
    assert answers[0].content == answers[2].content != answers[1].content
    runtime.close()
