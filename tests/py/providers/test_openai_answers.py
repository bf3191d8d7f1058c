"""Chat Completions: what comes in from an answer; no bytes make decoding raise."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import Outcome, Usage
from llmcore.types import Failure, Reply, ToolCall
from support.openai_provider import failure_from, golden, json_values, provider, reply_to
from support.server import chat_body

COUNTS = [name for name in dir(Usage) if isinstance(getattr(Usage(), name), int)]
BUCKETS = [name for name in COUNTS if not name.endswith("_tokens") and name not in ("estimated", "valid")]


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
