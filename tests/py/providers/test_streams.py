"""The splitter of streams, what decoders do at the edges, and that nothing a provider echoes of a key gets through."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import Outcome
from llmcore.hosts import HOSTS
from llmcore.providers.anthropic import AnthropicProvider
from llmcore.providers.azure import AzureOpenAIProvider
from llmcore.providers.base import LLMProvider
from llmcore.providers.http import HttpProvider
from llmcore.providers.llama import LocalLlamaProvider
from llmcore.providers.offline import OfflineProvider
from llmcore.providers.ollama import OllamaProvider
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.responses import OpenAIResponsesProvider
from llmcore.providers.stream import EventSplitter, LineSplitter
from llmcore.types import Failure, LLMRequest, Reply

SAID = b'{"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}]}'


def reference(text: bytes) -> list[tuple[bytes, bytes]]:
    """The standard's algorithm, a line at a time over the whole; events whose data is empty are left out there."""
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[tuple[bytes, bytes]] = []
    data: list[bytes] = []
    name = b""
    for line in text.split(b"\n")[:-1]:
        field, _, value = line.partition(b":")
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = b"", []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.strip()
    return events


pieces = st.sampled_from(
    b"data: x|data:y|data|data:  z|event: e|:|: c|id: 1|retry|\n|\r|\r\n|\n\n|\xc3|\xbc|\xef\xbb\xbf| |d".split(b"|")
)


@given(parts=st.lists(pieces, max_size=30), cuts=st.lists(st.integers(0, 300), max_size=10))
def test_events_are_those_of_the_standard_however_they_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(parts)
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    splitter = EventSplitter()
    found = [event for start, end in pairwise(places) for event in splitter.feed(body[start:end])]
    assert found == reference(body)
    assert splitter.flush() == splitter.flush()


@given(parts=st.lists(st.sampled_from([b"{}", b"\n", b"\r\n", b"x"]), max_size=20), size=st.integers(1, 5))
def test_lines_are_lines_however_they_are_cut(parts: list[bytes], size: int) -> None:
    body = b"".join(parts)
    splitter = LineSplitter()
    found = [line for at in range(0, len(body), size) for _, line in splitter.feed(body[at : at + size])]
    found += [line for _, line in splitter.flush()]
    assert [line for line in found if line] == [line for line in body.replace(b"\r\n", b"\n").split(b"\n") if line]


@pytest.mark.parametrize(
    "parts",
    [[b"data: " + b"x" * 200], [b"data: " + b"x" * 60 + b"\n"] * 3, [b"x" * 40] * 5, [b"data:x", b"y" * 200, b"\n\n"]],
)
def test_what_is_too_long_is_let_go(parts: list[bytes]) -> None:
    splitter = EventSplitter(limit=100)
    for part in parts:
        assert splitter.feed(part) == []
    assert splitter.overflowed
    assert splitter.feed(b"\n\ndata: z\n\n") == []
    assert splitter.flush() == []


def test_many_short_events_are_never_too_long() -> None:
    splitter = EventSplitter(limit=100)
    assert len(splitter.feed(b"data: x\n\n" * 1000)) == 1000
    assert not splitter.overflowed


def test_an_event_that_is_too_long_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmcore.providers.stream.LONGEST_EVENT", 1000)
    for start in (b"data: ", b"{"):
        decoder = OpenAIProvider("key-0123").stream_decoder()
        monkeypatch.setattr(decoder, "_events", EventSplitter(1000))
        assert decoder.feed(start) == []
        for _ in range(30):
            assert decoder.feed(b"x" * 100) == []
        said = decoder.finish()
        assert isinstance(said, Failure)
        assert said.outcome is Outcome.SERVER_ERROR
        assert "longer than 1000 bytes" in said.message


def test_a_stream_that_goes_on_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmcore.providers.stream.LONGEST_STREAM", 1000)
    decoder = OpenAIProvider("key-0123").stream_decoder()
    event = b'data: {"choices":[{"delta":{"content":"and on "}}]}\n\n'
    texts = [chunk.text for _ in range(100) for chunk in decoder.feed(event)]
    said = decoder.finish()
    assert len(texts) == 1000 // len(event)
    assert isinstance(said, Failure)
    assert "longer than 1000 bytes" in said.message
    assert said.partial is not None
    assert said.partial.content == "".join(texts)


