"""The drop-in's plain calls: equal to the SDK's in every byte that goes out and every field of what is returned, and
left to the SDK where anything is special.
"""

import json
import logging
from typing import Any

import openai
import pytest
from openai._constants import RAW_RESPONSE_HEADER
from openai._models import FinalRequestOptions, add_request_id, construct_type
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmcore import Settings
from llmcore.openai import OpenAI
from llmcore.openai_plain import PlainCalls, plain_answer
from support.recorded import rows
from support.scripted import ListSink
from support.server import Answer, ScriptedServer

ASKED: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": 'Grüße, "Hi" \u2028\n'}]}
CHOICE: dict[str, Any] = {
    "index": 0,
    "finish_reason": "stop",
    "logprobs": None,
    "message": {"role": "assistant", "content": "Hello.", "refusal": None},
}
COMPLETION: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1_772_366_400,
    "model": "gpt-4o-mini",
    "choices": [CHOICE],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
CALLED = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SPOKEN = {"id": "a1", "data": "", "expires_at": 1, "transcript": ""}
PLAIN: Any = [
    COMPLETION,
    COMPLETION | {"more": {"a": [1, 2.5]}, "x_groq": None},
    COMPLETION | {"choices": [], "usage": None},
    COMPLETION | {"choices": [CHOICE | {"message": CHOICE["message"] | {"tool_calls": [CALLED], "content": None}}]},
    COMPLETION
    | {"choices": [CHOICE | {"mine": 1, "message": CHOICE["message"] | {"reasoning": "Hm.", "audio": SPOKEN}}]},
    COMPLETION
    | {"usage": COMPLETION["usage"] | {"cost": 0.1, "prompt_tokens_details": {"cached_tokens": 1, "new": 2}}},
]
#: What does not fit its type, which the SDK leaves as it is.
LOOSE: Any = [
    COMPLETION | {"service_tier": "on_demand"},
    COMPLETION | {"created": "yesterday"},
    COMPLETION | {"created": 1_772_366_400.5},
    COMPLETION | {"choices": [CHOICE | {"finish_reason": "eos"}]},
    COMPLETION | {"choices": None},
    {"id": "c1"},
    [],
    "text",
]


def everything(value: Any) -> Any:
    """All that can be seen of a value: types, order, what was set, what is beyond its type."""
    if isinstance(value, openai.BaseModel):
        extra = value.__pydantic_extra__
        inside = {name: everything(part) for name, part in value.__dict__.items()}
        return (
            type(value),
            list(inside),
            inside,
            sorted(value.model_fields_set),
            extra and list(extra),
            everything(extra),
        )
    if isinstance(value, dict):
        return [(name, everything(part)) for name, part in value.items()]
    return [everything(part) for part in value] if isinstance(value, list) else (type(value), value)


def options_of(**given: Any) -> FinalRequestOptions:
    return FinalRequestOptions.construct(method="post", url="/chat/completions", json_data=dict(ASKED), **given)


def read(client: OpenAI, body: bytes, kind: str = "/chat/completions", cast_to: Any = ChatCompletion) -> Any:
    return plain_answer(client, kind, cast_to, options_of(), {}, body)


def theirs(of: Any, answer: Any) -> Any:
    made: Any = construct_type(type_=of, value=answer)
    add_request_id(made, None)
    return made


# --- answers


@pytest.mark.parametrize("answer", PLAIN)
def test_a_plain_answer_is_the_sdks_value_in_everything(client: OpenAI, answer: Any) -> None:
    made = read(client, json.dumps(answer).encode())
    wanted = theirs(ChatCompletion, answer)
    assert everything(made) == everything(wanted)
    assert repr(made) == repr(wanted)


@pytest.mark.parametrize("answer", LOOSE)
def test_what_does_not_fit_its_type_is_left_to_the_sdk(client: OpenAI, answer: Any) -> None:
    assert read(client, json.dumps(answer).encode()) is None


def test_the_same_of_recorded_answers(client: OpenAI) -> None:
    plain = 0
    for kind, url, of in (("chat", "/chat/completions", ChatCompletion), ("responses", "/responses", Response)):
        for row in rows(kind):
            made = None if row["stream"] or row["status"] != 200 else read(client, row["body"].encode(), url, of)
            if made is not None:
                wanted = theirs(of, json.loads(row["body"]))
                assert everything(made) == everything(wanted), row["id"]
                plain += 1
    assert plain == 0 or plain > 200  # of those that there are


