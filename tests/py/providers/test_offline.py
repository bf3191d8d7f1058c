"""The provider that always answers."""

import hashlib
import json
from typing import Any

import pytest

from llmcore._core import OfflineGenerator, Outcome
from llmcore.errors import LLMValidationError
from llmcore.providers.offline import OfflineProvider
from llmcore.types import Failure, LLMRequest, Reply

provider = OfflineProvider()


def asking(content: str = "What now?", **fields: Any) -> LLMRequest:
    return LLMRequest("offline", [{"role": "user", "content": content}], **fields)


def told(request: LLMRequest, call_type: str | None = None) -> Reply:
    decoded = provider.decode(200, {}, provider.answer(request, call_type))
    assert isinstance(decoded, Reply)
    return decoded


def test_it_is_local_and_answers_in_words() -> None:
    assert provider.local
    reply = told(asking())
    assert len(reply.content) > 20
    assert (reply.model, reply.finish_reason, reply.tool_calls) == ("offline", "stop", [])


def test_the_same_request_gets_the_same_bytes() -> None:
    assert provider.answer(asking(), "chat") == OfflineProvider().answer(asking(), "chat")


def test_other_requests_get_other_answers() -> None:
    bodies = {provider.answer(asking(f"Question {number}"), None) for number in range(50)}
    assert len(bodies) == 50
    assert len({told(asking(f"Question {number}")).content for number in range(50)}) > 1


def test_the_text_follows_from_the_bytes_of_the_request_alone() -> None:
    request = asking("Is the harbour safe?", params={"problem": "danger", "severity": 900, "placeholders": {}})
    body = b'{"messages":[{"content":"Is the harbour safe?","role":"user"}],"model":"offline","placeholders":{},'
    body += b'"problem":"danger","severity":900,"stream":false}'
    digest = hashlib.sha256(body).digest()
    assert json.loads(provider.answer(request, None))["id"] == f"offline-{digest[:12].hex()}"
    assert told(request).content == OfflineGenerator().generate("danger", 900, int.from_bytes(digest[:8], "big"))


def test_the_call_type_says_what_it_is_about_unless_the_request_does() -> None:
    request = asking(json_format=True)
    assert json.loads(told(request, "summarization").content)["problem"] == "summary"
    assert json.loads(told(request, "no such type").content)["problem"] == "general"
    assert json.loads(told(request).content)["problem"] == "general"
    request.params["problem"] = "conflict"
    assert json.loads(told(request, "summarization").content)["problem"] == "conflict"


def test_severity_and_placeholders_shape_the_text() -> None:
    quiet, loud = (told(asking(params={"problem": "danger", "severity": severity})).content for severity in (0, 1000))
    assert len(loud) > len(quiet)
    assert json.loads(told(asking(json_format=True, params={"severity": 2**70})).content)["severity"] == 1000
    texts = [
        told(asking(str(number), params={"problem": "danger", "placeholders": {"place": "Port Royal"}})).content
        for number in range(20)
    ]
    assert any("Port Royal" in text for text in texts)


@pytest.mark.parametrize(
    "fields",
    [
        {"json_format": True},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"params": {"response_format": {"type": "json_object"}}},
    ],
)
def test_whoever_asks_for_json_gets_valid_json(fields: dict[str, Any]) -> None:
    for number in range(20):
        parsed = json.loads(told(asking(f'quotes " and \\ {number}', **fields)).content)
        assert set(parsed) == {"text", "problem", "severity"}


def test_whoever_asks_for_text_gets_text() -> None:
    assert not told(asking(response_format={"type": "text"})).content.startswith("{")


def test_it_counts_its_own_tokens() -> None:
    reply = told(asking("x" * 4000))
    assert not reply.usage.estimated
    assert reply.usage.input_tokens == 3 + 4 + 4000 * 190 // 1000
    assert reply.usage.output_tokens == (len(reply.content) + 3) // 4


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"problem": "weather"}, "problem is one of general, dialogue"),
        ({"problem": ["danger"]}, "problem is one of"),
        ({"severity": "high"}, "severity is a whole number"),
        ({"severity": True}, "severity is a whole number"),
        ({"placeholders": {"name": 7}}, "placeholders is a dict of strings"),
        ({"placeholders": ["name"]}, "placeholders is a dict of strings"),
    ],
)
def test_params_that_make_no_sense_are_refused_where_it_is_asked_directly(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(LLMValidationError, match=problem) as caught:
        provider.encode(asking(params=params))
    assert caught.value.outcome is Outcome.BAD_REQUEST


def test_at_the_end_of_a_chain_another_providers_params_do_not_keep_it_from_answering() -> None:
    assert told(asking(params={"problem": "weather", "severity": "high", "top_k": 5})).content


def test_its_request_is_an_identity_and_leads_nowhere() -> None:
    request = provider.encode(asking())
    assert (request.url, request.headers) == ("offline:", {})
    assert request.body == provider.encode(asking()).body != provider.encode(asking("else")).body


def test_foreign_bytes_are_no_answer_of_its() -> None:
    for status, body in ((200, b"nonsense"), (500, b""), (200, b"{}")):
        failure = provider.decode(status, {}, body)
        assert isinstance(failure, Failure)
        assert failure.outcome is Outcome.SERVER_ERROR
