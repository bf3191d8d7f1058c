"""The golden exchanges of every provider: what goes out for a request, and what comes in, whole, streamed or refused.

A stream is read in pieces of every size, and its end is compared with the answer in one piece where there is one.
"""

import json
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import Usage
from llmcore.config import Settings
from llmcore.hosts import HOSTS
from llmcore.providers.base import LLMProvider
from llmcore.providers.registry import create_provider
from llmcore.types import (
    Chunk,
    EmbeddingReply,
    EmbeddingRequest,
    Failure,
    HttpRequest,
    ImageReply,
    ImageRequest,
    LLMRequest,
    Reply,
)

GOLDEN = Path(__file__).parents[2] / "data" / "providers"
KEY = "golden-key-000111222333"
FILES = ("anthropic", "azure", "chat_streams", "data", "hosts", "ollama", "responses")
CASES: dict[str, dict[str, list[dict[str, Any]]]] = {
    name: json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")) for name in FILES
}
OURS = {"Accept", "Content-Type", "User-Agent"}


def cases(*sections: str) -> pytest.MarkDecorator:
    """Every case of these sections, in every file."""
    found = [
        pytest.param(case, id=f"{name}: {case['name']}")
        for name, file in CASES.items()
        for section in sections
        for case in file.get(section, ())
    ]
    return pytest.mark.parametrize("case", found)


def provider_of(case: dict[str, Any]) -> LLMProvider:
    """The provider that a case is of."""
    name = case["provider"]
    reached = {"api_key": KEY, "base_url": case.get("base_url")}
    if name == "azure" and reached["base_url"] is None:
        reached["base_url"] = "https://name.openai.azure.com"
    return create_provider(name, Settings(providers={"openai" if name == "openai-responses" else name: reached}))


def shown(said: Reply | Failure) -> dict[str, Any]:
    """A decoded answer in the words of the files."""
    if isinstance(said, Failure):
        told: dict[str, Any] = {"outcome": said.outcome.name.lower(), "message": said.message}
        for name in ("retry_after", "should_retry", "request_id", "code"):
            if getattr(said, name) is not None:
                told[name] = getattr(said, name)
        return {"failure": told} | ({} if said.partial is None else {"partial": shown(said.partial)})
    told = {"content": said.content, "model": said.model, "finish_reason": said.finish_reason}
    for name in ("reasoning", "refusal", "created", "request_id", "reported_cost"):
        if getattr(said, name):
            told[name] = getattr(said, name)
    if said.tool_calls:
        told["tool_calls"] = [[call.id, call.name, call.arguments, call.type] for call in said.tool_calls]
    if said.citations:
        told["citations"] = [[page.url, page.title, page.snippet] for page in said.citations]
    return {"reply": told, "usage": buckets(said.usage)}


def buckets(usage: Usage) -> dict[str, Any]:
    """Those that are not 0."""
    names = (
        "input_uncached cache_read cache_write_5m cache_write_1h output_text reasoning audio_input audio_cache_read "
        "audio_output image_input image_output images web_searches estimated"
    )
    return {name: getattr(usage, name) for name in names.split() if getattr(usage, name)}


def shown_chunk(chunk: Chunk) -> dict[str, Any]:
    """A chunk in the words of the files."""
    told: dict[str, Any] = {}
    for name in ("text", "reasoning", "refusal", "finish_reason"):
        if getattr(chunk, name):
            told[name] = getattr(chunk, name)
    if chunk.tool_calls:
        told["tool_calls"] = [[call.index, call.id, call.name, call.arguments, call.type] for call in chunk.tool_calls]
    return told


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """What a case says the answer is."""
    return {name: case[name] for name in ("reply", "usage", "failure", "partial") if name in case}


def sent(request: HttpRequest) -> dict[str, Any]:
    """A request in the words of the files."""
    headers = {name: value for name, value in request.headers.items() if name not in OURS}
    return {"url": request.url, "headers": headers, "body": request.body.decode()}