def test_a_stream_says_when_it_has_ended() -> None:
    decoder = OpenAIProvider("key-0123").stream_decoder()
    decoder.feed(b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n')
    assert not decoder.ended, "its usage is still to come"
    decoder.feed(b"data: [DONE]\n\n")
    assert decoder.ended


def test_a_provider_that_does_not_stream_answers_in_one_piece() -> None:
    class Whole(OfflineProvider):
        stream_decoder = LLMProvider.stream_decoder

    offline = Whole()
    body = offline.answer(LLMRequest("m", [{"role": "user", "content": "Hi"}]), None)
    decoder = offline.stream_decoder()
    assert decoder.feed(body[:10]) == decoder.feed(body[10:]) == []
    assert decoder.finish() == offline.decode(200, {}, body)
    empty = offline.stream_decoder().finish()
    assert isinstance(empty, Failure)


def test_an_offline_stream_says_word_by_word_what_the_whole_answer_says() -> None:
    offline = OfflineProvider()
    messages = [{"role": "user", "content": "Hi"}]
    whole = offline.decode(200, {}, offline.answer(LLMRequest("m", messages), "chat"))
    decoder = offline.stream_decoder()
    chunks = decoder.feed(offline.answer(LLMRequest("m", messages, stream=True), "chat"))
    assert decoder.finish() == whole
    assert isinstance(whole, Reply)
    assert [chunk.text.strip() for chunk in chunks if chunk.text] == whole.content.split()


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n \r\n"])
def test_an_answer_in_one_piece_is_understood(before: bytes) -> None:
    for size in (1, 5, 500):
        decoder = OpenAIProvider("key-0123").stream_decoder({"x-request-id": "r1"})
        body = before + SAID
        assert [chunk for at in range(0, len(body), size) for chunk in decoder.feed(body[at : at + size])] == []
        said = decoder.finish()
        assert isinstance(said, Reply)
        assert (said.content, said.request_id) == ("Hello.", "r1")


def test_characters_may_be_split() -> None:
    text = "\u00fc\u20ac\U0001f600" * 5
    event = {"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}
    body = b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"
    for at in range(len(body)):
        decoder = OpenAIProvider("key-0123").stream_decoder()
        chunks = decoder.feed(body[:at]) + decoder.feed(body[at:])
        assert "".join(chunk.text for chunk in chunks) == text


# --- what is echoed of a key

KEY = "key-that-nobody-may-see-0123456789"
ECHOING: dict[str, Callable[[], HttpProvider]] = {
    "openai": lambda: OpenAIProvider(KEY),
    "responses": lambda: OpenAIResponsesProvider(KEY),
    "azure": lambda: AzureOpenAIProvider(KEY, "https://name.openai.azure.com"),
    "anthropic": lambda: AnthropicProvider(KEY),
    "llama": lambda: LocalLlamaProvider(api_key=KEY),
    "ollama": lambda: OllamaProvider(api_key=KEY),
    "ollama's own": lambda: OllamaProvider("http://127.0.0.1:11434/api", KEY),
    "groq": lambda: OpenAIProvider(KEY, host=HOSTS["groq"]),
}
ERROR = {"message": f"wrong key {KEY} in 'Bearer {KEY}'", "type": f"bad_{KEY}", "code": f"bad-{KEY}"}
ECHOES: list[Any] = [
    {"error": ERROR, "request_id": f"for-{KEY}"},
    {"type": "error", "error": ERROR, "request_id": f"for-{KEY}"},
    {"type": "response.failed", "response": {"status": "failed", "output": [], "error": ERROR}},
    {"error": f"wrong key {KEY}"},
    {"detail": [{"loc": ["header", KEY], "msg": f"not {KEY}"}]},
    f"<html><title>{KEY}</title></html>",
    f"{KEY} is wrong",
]


@pytest.mark.parametrize("name", sorted(ECHOING))
@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
def test_an_echoed_key_reaches_nobody(name: str, echo: Any) -> None:
    provider = ECHOING[name]()
    body = (echo if isinstance(echo, str) else json.dumps(echo)).encode()
    headers = {"x-request-id": f"for {KEY}", "retry-after": KEY}
    for status in (200, 400, 401, 429, 500):
        assert KEY not in repr(provider.decode(status, headers, body))
    for stream in (
        b"data: " + body + b"\n\n",
        b"event: error\ndata: " + body + b"\n\n",
        b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: ' + body + b"\n\n",
        b'{"message":{"content":"x"},"done":false}\n' + body + b"\n",
        body,
        b"data: " + body[:40],
    ):
        decoder = provider.stream_decoder(headers)
        decoder.feed(stream)
        assert KEY not in repr(decoder.finish())
    assert KEY not in repr(provider)


# --- local servers


def test_the_health_of_a_local_server() -> None:
    llama = LocalLlamaProvider("http://127.0.0.1:8080/base/v1")
    assert (llama.health().method, llama.health().url) == ("GET", "http://127.0.0.1:8080/base/health")
    assert LocalLlamaProvider().health().url == "http://127.0.0.1:8080/health"
    assert llama.is_healthy(200, {}, b'{"status":"ok"}') is True
    assert llama.is_healthy(503, {}, b'{"error":{"code":503,"message":"Loading model"}}') is False
    refused = llama.is_healthy(404, {}, b"")
    assert isinstance(refused, Failure)
    assert refused.outcome is Outcome.NOT_FOUND
    studio = LocalLlamaProvider(host=HOSTS["lmstudio"])
    assert studio.health().url == "http://127.0.0.1:1234/v1/models"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"object":"list","data":[{"id":"a"},{"id":"b"}]}', ["a", "b"]),
        (b'{"models":[{"name":"a:latest","model":"a:latest"}]}', ["a:latest"]),
        (b'{"data":[{"id":1},7,{"id":"c"}]}', ["c"]),
    ],
)
def test_the_models_of_a_local_server(body: bytes, names: list[str]) -> None:
    assert LocalLlamaProvider().models().url == "http://127.0.0.1:8080/v1/models"
    assert OllamaProvider("http://127.0.0.1:11434/api").models().url == "http://127.0.0.1:11434/api/tags"
    assert LocalLlamaProvider().model_names(200, {}, body) == names


