"""CPU per streamed chunk and per answer of 1 KB: llmcore's decoders beside the `openai` SDK's parsing, in one process.

    python benchmarks/stream_chunks.py [--chunks 2000]

Both are handed the same bytes, a chunk at a time, without a socket; at the end both read a whole stream through their
clients, from a server on loopback in a process of its own. The least of several rounds counts.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import openai
from openai._models import construct_type
from openai._streaming import Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llmcore import (
    AnthropicProvider,
    LLMClient,
    LLMProvider,
    OpenAIProvider,
    OpenAIResponsesProvider,
    Runtime,
    Settings,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "py"))
from support.server_process import ServerProcess

ROUNDS = 7
MODEL = "gpt-4o-mini-2024-07-18"


def sse(event: dict[str, object]) -> bytes:
    """One event as a provider sends it."""
    return f"data: {json.dumps(event)}\n\n".encode()


def chat_chunk(number: int) -> bytes:
    choice = {"index": 0, "delta": {"content": f" word{number}"}, "logprobs": None, "finish_reason": None}
    frame = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1780000000, "model": MODEL}
    return sse({**frame, "service_tier": "default", "system_fingerprint": "fp_1", "choices": [choice], "usage": None})


def messages_chunk(number: int) -> bytes:
    delta = {"type": "text_delta", "text": f" word{number}"}
    return b"event: content_block_delta\n" + sse({"type": "content_block_delta", "index": 0, "delta": delta})


def responses_chunk(number: int) -> bytes:
    place = {"item_id": "msg_0123456789", "output_index": 0, "content_index": 0}
    kind = "response.output_text.delta"
    return f"event: {kind}\n".encode() + sse({"type": kind, **place, "delta": f" word{number}", "logprobs": []})


ANSWER = json.dumps(
    {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1780000000,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 700}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }
).encode()


def microseconds(work: Callable[[], object], count: int) -> float:
    """CPU time of one of the `count` pieces that `work` does."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best / count * 1e6


def decoding(provider: LLMProvider, chunks: list[bytes]) -> Callable[[], object]:
    def work() -> object:
        decoder = provider.stream_decoder()
        for chunk in chunks:
            decoder.feed(chunk)
        return decoder.finish()

    return work


def sdk_streaming(chunks: list[bytes]) -> Callable[[], object]:
    client = openai.OpenAI(api_key="sk-none", base_url="http://127.0.0.1:1/v1")
    request = httpx2.Request("POST", "http://127.0.0.1:1/v1/chat/completions")

    def work() -> object:
        response = httpx2.Response(200, content=iter(chunks), request=request)
        return sum(
            len(event.choices) for event in Stream(cast_to=ChatCompletionChunk, response=response, client=client)
        )

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=2000)
    count = parser.parse_args().chunks
    chat = [chat_chunk(number) for number in range(count)] + [b"data: [DONE]\n\n"]
    openai_provider = OpenAIProvider("sk-none")

    ours, sdk = microseconds(decoding(openai_provider, chat), count), microseconds(sdk_streaming(chat), count)
    print(f"Chat Completions, a chunk   llmcore {ours:6.2f} us   openai SDK {sdk:6.2f} us   ratio {ours / sdk:.3f}")
    for name, provider, make in (
        ("Messages", AnthropicProvider("sk-none"), messages_chunk),
        ("Responses", OpenAIResponsesProvider("sk-none"), responses_chunk),
    ):
        spent = microseconds(decoding(provider, [make(number) for number in range(count)]), count)
        print(f"{name + ', a chunk':26}  llmcore {spent:6.2f} us")

    ours = microseconds(lambda: [openai_provider.decode(200, {}, ANSWER) for _ in range(count)], count)
    parsing = microseconds(
        lambda: [construct_type(type_=ChatCompletion, value=json.loads(ANSWER)) for _ in range(count)], count
    )
    size = f"an answer of {len(ANSWER)} bytes"
    print(f"{size:26}  llmcore {ours:6.2f} us   openai SDK {parsing:6.2f} us   ratio {ours / parsing:.3f}")

    with ServerProcess("stream", chunks=count) as server:
        ours, sdk = through_clients(server.base_url, count)
    print(
        f"{'through the client, a chunk':27} llmcore {ours:6.2f} us   openai SDK {sdk:6.2f} us   ratio {ours / sdk:.3f}"
    )


def through_clients(base_url: str, count: int) -> tuple[float, float]:
    """Microseconds of CPU a chunk: LLMClient.stream and the SDK's client, over loopback."""
    bare = openai.OpenAI(api_key="sk-none", base_url=base_url, max_retries=0)
    settings = Settings(provider="openai", openai_api_key="sk-none", openai_base_url=base_url, ledger={"url": "none"})
    runtime = Runtime(settings)
    client = LLMClient("openai", "gpt-4o-mini", runtime=runtime)

    def ours() -> None:
        with client.stream([{"role": "user", "content": "Hello"}]) as stream:
            assert sum(1 for chunk in stream if chunk.text) == count

    def sdk() -> None:
        events = bare.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        assert sum(1 for event in events if event.choices and event.choices[0].delta.content) == count

    try:
        return microseconds(ours, count), microseconds(sdk, count)
    finally:
        runtime.close()
        bare.close()


if __name__ == "__main__":
    main()
