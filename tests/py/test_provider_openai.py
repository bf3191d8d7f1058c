"""Chat Completions: what goes out for a request, and what comes in from an answer, a refusal and headers."""

import json
import pickle
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from llmcore._core import Outcome, Usage
from llmcore.errors import LLMConfigError, LLMValidationError
from llmcore.providers.failure import redacted
from llmcore.providers.openai import OpenAIProvider
from llmcore.types import Failure, LLMRequest, Reply, ToolCall
from support.server import chat_body

GOLDEN = Path(__file__).parent.parent / "data" / "providers"
KEY = "sk-golden-key-000111222333"
NOON = 1780315200.0  # 2026-06-01 12:00:00 UTC
BUCKETS = [name for name in dir(Usage) if isinstance(getattr(Usage(), name), int) and not name.endswith("_tokens")]
BUCKETS = [name for name in BUCKETS if name not in ("estimated", "valid")]

provider = OpenAIProvider(KEY, now=lambda: NOON)


def golden(name: str) -> pytest.MarkDecorator:
    """The cases of a file, as parameters."""
    cases = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def asking(**fields: Any) -> LLMRequest:
    return LLMRequest(**({"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | fields))


def reply_to(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    decoded = provider.decode(status, headers or {}, body)
    assert isinstance(decoded, Reply), decoded
    return decoded


def failure_from(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Failure:
    decoded = provider.decode(status, headers or {}, body)
    assert isinstance(decoded, Failure), decoded
    return decoded


# --- requests


@golden("chat_requests")
def test_a_request_becomes_these_bytes(case: dict[str, Any]) -> None:
    asked = OpenAIProvider(KEY, case.get("base_url"))
    request = LLMRequest(**case["request"])
    sent = asked.encode(request)
    assert sent.body.decode() == case["body"]
    assert sent.url == case.get("url", "https://api.openai.com/v1/chat/completions")
    assert sent.method == "POST"
    assert asked.canonical(request) == sent.body


def test_the_headers_carry_the_key_and_who_we_are() -> None:
    headers = provider.encode(asking()).headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == headers["Accept"] == "application/json"
    assert headers["User-Agent"].startswith("llmcore/0.")


def test_requests_share_no_headers() -> None:
    provider.encode(asking()).headers["Authorization"] = "changed"
    assert provider.encode(asking()).headers["Authorization"] == f"Bearer {KEY}"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


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
    assert provider.canonical(asking(messages=[message])) == provider.canonical(asking(messages=[backwards]))


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


# --- configuration


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


# --- answers


@golden("chat_answers")
def test_an_answer_reads_as_this_reply(case: dict[str, Any]) -> None:
    reply = reply_to(case["body"].encode(), headers=case.get("headers"))
    assert {name: getattr(reply, name) for name in case["reply"]} == case["reply"]
    assert reply.usage == Usage(**case["usage"])
    if "tool_calls" in case:
        assert reply.tool_calls == [ToolCall(*fields) for fields in case["tool_calls"]]


def test_bytes_that_are_no_utf8_cost_their_character_and_no_more() -> None:
    body = chat_body("caf@").replace(b"@", b"\xe9")
    assert reply_to(body).content == "caf\ufffd"


@pytest.mark.parametrize("status", [200, 400])
def test_nesting_without_end_is_an_answer_without_sense(status: int) -> None:
    for body in (b"[" * 100_000, b'{"choices":' + b"[" * 100_000, b'{"error":' * 50_000):
        assert failure_from(status, body).outcome in (Outcome.SERVER_ERROR, Outcome.BAD_REQUEST)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=300),
    headers=st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_no_bytes_make_decode_raise(status: int, body: bytes, headers: dict[str, str]) -> None:
    decoded = provider.decode(status, headers, body)
    assert isinstance(decoded, Failure)
    assert decoded.outcome is not Outcome.OK
    assert decoded.message


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from([b'"', b"{", b"}", b"[", b"null", b"-1", b"\xff", b""])),
        max_size=4,
    ),
    status=st.sampled_from([200, 429, 500]),
)
def test_no_damage_to_an_answer_makes_decode_raise(changes: list[tuple[int, bytes]], status: int) -> None:
    body = chat_body("text", cached_tokens=4)
    for number, put in changes:
        place = number % len(body)
        body = body[:place] + put + body[place + 1 :]
    assert isinstance(provider.decode(status, {}, body), Reply | Failure)


@given(
    answer=st.fixed_dictionaries(
        {"choices": json_values, "usage": json_values, "model": json_values, "error": json_values}
    )
)
def test_no_types_make_decode_raise(answer: dict[str, Any]) -> None:
    assert isinstance(provider.decode(200, {}, msgspec.json.encode(answer)), Reply | Failure)
    message = {"choices": [{"message": {"content": answer["choices"], "tool_calls": answer["model"]}}]}
    decoded = provider.decode(200, {}, msgspec.json.encode(message | {"usage": answer["usage"]}))
    assert isinstance(decoded, Reply)


counts = st.none() | st.integers(-3, 60) | st.floats(0, 60) | st.sampled_from(["7", True, 2**60, []])


@given(
    prompt=st.integers(0, 50),
    completion=st.integers(0, 50),
    details=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens"), counts)
    ),
    generated=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("reasoning_tokens", "audio_tokens", "image_tokens"), counts)
    ),
)
def test_the_buckets_are_disjoint_and_add_up(
    prompt: int, completion: int, details: dict[str, Any], generated: dict[str, Any]
) -> None:
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    usage["total_tokens"] = prompt + completion
    usage |= {"prompt_tokens_details": details, "completion_tokens_details": generated}
    found = reply_to(json.dumps({"choices": [{"message": {"content": "x"}}], "usage": usage}).encode()).usage
    assert all(getattr(found, name) >= 0 for name in BUCKETS)
    assert (found.input_tokens, found.output_tokens) == (prompt, completion)
    assert found.cached_tokens <= prompt
    assert found.estimated is (prompt == completion == 0)  # which is no answer's


# --- refusals


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


# --- limits in headers


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
    }
    observed = provider.observe(headers)
    assert observed is not None
    assert (observed.remaining_requests, observed.remaining_tokens) == (0, 149984)
    assert (observed.requests_reset, observed.tokens_reset) == (2 * 10**9, 6 * 10**6)


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
