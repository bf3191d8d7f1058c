"""Chat Completions: what the headers of an answer say about limits, and about who answered."""

from collections.abc import Callable
from typing import Any

import pytest

from llmcore.providers.openai import OpenAIProvider
from llmcore.types import Failure, Reply
from support.openai_provider import provider
from support.server import chat_body


@pytest.mark.parametrize(
    ("sent", "nanoseconds"),
    [
        ("1s", 10**9),
        ("6m0s", 360 * 10**9),
        ("120ms", 120 * 10**6),
        ("20m52.666s", 1_252_666_000_000),
        ("1d2h", 93_600 * 10**9),
        ("7.66", 7_660_000_000),
        ("12", 12 * 10**9),
        ("99999d", 31_622_400 * 10**9),
        ("1e300", 31_622_400 * 10**9),
        ("-1s", 0),
        ("s", 0),
        ("1 s", 0),
        ("soon", 0),
        ("", 0),
        ("1s" * 1000, 0),
    ],
)
def test_the_time_to_a_reset_in_every_form(sent: str, nanoseconds: int) -> None:
    headers = {"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": sent}
    observed = provider.observe(headers)
    assert observed is not None
    assert (observed.remaining_requests, observed.remaining_tokens) == (5, None)
    assert (observed.requests_reset, observed.tokens_reset) == (nanoseconds, 0)


def test_requests_and_tokens_are_told_apart() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6ms",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-limit-tokens": "150000",
    }
    observed = provider.observe(headers)
    assert observed is not None
    assert (observed.remaining_requests, observed.remaining_tokens) == (0, 149984)
    assert (observed.requests_reset, observed.tokens_reset) == (2 * 10**9, 6 * 10**6)
    assert (observed.requests_limit, observed.tokens_limit) == (500, 150000)


def test_mistrals_tokens_of_a_minute_have_their_limit() -> None:
    headers = {"x-ratelimit-remaining-tokens-minute": "9", "x-ratelimit-limit-tokens-minute": "2000000"}
    observed = provider.observe(headers | {"x-ratelimit-limit-tokens": "7", "x-ratelimit-limit-requests": "7"})
    assert observed is not None
    assert (observed.remaining_tokens, observed.tokens_limit) == (9, 2000000)
    assert (observed.remaining_requests, observed.requests_limit) == (None, None)


def test_azures_plain_numbers_are_milliseconds() -> None:
    headers = {
        "x-ratelimit-remaining-tokens": "9",
        "x-ratelimit-reset-tokens": "7",
        "x-ratelimit-renewalperiod-tokens": "60",
    }
    observed = provider.observe(headers)
    assert observed is not None
    assert observed.tokens_reset == 7 * 10**6


@pytest.mark.parametrize("sent", ["", "-1", "many", "nan", "1e30", "9" * 40])
def test_a_remainder_that_is_none_is_not_seen(sent: str) -> None:
    assert provider.observe({"x-ratelimit-remaining-requests": sent, "x-ratelimit-reset-requests": "1s"}) is None


def test_no_headers_say_nothing() -> None:
    assert provider.observe({"content-type": "application/json"}) is None


def test_an_id_of_the_exchange_that_echoes_the_key_is_none() -> None:
    echoing = OpenAIProvider("secret-0123", "https://api.example.com/v1")
    headers = {"x-request-id": "for secret-0123"}
    answered, refused = echoing.decode(200, headers, chat_body()), echoing.decode(401, headers, b"")
    assert (answered.request_id, refused.request_id) == (None, None)


class _Undecodable(dict[str, str]):
    """Headers as pyreqwest gives them: a value that is not ASCII raises when it is looked at."""

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key, default)
        if value is not None and not value.isascii():
            raise ValueError("failed to convert header to a str")
        return value


def test_header_values_that_are_no_text_read_as_absent() -> None:
    names = ("x-request-id", "retry-after", "x-should-retry", "x-ratelimit-remaining-requests", "retry-after-ms")
    headers = _Undecodable(dict.fromkeys(names, "\xff"))
    failure = provider.decode(429, headers, b"")
    assert isinstance(failure, Failure)
    assert (failure.request_id, failure.retry_after, failure.should_retry) == (None, None, None)
    assert provider.observe(headers) is None
    assert isinstance(provider.decode(200, headers, chat_body()), Reply)


@pytest.mark.parametrize("written", [str.lower, str.upper, str.title])
def test_names_of_headers_are_read_in_any_case(written: Callable[[str], str]) -> None:
    sent = {
        "retry-after": "2",
        "x-should-retry": "false",
        "x-request-id": "req_1",
        "x-ratelimit-remaining-requests": "5",
    }
    headers = {written(name): value for name, value in sent.items()}
    failure = provider.decode(429, headers, b"")
    assert isinstance(failure, Failure)
    assert (failure.request_id, failure.retry_after, failure.should_retry) == ("req_1", 2.0, False)
    observed = provider.observe(headers)
    assert observed is not None
    assert observed.remaining_requests == 5
