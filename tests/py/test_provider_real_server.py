"""The decoders against a real server, llama.cpp's: Chat Completions, Messages, Responses, a prompt that is too long."""

import importlib.util
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from llmcore import LLMClient, LLMContextLengthError, Settings
from llmcore._core import Outcome
from llmcore.providers.anthropic import AnthropicProvider
from llmcore.providers.http import HttpProvider
from llmcore.providers.llama import LocalLlamaProvider
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.responses import OpenAIResponsesProvider
from llmcore.types import EmbeddingReply, EmbeddingRequest, Failure, HttpRequest, LLMRequest, Reply
from support.tiny_model import tiny_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("gguf")),
        reason="xllamacpp and gguf are not installed: pip install xllamacpp gguf",
    ),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tiny_server(tmp_path_factory.mktemp("model")) as url:
        yield url


def exchange(asked: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
    """What comes back."""
    request = urllib.request.Request(asked.url, asked.body or None, asked.headers, method=asked.method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, {name.lower(): value for name, value in refusal.headers.items()}, refusal.read()


def providers(url: str) -> list[HttpProvider]:
    """Everything that the server speaks."""
    return [
        OpenAIProvider("key-0123", f"{url}/v1"),
        LocalLlamaProvider(url),
        AnthropicProvider("key-0123", url),
        OpenAIResponsesProvider("key-0123", f"{url}/v1"),
    ]


def asking(**fields: Any) -> LLMRequest:
    given: dict[str, Any] = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Say something."}],
        "max_tokens": 24,
    }
    return LLMRequest(**(given | {"temperature": 0.0} | fields))


def test_a_stream_is_the_answer_in_one_piece(url: str) -> None:
    for provider in providers(url):
        status, headers, body = exchange(provider.encode(asking()))
        whole = provider.decode(status, headers, body)
        assert isinstance(whole, Reply), whole
        assert whole.content
        assert not whole.usage.estimated
        assert 0 < whole.usage.output_tokens <= 24

        status, headers, body = exchange(provider.encode(asking(stream=True)))
        assert status == 200
        decoder = provider.stream_decoder(headers)
        chunks = [chunk for at in range(0, len(body), 7) for chunk in decoder.feed(body[at : at + 7])]
        streamed = decoder.finish()
        assert isinstance(streamed, Reply), streamed
        assert "".join(chunk.text for chunk in chunks) == streamed.content
        assert (streamed.content, streamed.finish_reason) == (whole.content, whole.finish_reason)
        assert streamed.usage.output_tokens == whole.usage.output_tokens
        assert streamed.usage.input_tokens == whole.usage.input_tokens

        cut = provider.stream_decoder(headers)
        cut.feed(body[: len(body) // 2])
        broken = cut.finish()
        assert isinstance(broken, Failure)
        assert broken.outcome is Outcome.CONNECTION
        assert broken.partial is not None
        assert broken.partial.usage.output_tokens > 0


def test_clients_reach_it_by_every_name(url: str) -> None:
    reached = {
        name: {"api_key": "key-0123", "base_url": f"{url}/v1"} for name in ("openai", "anthropic", "llama", "groq")
    }
    with LLMClient("llama", "tiny", settings=Settings(providers=reached, ledger={"url": "none"})) as client:
        for name in ("openai", "openai-responses", "anthropic", "llama", "groq"):
            other = LLMClient(name, "tiny", runtime=client.runtime)
            answer = other.complete([{"role": "user", "content": "Say something."}], temperature=0.0, max_tokens=8)
            assert (answer.provider, answer.attempts) == (name, 1)
            assert answer.content
            assert 0 < answer.output_tokens <= 8
            assert (answer.cost is not None and answer.cost.nano_usd == 0) is (name == "llama"), "others have no price"
            with pytest.raises(LLMContextLengthError):
                other.complete([{"role": "user", "content": "word " * 2000}])


def test_a_prompt_that_is_too_long_is_told_so(url: str) -> None:
    for provider in providers(url):
        long = asking(messages=[{"role": "user", "content": "word " * 2000}])
        refused = provider.decode(*exchange(provider.encode(long)))
        assert isinstance(refused, Failure)
        assert refused.outcome is Outcome.CONTEXT_LENGTH


def test_it_is_healthy_and_names_its_model(url: str) -> None:
    llama = LocalLlamaProvider(url)
    assert llama.is_healthy(*exchange(llama.health())) is True
    names = llama.model_names(*exchange(llama.models()))
    assert isinstance(names, list)
    assert len(names) == 1


def test_who_has_no_vectors_refuses_typed(url: str, tmp_path: Path) -> None:
    llama = LocalLlamaProvider(url)
    said = llama.decode(*exchange(llama.encode_embeddings(EmbeddingRequest("tiny", ["x"]))))
    assert isinstance(said, Failure | EmbeddingReply)


class Guess(BaseModel):
    mood: Literal["good", "bad"]
    stars: int = Field(ge=1, le=5)
    topics: list[Literal["room", "food"]] = Field(max_length=3)
    pair: tuple[int, bool] | None


@pytest.mark.parametrize("provider", ["llama", "openai"])
def test_the_grammar_of_a_real_server_gives_values_of_a_type(url: str, provider: str) -> None:
    """The model is random: that it fits the type is the server's work, by the schema that it was sent. There is no free
    text in it, as that would be random bytes, and this server refuses its own answer then.
    """
    settings = Settings(
        provider=provider,
        ledger={"url": "none"},
        providers={provider: {"api_key": "key-0123", "base_url": f"{url}/v1"}},
    )
    with LLMClient(model="tiny", settings=settings) as client:
        for seed in range(5):
            found = client.complete_structured(
                [{"role": "user", "content": "Guess."}], Guess, max_retries=0, max_tokens=200, seed=seed
            )
            assert type(found.value) is Guess
