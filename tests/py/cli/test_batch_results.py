"""Lines of output."""

import json

import pytest

from llmcore.cli.batch.lines import Malformed
from llmcore.cli.batch.output import FINAL_CODES
from llmcore.cli.batch.results import answer_line, code_of, failure_line, malformed_line
from llmcore.errors import LLMBadRequestError, LLMError, LLMRateLimitError, LLMValidationError
from llmcore.types import LLMResponse, Money, Outcome, Usage


def answer(body: bytes) -> LLMResponse:
    return LLMResponse("Hi", "m", "openai", Usage(input_uncached=3), Money(5), "id-1", body=body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1.10, "b": "\xc3\xa9"}',
        b'{\n  "a":\t[1,\r\n 2]\n}\n',
        b'{"text": "line\\nend \\u2028"}',
        b"12",
    ],
)
def test_a_body_is_one_line_that_means_the_same(body: bytes) -> None:
    line = answer_line("a", answer(body), None)

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\r" not in line
    assert json.loads(line)["response"]["body"] == json.loads(body)


def test_a_body_that_is_not_utf_8_does_not_spoil_the_file() -> None:
    line = answer_line("a", answer(b'{"a": "\xff"}'), None)

    assert json.loads(line.decode())["response"]["body"] == {"a": "\ufffd"}


def test_no_body_is_null() -> None:
    assert json.loads(answer_line("a", answer(b""), None))["response"]["body"] is None


def test_a_failed_call_tells_what_is_known_of_it() -> None:
    error = LLMRateLimitError(
        "slow down",
        outcome=Outcome.RATE_LIMITED,
        call_id="id-2",
        provider="openai",
        model="m",
        attempts=3,
        retry_after=2.5,
        status=429,
        request_id="req_1",
    )

    line = json.loads(failure_line("a", 7, error, None))

    assert line["id"] == "batch_req_id-2"
    assert line["custom_id"] == "a"
    assert line["response"] is None
    assert line["error"] == {"code": "rate_limited", "message": "slow down"}
    facts = line["llmcore"]
    assert (facts["attempts"], facts["retry_after"], facts["status_code"], facts["request_id"]) == (
        3,
        2.5,
        429,
        "req_1",
    )


def test_a_call_that_was_never_made_is_named_by_its_line() -> None:
    line = json.loads(failure_line("a", 7, LLMValidationError("NaN"), None))

    assert line["id"] == "batch_req_line_7"


def test_a_malformed_line_tells_where_and_why() -> None:
    assert json.loads(malformed_line(Malformed(12, "invalid_json", "it ends early"))) == {
        "id": "batch_req_line_12",
        "custom_id": None,
        "response": None,
        "error": {"code": "invalid_json", "message": "it ends early"},
        "llmcore": {"line": 12},
    }


@pytest.mark.parametrize(
    ("error", "code", "final"),
    [
        (LLMRateLimitError("", outcome=Outcome.QUOTA_EXHAUSTED), "quota_exhausted", False),
        (LLMBadRequestError("", outcome=Outcome.CONTENT_FILTER), "content_filter", True),
        (LLMBadRequestError(""), "bad_request", True),
        (LLMValidationError(""), "bad_request", True),
        (LLMError(""), "internal_error", False),
    ],
)
def test_what_would_fail_again_is_final(error: LLMError, code: str, final: bool) -> None:
    assert code_of(error) == code
    assert (code in FINAL_CODES) is final
