"""Arguments of any kind: what makes no sense is said in an error of llmcore's, before anything is sent."""

import enum
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from llmcore.call_context import CONTEXT_FIELDS, context
from llmcore.client import LLMClient
from llmcore.errors import LLMError, LLMValidationError
from support.scripted import ListSink, ask, settings_of

ODD: tuple[Any, ...] = (
    *(5, -1, 1.5, float("nan"), True, None, "", "x", "\ud800", b"x"),
    *([], ["a"], [5], ("a",), {"a": 1}, {1: 2}, {"a": object()}, object(), uuid.UUID(int=1)),
)
ARGUMENTS = (
    *("model", "json_format", "temperature", "max_tokens", "tools", "response_format"),
    *("priority", "deadline", "cache", "call_type", "tool_choice", "stop", "n", "functions"),
)


@pytest.fixture(scope="module")
def client() -> Iterator[LLMClient]:
    with LLMClient(settings=settings_of(provider="offline"), tracker=ListSink()) as made:
        yield made


@pytest.mark.parametrize("name", [*ARGUMENTS, *sorted(CONTEXT_FIELDS)])
def test_no_argument_raises_anything_foreign(client: LLMClient, name: str) -> None:
    for odd in ODD:
        for call in client.complete, lambda messages, **given: client.stream(messages, **given).finish():
            refused = ""
            try:
                call(ask("Hello"), **{name: odd})
            except LLMError as error:
                refused = error.message
            assert "own code raised" not in refused, odd
        if name in CONTEXT_FIELDS:
            try:
                with context(**{name: odd}):
                    client.complete(ask("Hello"))
            except LLMValidationError:
                pass
    assert client.stats()["in_flight"] == 0
    assert set(client.stats()["reserved"].values()) == {0}


def test_a_model_may_be_a_member_of_an_enumeration(client: LLMClient) -> None:
    class Model(enum.StrEnum):
        SMALL = "small-1"

    answer = client.complete(ask("Hello"), model=Model.SMALL)
    assert type(answer.model) is str
    assert client.estimate_cost(ask("Hello"), Model.SMALL).model == "small-1"
    with pytest.raises(LLMValidationError, match="model is a non-empty string, not int"):
        client.complete(ask("Hello"), model=5)  # type: ignore[arg-type]
