"""Arguments of a call: what is refused before anything happens, and what is shown as it was sent."""

from typing import Any

import pytest

from llmcore.client import LLMClient
from llmcore.errors import LLMValidationError
from llmcore.types import LLMResponse, Usage
from support.runtimes import PRICE, records_of, runtime_of
from support.scripted import ask


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"messages": []}, "non-empty list"),
        ({"messages": "hello"}, "non-empty list"),
        ({"messages": [{"content": "hello"}]}, r"messages\[0\]"),
        ({"messages": [{"role": "user", "content": "a"}, "b"]}, r"messages\[1\]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"deadline": 0}, "deadline"),
        ({"deadline": float("nan")}, "deadline"),
        ({"deadline": float("inf")}, "deadline"),
        ({"temperature": float("inf")}, "temperature"),
        ({"tags": "one"}, "tags"),
        ({"hand_number": "3"}, "hand_number"),
        ({"priority": "high"}, r"priority is Priority\.HIGH, MEDIUM or LOW, not 'high'"),
        ({"call_type": 5}, "call_type is a string, not 5"),
        ({"call_type": "\ud800"}, "call_type holds half of a surrogate pair"),
        ({"user_id": "\ud800"}, "user holds half of a surrogate pair"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_happens(arguments: dict[str, Any], complaint: str) -> None:
    runtime = runtime_of(budgets=[{"scope": "user=*", "limit_usd": 1}], prices=PRICE)
    client = LLMClient("p1", "m1", runtime=runtime)
    with pytest.raises(LLMValidationError, match=complaint):
        client.complete(**{"messages": ask("hello"), **arguments})
    assert runtime.stats()["submitted"] == 0
    assert records_of(runtime) == []


def test_a_body_that_is_not_strictly_json_is_shown_all_the_same() -> None:
    body = b'\xef\xbb\xbf{"logprob": NaN, "text": "caf\xe9"}'
    shown = LLMResponse("", "m", "p", Usage(), None, "id", body=body).raw_response
    assert shown["text"] == "caf\ufffd"
    assert shown["logprob"] != shown["logprob"]