def test_the_table_of_hosts_is_the_same_in_every_language() -> None:
    told = []
    for host in HOSTS.values():
        row: dict[str, Any] = {"name": host.name, "protocol": host.protocol}
        for name in ("base_url", "key_variable", "url_variable", "model", "free", "total_holds_reasoning", "renamed"):
            row |= {name: value} if (value := getattr(host, name)) else {}
        for name in ("completion_limit_hosts", "unknown"):
            row |= {name: sorted(value)} if (value := getattr(host, name)) else {}
        row |= {"extra": host.extra} if host.extra else {}
        told.append(row | ({} if host.asks_for_usage else {"asks_for_usage": False}))
    assert told == json.loads((GOLDEN / "table.json").read_text(encoding="utf-8"))


@cases("requests")
def test_a_request_becomes_these_bytes(case: dict[str, Any]) -> None:
    provider, request = provider_of(case), LLMRequest(**case["request"])
    before = repr(request)
    assert sent(provider.encode(request)) == {name: case[name] for name in ("url", "headers", "body")}
    assert repr(request) == before, "encoding changes nothing in the request"


@cases("embedding_requests")
def test_a_request_for_vectors_becomes_these_bytes(case: dict[str, Any]) -> None:
    asked = provider_of(case).encode_embeddings(EmbeddingRequest(**case["request"]))
    assert sent(asked) == {name: case[name] for name in ("url", "headers", "body")}


@cases("image_requests")
def test_a_request_for_pictures_becomes_these_bytes(case: dict[str, Any]) -> None:
    asked = provider_of(case).encode_image(ImageRequest(**case["request"]))
    assert sent(asked) == {name: case[name] for name in ("url", "headers", "body")}


@cases("answers", "refusals", "data_answers")
def test_an_answer_reads_as_this(case: dict[str, Any]) -> None:
    said = provider_of(case).decode(case.get("status", 200), case.get("headers", {}), case["body"].encode())
    assert shown(said) == expected(case)
    assert KEY not in repr(said)


@cases("data_answers")
def test_the_vectors_and_pictures_are_these(case: dict[str, Any]) -> None:
    said = provider_of(case).decode(200, {}, case["body"].encode())
    if isinstance(said, EmbeddingReply):
        size = said.dimensions
        numbers = struct.unpack(f"{len(said) * size}f", said.vectors)
        assert [list(numbers[at : at + size]) for at in range(0, len(numbers), size)] == case["vectors"]
        return
    assert isinstance(said, ImageReply)
    found = [
        {
            "url": image.url,
            "base64": None if image.data is None else b64encode(image.data).decode(),
            "revised_prompt": image.revised_prompt,
        }
        for image in said.images
    ]
    assert [{name: value for name, value in image.items() if value} for image in found] == case["images"]
    assert (said.size, said.quality) == (case["size"], case["quality"])


@cases("streams")
def test_a_stream_reads_as_this_whatever_its_pieces(case: dict[str, Any]) -> None:
    provider, body, headers = provider_of(case), case["body"].encode(), case.get("headers")
    for size in (1, 2, 3, 7, 64, len(body) + 1):
        decoder = provider.stream_decoder(headers)
        chunks = [chunk for at in range(0, len(body), size) for chunk in decoder.feed(body[at : at + size])]
        said = decoder.finish()
        assert [shown_chunk(chunk) for chunk in chunks] == case["chunks"]
        assert shown(said) == expected(case)
        assert decoder.finish() is said, "asked again, it says the same"
        assert KEY not in repr(said)


