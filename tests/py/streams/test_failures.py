"""Streams from a server that does everything wrong: refused, cut at any byte, silent, endless, no stream at all."""

import time
from typing import Any, Literal

import pytest

from llmcore.errors import LLMConnectionError, LLMRateLimitError, LLMServerError, LLMTimeoutError
from llmcore.runtime import Runtime
from llmcore.transport import create_transport
from llmcore.types import LLMCallStatusEnum
from support.runtimes import PATIENCE, records_of, rests, until
from support.server import Answer, ScriptedServer
from support.streaming import END, HELLO, SSE, TEXT, client_of, event, hanging, runtime_of, stream


def test_a_refusal_before_the_first_chunk_is_repeated(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(Answer.error(429, headers={"retry-after-ms": "10"}), Answer.error(503), stream())
    answer = client_of(runtime).stream(HELLO)
    assert next(answer).text == TEXT[0]
    assert answer.finish().attempts == 3


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_stream_cut_at_any_byte_is_whole_or_repeated_or_told(server: ScriptedServer, then: Any) -> None:
    """Every cut but those of the head, which is another test's."""
    runtime = runtime_of(server, retry={"max_attempts": 1}, health={"breaker_errors": 100_000})
    client = client_of(runtime)
    answer = stream()
    start = answer.pieces[0].index(b"\r\n\r\n") + 4
    full = "".join(TEXT)
    total = len(b"".join(answer.pieces))
    paid = 0
    cuts = range(start, total, 1 if then == "close" else 17)
    for at in cuts:
        server.script(stream(stop_after=at, then=then))
        seen = ""
        try:
            with client.stream(HELLO) as chunks:
                for chunk in chunks:
                    seen += chunk.text
            assert seen == chunks.response.content == full
        except LLMConnectionError as error:
            told = error.partial
        else:
            continue
        assert full.startswith(seen), at
        assert (told is not None) == bool(seen), at
        if told is not None:
            assert told.content.startswith(seen), at
            assert records_of(runtime)[-1].usage.output_tokens >= 1
            assert records_of(runtime)[-1].cost > 0
            paid += 1
    assert paid > 0
    assert len(records_of(runtime)) == len(cuts)
    runtime.close()
    assert rests(runtime)


def test_silence_in_the_middle_ends_at_the_deadline_with_what_came(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(hanging())
    began = time.monotonic()
    with pytest.raises(LLMTimeoutError) as caught:
        client_of(runtime).stream(HELLO, deadline=0.5).finish()
    assert time.monotonic() - began < PATIENCE
    assert caught.value.partial is not None
    assert caught.value.partial.content == "Hello there, "
    (record,) = records_of(runtime)
    assert record.status is LLMCallStatusEnum.TIMEOUT
    assert record.cost > 0


def test_an_error_in_the_middle_is_told_at_once(runtime: Runtime, server: ScriptedServer) -> None:
    error = b'data: {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}\n\n'
    body = event("Hel") + error + END
    head, text, broken, *_ = stream(body).pieces
    server.script(stream(body, stop_after=len(head + text + broken), then="hang"))  # it says no more, and stays
    with pytest.raises(LLMRateLimitError) as caught:
        client_of(runtime).stream(HELLO, deadline=PATIENCE).finish()
    assert caught.value.partial is not None
    assert caught.value.partial.content == "Hel"
    assert caught.value.code == "rate_limit_exceeded"


def test_a_page_instead_of_a_stream_is_the_servers_error(runtime: Runtime, server: ScriptedServer) -> None:
    server.handler = lambda request: Answer(headers={"content-type": "text/html"}, body=b"<html>Bad Gateway</html>")
    with pytest.raises(LLMServerError):
        client_of(runtime).stream(HELLO, deadline=2).finish()


def test_a_whole_answer_instead_of_a_stream_is_taken(runtime: Runtime, server: ScriptedServer) -> None:
    server.script(Answer.chat("All at once."))
    answer = client_of(runtime).stream(HELLO)
    assert [chunk.text for chunk in answer] == ["All at once."]
    assert answer.response.output_tokens == 5


@pytest.mark.parametrize("kind", ["native", "sdk"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_body_is_bounded(server: ScriptedServer, kind: Literal["native", "sdk"], status: int) -> None:
    runtime = runtime_of(server, kind, retry={"max_attempts": 1})
    runtime.transport = create_transport(kind, max_response_bytes=1_000_000)
    server.script(Answer(status=status, headers=SSE, body=b"data: " + b"x" * 20_000_000, chunks=[]))
    with pytest.raises(LLMServerError, match="max_response_bytes"):
        client_of(runtime).stream(HELLO).finish()
    until(lambda: not server._alive)
    runtime.close()
