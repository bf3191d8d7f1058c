"""Chat Completions: what goes out for a request, and which configuration is refused."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from llmcore._core import Outcome
from llmcore.errors import LLMConfigError, LLMValidationError
from llmcore.providers.openai import OpenAIProvider
from llmcore.types import LLMRequest, Reply
from support.openai_provider import KEY, asking, golden, json_values, provider
from support.server import chat_body

# --- requests ---------------------------------------------------------------------------------------------------------


@golden("chat_requests")
def test_a_request_becomes_these_bytes(case: dict[str, Any]) -> None:
    asked = OpenAIProvider(KEY, case.get("base_url"))
    request = LLMRequest(**case["request"])
    sent = asked.encode(request)
    assert sent.body.decode() == case["body"]
    assert sent.url == case.get("url", "https://api.openai.com/v1/chat/completions")
    assert sent.method == "POST"


def test_the_headers_carry_the_key_and_who_we_are() -> None:
    headers = provider.encode(asking()).headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == headers["Accept"] == "application/json"
    assert headers["User-Agent"].startswith("llmcore/0.")


def test_requests_share_no_headers() -> None:
    provider.encode(asking()).headers["Authorization"] = "changed"
    assert provider.encode(asking()).headers["Authorization"] == f"Bearer {KEY}"


@given(
    content=st.text() | st.lists(json_values, max_size=3),
    params=st.dictionaries(st.text(min_size=1), json_values, max_size=4),
)
def test_what_is_sent_parses_to_what_was_asked(content: Any, params: dict[str, Any]) -> None:
    reserved = {"stream", "messages", "model"}
    params = {name: value for name, value in params.items() if name not in reserved}
    body = provider.encode(asking(messages=[{"role": "user", "content": content}], params=params)).body
    expected = {"model": "m", "stream": False, "messages": [{"role": "user", "content": content}]} | params
    assert json.loads(body) == expected


@given(message=st.dictionaries(st.text(), json_values, max_size=5))
def test_the_order_in_which_a_message_was_put_together_changes_nothing(message: dict[str, Any]) -> None:
    message |= {"role": "user", "content": "Hi"}
    backwards = dict(reversed(message.items()))
    assert provider.encode(asking(messages=[message])).body == provider.encode(asking(messages=[backwards])).body


def test_encoding_changes_nothing_in_the_request() -> None:
    request = asking(
        params={"stop": ["a"]}, tools=[{"b": 1, "a": 2}], messages=[{"role": "user", "content": [{"b": 1}]}]
    )
    before = repr(request)
    provider.encode(request)
    assert repr(request) == before


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"params": {"top_p": float("nan")}}, "top_p is not a finite number"),
        ({"temperature": float("inf")}, "temperature is not a finite number"),
        ({"params": {"a": {"b": [1.0, float("-inf")]}}}, 'a["b"][1] is not a finite number'),
        ({"tools": [{"type": "function", "function": {"parameters": object()}}]}, '["parameters"] is object'),
        ({"response_format": {"schema": {1: 2}}}, 'response_format["schema"] has a key that is not a string'),
        ({"params": {"metadata": {"at": b"bytes"}}}, 'metadata["at"] is bytes'),
        ({"params": {"tags": {"a", "b"}}}, "tags is set"),
        (
            {"messages": [{"role": "user", "content": b"bytes"}]},
            'messages[0]["content"] is a string or a list of parts',
        ),
        ({"messages": [{"role": "user", "content": [{"x": float("nan")}]}]}, 'messages[0]["content"][0]["x"]'),
        (
            {"messages": [{"role": "user", "content": "a\ud800secret"}]},
            'messages[0]["content"] holds half of a surrogate',
        ),
        ({"params": {"user": "\udc00"}}, "user holds half of a surrogate"),
        ({"tools": [{"a\ud800": 1}]}, "a key of tools[0]"),
        ({"messages": []}, "messages is empty"),
        ({"messages": "Hi"}, "messages is a list, not str"),
        ({"messages": ["Hi"]}, "messages[0] is a dict, not str"),
        ({"messages": [{"content": "Hi"}]}, 'messages[0]["role"]'),
        ({"messages": [{"role": 1, "content": "Hi"}]}, 'messages[0]["role"]'),
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": 7}]}, 'messages[1]["content"]'),
        ({"model": ""}, "model is a non-empty string"),
        ({"model": 7}, "model is a non-empty string"),
        ({"params": {"model": None}}, "model is a non-empty string"),
        ({"params": {"stream": True}}, "stream"),
    ],
)
def test_what_json_cannot_say_is_refused_by_its_place(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(LLMValidationError) as caught:
        provider.encode(asking(**fields))
    assert where in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.outcome is Outcome.BAD_REQUEST


def test_a_request_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for fields in ({"params": {"x": endless}}, {"messages": [{"role": "user", "content": endless}]}):
        with pytest.raises(LLMValidationError, match="contains itself"):
            provider.encode(asking(**fields))


# --- configuration ----------------------------------------------------------------------------------------------------


def test_a_missing_key_is_told_when_it_is_needed() -> None:
    keyless = OpenAIProvider()
    with pytest.raises(LLMConfigError, match="OPENAI_API_KEY") as caught:
        keyless.encode(asking())
    assert caught.value.outcome is Outcome.AUTH
    assert isinstance(keyless.decode(200, {}, chat_body()), Reply)


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost:11434/v1", True),
        ("http://[::1]/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://192.168.1.5:8000", True),
        ("http://vllm:8000/v1", True),
        ("http://gpu.local/v1", True),
        ("https://api.groq.com/openai/v1", False),
        ("http://8.8.8.8/v1", False),
        ("https://api.openai.com/v1", False),
        ("https://localhost.example.com/v1", False),
    ],
)
def test_a_key_may_be_missing_only_on_private_hosts(url: str, near: bool) -> None:
    keyless = OpenAIProvider(base_url=url)
    if near:
        assert "Authorization" not in keyless.encode(asking()).headers
    else:
        with pytest.raises(LLMConfigError):
            keyless.encode(asking())


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com/v1",
        "ftp://host/v1",
        "https://",
        "http://user:pw@host/v1",
        "http://host:port/v1",
        "http://host/v1#x",
        "http://[::1/v1",
        "http://host/v 1",
        "http://host\r\nX: 1/v1",
    ],
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(LLMConfigError, match="base_url of openai") as caught:
        OpenAIProvider(KEY, url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-a b", "sk-a\nX-Injected: 1", "sk-\xe9"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    with pytest.raises(LLMConfigError) as caught:
        OpenAIProvider(key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("blank", [None, "", "  ", SecretStr("")])
def test_a_blank_key_is_none(blank: Any) -> None:
    assert "Authorization" not in OpenAIProvider(blank, "http://127.0.0.1/v1").encode(asking()).headers


def test_a_secret_key_is_taken_and_never_shown() -> None:
    secret = OpenAIProvider(SecretStr(f" {KEY}\n"), "https://host.example/v1?sig=hidden")
    assert secret.encode(asking()).headers["Authorization"] == f"Bearer {KEY}"
    assert repr(secret) == "OpenAIProvider('openai', https://host.example/v1)"
    assert KEY not in repr(secret.encode(asking()))
    with pytest.raises(TypeError, match="holds a key"):
        pickle.dumps(secret)


def test_it_may_go_by_another_name() -> None:
    assert OpenAIProvider(KEY, "http://127.0.0.1/v1", name="vllm").name == "vllm"
