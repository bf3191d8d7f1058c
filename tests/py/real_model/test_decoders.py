"""The decoders alone, on what a real server sends: cut anywhere, and broken off."""

import pytest

from llmcore._core import Outcome
from llmcore.providers.anthropic import AnthropicProvider
from llmcore.providers.http import HttpProvider
from llmcore.providers.llama import LocalLlamaProvider
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.responses import OpenAIResponsesProvider
from llmcore.runtime import Runtime
from llmcore.types import Failure, LLMRequest, Reply
from support.llama_server import LlamaServer

REQUEST = LLMRequest("tiny", [{"role": "user", "content": "Say something."}], max_tokens=24, temperature=0.0)


@pytest.mark.parametrize("name", ["openai", "llama", "anthropic", "openai-responses"])
def test_a_stream_is_the_answer_in_one_piece(runtime: Runtime, server: LlamaServer, name: str) -> None:
    provider: HttpProvider = {
        "openai": OpenAIProvider("key-0123", f"{server.url}/v1"),
        "llama": LocalLlamaProvider(server.url),
        "anthropic": AnthropicProvider("key-0123", server.url),
        "openai-responses": OpenAIResponsesProvider("key-0123", f"{server.url}/v1"),
    }[name]
    answer = runtime.transport.send(provider.encode(REQUEST), 10.0)
    whole = provider.decode(answer.status, answer.headers, answer.body)
    assert isinstance(whole, Reply), whole
    REQUEST.stream = True
    try:
        answer = runtime.transport.send(provider.encode(REQUEST), 10.0)
    finally:
        REQUEST.stream = False
    assert answer.status == 200

    for step in (1, 7, 100):
        decoder = provider.stream_decoder(answer.headers)
        pieces = [answer.body[at : at + step] for at in range(0, len(answer.body), step)]
        chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
        streamed = decoder.finish()
        assert isinstance(streamed, Reply), streamed
        assert "".join(chunk.text for chunk in chunks) == streamed.content == whole.content
        assert streamed.finish_reason == whole.finish_reason
        assert streamed.usage.output_tokens == whole.usage.output_tokens == 24
        assert streamed.usage.input_tokens == whole.usage.input_tokens

    cut = provider.stream_decoder(answer.headers)
    cut.feed(answer.body[: len(answer.body) // 2])
    broken = cut.finish()
    assert isinstance(broken, Failure)
    assert broken.outcome is Outcome.CONNECTION
    assert broken.partial is not None
    assert whole.content.startswith(broken.partial.content)
    assert broken.partial.usage.output_tokens > 0