@pytest.mark.parametrize(("status", "body"), [(500, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"data":7}')])
def test_no_models_are_a_failure(status: int, body: bytes) -> None:
    assert isinstance(LocalLlamaProvider().model_names(status, {}, body), Failure)


@pytest.mark.parametrize(
    ("url", "at"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/chat/completions"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1/chat/completions"),
        ("http://gpu.local:9/v1", "http://gpu.local:9/v1/chat/completions"),
        ("http://gpu.local:9/models/a/v1/", "http://gpu.local:9/models/a/v1/chat/completions"),
        ("http://127.0.0.1:8080?key=1", "http://127.0.0.1:8080/v1/chat/completions?key=1"),
    ],
)
def test_the_address_of_a_local_server_needs_no_path(url: str, at: str) -> None:
    assert LocalLlamaProvider(url).encode(LLMRequest("m", [{"role": "user", "content": "Hi"}])).url == at


# --- limits in Anthropic's headers


def test_anthropics_limits_are_observed() -> None:
    provider = AnthropicProvider("key-0123", now=lambda: 1780315200.0)
    prefix = "anthropic-ratelimit-"
    observed = provider.observe(
        {
            f"{prefix}requests-remaining": "49",
            f"{prefix}requests-reset": "2026-06-01T12:00:02Z",
            f"{prefix}tokens-remaining": "9000",
            f"{prefix}tokens-reset": "2026-06-01T12:01:00Z",
            f"{prefix}input-tokens-remaining": "5000",
            f"{prefix}input-tokens-reset": "2026-06-01T12:00:30+00:00",
            f"{prefix}requests-limit": "50",
            f"{prefix}tokens-limit": "10000",
            f"{prefix}input-tokens-limit": "7000",
            f"{prefix}output-tokens-remaining": "8000",
        }
    )
    assert observed is not None
    assert (observed.remaining_requests, observed.requests_reset) == (49, 2 * 10**9)
    assert (observed.remaining_tokens, observed.tokens_reset) == (5000, 30 * 10**9)
    assert (observed.requests_limit, observed.tokens_limit) == (50, 7000)
    assert provider.observe({}) is None


@pytest.mark.parametrize("reset", ["", "soon", "2026-06-01T11:00:00Z", "99999-01-01T00:00:00Z", "2026-13-01T00:00:00Z"])
def test_a_reset_that_makes_no_sense_is_unknown(reset: str) -> None:
    headers = {"anthropic-ratelimit-requests-remaining": "1", "anthropic-ratelimit-requests-reset": reset}
    observed = AnthropicProvider("key-0123", now=lambda: 1780315200.0).observe(headers)
    assert observed is not None
    assert observed.requests_reset == 0