@pytest.mark.parametrize("name", ["anthropic", "responses", "chat_streams", "ollama"])
@given(data=st.data())
def test_no_damage_to_a_stream_makes_it_raise_and_no_cut_changes_it(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES[name]["streams"]))
    body = bytearray(case["body"].encode())
    junk = [
        b'"',
        b"{",
        b"}",
        b"[",
        b"null",
        b"-1",
        b"\xff",
        b"",
        b"\r",
        b"\n\n",
        b"data: ",
        b"event: error\n",
        b"1e999",
    ]
    for at, put in data.draw(st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(junk)), max_size=5)):
        place = at % (len(body) or 1)
        body[place : place + 1] = put
    provider = provider_of(case)
    whole = provider.stream_decoder()
    chunks = whole.feed(bytes(body))
    said = whole.finish()
    assert isinstance(said, Reply | Failure)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [bytes(body[start:end]) for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    other = provider.stream_decoder()
    by_pieces = [chunk for piece in pieces for chunk in other.feed(piece)]
    assert by_pieces == chunks
    assert other.finish() == said
    if isinstance(said, Reply) and name != "responses":  # whose last event says it all again, undamaged
        assert said.content.startswith("".join(chunk.text for chunk in chunks))


@pytest.mark.parametrize("name", ["anthropic", "responses", "chat_streams", "ollama", "data"])
@given(data=st.data())
def test_no_damage_to_an_answer_makes_decode_raise(name: str, data: st.DataObject) -> None:
    file = CASES[name]
    case = data.draw(st.sampled_from(file.get("answers", []) + file.get("data_answers", [])))
    body = case["body"].encode()
    junk = [b'"', b"{", b"}", b"[", b"]", b"null", b"-1", b"\xff", b"", b"1e999", b"NaN", b'"\\ud800"', b"true"]
    for at, put in data.draw(st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(junk)), max_size=5)):
        place = at % (len(body) or 1)
        body = body[:place] + put + body[place + 1 :]
    status = data.draw(st.sampled_from([200, 200, 200, 400, 529]))
    assert isinstance(provider_of(case).decode(status, {}, body), Reply | Failure)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def retyped(draw: st.DrawFn, value: Any) -> Any:
    """`value` with something else in some of its places."""
    if draw(st.integers(0, 9)) == 0:
        return draw(json_values)
    if isinstance(value, dict):
        return {name: retyped(draw, part) for name, part in value.items()}
    if isinstance(value, list):
        return [retyped(draw, part) for part in value]
    return value


@st.composite
def odd_answers(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], bytes, bool]:
    """(case, bytes, whether it is a stream) of an answer whose values are of other types here and there."""
    file = CASES[name]
    as_stream = draw(st.booleans())
    case = draw(st.sampled_from(file["streams"] if as_stream else file["answers"]))
    if not as_stream:
        return case, json.dumps(retyped(draw, json.loads(case["body"]))).encode(), False
    lines = []
    for line in case["body"].splitlines():
        head, brace, rest = line.partition("{")
        try:
            lines.append(head + json.dumps(retyped(draw, json.loads(brace + rest))))
        except ValueError:
            lines.append(line)
    return case, "\n".join([*lines, "", ""]).encode(), True


@pytest.mark.parametrize("name", ["anthropic", "responses", "chat_streams", "ollama"])
@given(data=st.data())
def test_no_types_make_it_raise(name: str, data: st.DataObject) -> None:
    case, body, as_stream = data.draw(odd_answers(name))
    provider = provider_of(case)
    if as_stream:
        decoder = provider.stream_decoder()
        decoder.feed(body)
        assert isinstance(decoder.finish(), Reply | Failure)
    else:
        assert isinstance(provider.decode(200, {}, body), Reply | Failure)


def test_a_stream_ends_as_the_same_answer_in_one_piece_would() -> None:
    """Pairs of files' cases that tell the same."""
    for name, streamed, whole in (
        ("anthropic", "in one piece", "text"),
        ("responses", "too long", "too long"),
        ("ollama", "lines", "text"),
    ):
        file = CASES[name]
        first = next(case for case in file["streams"] if case["name"] == streamed)
        second = next(case for case in file["answers"] if case["name"] == whole)
        assert expected(first) == expected(second)
