"""Chat Completions: what a refusal tells, when it says to come again, and what its message never shows."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import Outcome
from llmcore.providers.failure import redacted
from llmcore.providers.openai import OpenAIProvider
from llmcore.types import Failure
from support.openai_provider import KEY, failure_from, golden


@golden("chat_refusals")
def test_a_refusal_reads_as_this_failure(case: dict[str, Any]) -> None:
    failure = failure_from(case["status"], case["body"].encode(), case.get("headers"))
    expected = dict(case["failure"])
    assert failure.outcome.name.lower() == expected.pop("outcome")
    assert {name: getattr(failure, name) for name in expected} == expected
    assert failure.status == case["status"]
    assert KEY not in repr(failure)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("1e2", 100.0),
        ("1e308", 31_622_400.0),
        ("1e999", 31_622_400.0),
        ("9" * 300, 31_622_400.0),
        ("9" * 5000, None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1_0", None),
        ("\u0663", None),
        ("soon", None),
        ("", None),
        ("2, 3", 2.0),
        ("Mon, 01 Jun 2026 12:00:20 GMT", 20.0),
        ("Mon, 01 Jun 2026 12:00:20 -0000", 20.0),
        ("Mon, 01 Jun 2026 14:00:20 +0200", 20.0),
        ("Mon, 01 Jun 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 31_622_400.0),
        ("Fri, 99 Dec 2026 23:59:59 GMT", None),
    ],
)
def test_retry_after_in_every_form(sent: str, seconds: float | None) -> None:
    assert failure_from(429, headers={"retry-after": sent}).retry_after == seconds


def test_retry_after_in_milliseconds_goes_first_if_it_makes_sense() -> None:
    assert failure_from(429, headers={"retry-after-ms": "250", "retry-after": "9"}).retry_after == 0.25
    assert failure_from(429, headers={"retry-after-ms": "nonsense", "retry-after": "9"}).retry_after == 9


def test_a_date_without_a_zone_is_utc_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert failure_from(429, headers={"retry-after": "Mon, 01 Jun 2026 12:00:20"}).retry_after == 20.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_date_is_measured_against_the_servers_own_clock() -> None:
    headers = {"retry-after": "Mon, 01 Jun 2026 12:00:20 GMT", "date": "Mon, 01 Jun 2026 12:00:15 GMT"}
    assert failure_from(503, headers=headers).retry_after == 5.0


@pytest.mark.parametrize(("sent", "read"), [("true", True), ("False", False), ("maybe", None)])
def test_should_retry_is_read(sent: str, read: bool | None) -> None:
    assert failure_from(500, headers={"x-should-retry": sent}).should_retry is read


@given(before=st.text(max_size=40), after=st.text(max_size=40), key=st.from_regex(r"[!-~]{8,60}", fullmatch=True))
def test_an_echoed_key_is_never_in_a_message(before: str, after: str, key: str) -> None:
    echoing = OpenAIProvider(key, "http://127.0.0.1/v1")
    for body in (
        json.dumps({"error": {"message": before + key + after, "code": f"bad-{key}"}}).encode(),
        f"{before}{key}{after}".encode("utf-8", "replace"),
        f"<html><title>{key}</title>".encode(),
    ):
        failure = echoing.decode(401, {"x-request-id": "r"}, body)
        assert isinstance(failure, Failure)
        assert key not in failure.message
        assert key not in (failure.code or "")


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdef123456",
        "sk-proj-Ab_9-xyz0123456789",
        "sk-ant-api03-AbCdEfGhIjKl",
        "sk-****************abcd",
        "gsk_0123456789abcdefABCD",
        "hf_0123456789abcdefABCD",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "Bearer whatever-it-is",
    ],
)
def test_what_looks_like_anybodys_key_is_masked(key: str) -> None:
    shown = redacted(f"Incorrect API key provided: {key}, sorry.", None)
    assert key.removeprefix("Bearer ") not in shown
    assert shown.endswith("sorry.")


def test_ordinary_words_are_not_masked() -> None:
    text = "The skateboard task uses sk-learn, hf_hub and max_tokens; 'risk-free' is a phrase."
    assert redacted(text, None) == text


def test_a_key_shortened_by_its_echo_is_masked() -> None:
    assert "my-own-k" not in redacted("wrong key my-own-key-01... given", "my-own-key-0123456789")


def test_messages_are_one_short_line_without_control_characters() -> None:
    message = failure_from(400, json.dumps({"message": "a\n\tb \x1b[31mred\x00" + "x" * 10_000}).encode()).message
    assert message.startswith("a b ?[31mred?x")
    assert len(message) == 500
    assert message.isprintable()


def test_a_refusal_of_megabytes_is_read_quickly() -> None:
    body = json.dumps({"error": {"message": "model " * 2_000_000}}).encode()
    assert failure_from(400, body).outcome is Outcome.BAD_REQUEST