def test_a_client_that_checks_answers_leaves_them_to_the_sdk(server: ScriptedServer) -> None:
    server.script(Answer(body=json.dumps(COMPLETION | {"created": "yesterday"}).encode()))
    settings: Any = {"settings": Settings(ledger={"url": "none"}), "tracker": ListSink()}
    with OpenAI(api_key="k", base_url=server.base_url, _strict_response_validation=True, **settings) as strict:
        assert read(strict, json.dumps(COMPLETION).encode()) is None
        with pytest.raises(openai.APIResponseValidationError):
            strict.chat.completions.create(**ASKED)


# --- requests


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"headers": {"X-Mine": "1", "Authorization": "other"}, "timeout": 7.5},
        {"headers": {"User-Agent": openai.Omit()}, "timeout": None},
        {"extra_json": {"top_k": 3, "model": "mine"}},
    ],
)
@pytest.mark.parametrize(
    "of",
    [
        {},
        {"organization": "org", "project": "p", "default_headers": {"X-A": "b"}},
        {"timeout": 3, "base_url": "/v2/?a=b"},
    ],
)
def test_a_plain_request_is_what_the_sdk_builds(client: OpenAI, of: dict[str, Any], given: dict[str, Any]) -> None:
    if "base_url" in of:
        of = {**of, "base_url": str(client.base_url.join(of["base_url"]))}
    sdk = client.with_options(**of)
    options = options_of(**given)
    sent = PlainCalls().request(sdk, options, {**ASKED, **given.get("extra_json", {})})
    built = sdk._build_request(options, retries_taken=0)
    assert sent is not None
    assert (sent.url, sent.body, sent.method) == (str(built.url), built.content, built.method.upper())
    connection = {"accept-encoding", "connection", "content-length", "host"}
    assert sent.headers == {name: value for name, value in built.headers.items() if name not in connection}


def test_an_address_that_changes_is_the_new_one(client: OpenAI) -> None:
    plain = PlainCalls()
    urls = []
    for path in ("v1", "v2", "v1"):
        client.base_url = client.base_url.join(f"/{path}/")
        sent = plain.request(client, options_of(), ASKED)
        assert sent is not None
        urls.append(sent.url.split("/")[3])
    assert urls == ["v1", "v2", "v1"]


@pytest.mark.parametrize(
    "given",
    [
        {"params": {"a": "b"}},
        {"headers": {RAW_RESPONSE_HEADER: "true"}},
        {"headers": {"Content-Type": openai.Omit()}},
        {"extra_json": {"left_out": openai.Omit()}},
    ],
)
def test_a_request_with_more_to_it_is_the_sdks(client: OpenAI, given: dict[str, Any]) -> None:
    assert PlainCalls().request(client, options_of(**given), {**ASKED, **given.get("extra_json", {})}) is None


def test_an_http_client_that_adds_something_is_asked(client: OpenAI, server: ScriptedServer) -> None:
    client._client.cookies.set("seen", "1")
    client._client.params = {"v": "7"}
    client.chat.completions.create(**ASKED)
    assert server.requests[0].headers["cookie"] == "seen=1"
    assert server.requests[0].path.endswith("?v=7")


def test_headers_of_the_http_client_are_sent(client: OpenAI, server: ScriptedServer) -> None:
    client._client.headers["x-of-the-client"] = "1"
    client.chat.completions.create(**ASKED)
    assert server.requests[0].headers["x-of-the-client"] == "1"


def test_a_step_that_somebody_replaced_is_taken(
    client: OpenAI, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def watched(original: Any, name: str) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            seen.append(name)
            return original(*arguments, **named)

        return step

    client.chat.completions.create(**ASKED)
    original = openai.OpenAI._process_response
    monkeypatch.setattr(openai.OpenAI, "_process_response", watched(original, "the class's"))
    client.chat.completions.create(**ASKED)
    monkeypatch.undo()
    monkeypatch.setattr(client, "_prepare_request", watched(client._prepare_request, "the object's"))
    client.chat.completions.create(**ASKED)
    assert seen == ["the class's", "the object's"]
    assert len({request.body for request in server.requests}) == 1


def test_the_sdks_log_of_requests_goes_on(client: OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="openai"):
        client.chat.completions.create(**ASKED)
    assert "openai._base_client" in {record.name for record in caplog.records}


def test_an_error_of_a_plain_call_has_the_sdks_request(client: OpenAI, server: ScriptedServer) -> None:
    server.script(Answer.error(404, code="model_not_found"))
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**ASKED)
    assert json.loads(caught.value.request.content) == {**ASKED}
    assert caught.value.response.request.url.path == "/v1/chat/completions"
