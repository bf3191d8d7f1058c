"""What goes wrong between here and a server: silence, cuts, no HTTP at all, answers without an end."""

import gzip
import socket
import time

import pytest
from pyreqwest import exceptions as native

from llmcore._core import Outcome
from llmcore.transport import NativeTransport, Transport
from llmcore.types import HttpRequest
from support.exchanges import HEADERS, post, refused
from support.server import Answer, ScriptedServer


def test_silence_ends_at_the_timeout(transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(delay=30))
    start = time.monotonic()
    error = refused(lambda: transport.send(post(server), 0.2))
    assert error.outcome is Outcome.TIMEOUT
    assert error.message == f"127.0.0.1:{server.port} gave no complete answer within 0.2 s."
    assert 0.2 <= time.monotonic() - start < 5


def test_the_timeout_covers_the_body_too(transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(body=b"x" * 500, chunks=range(1, 500), pause=0.05))
    start = time.monotonic()
    assert refused(lambda: transport.send(post(server), 0.3)).outcome is Outcome.TIMEOUT
    assert time.monotonic() - start < 5


DRIPPED = {
    "head": b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 100,
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 4,
    "extension": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"a" * 100,
    "compressed": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(bytes(range(256))),
}


@pytest.mark.parametrize("part", DRIPPED)
@pytest.mark.parametrize("stream", [False, True])
def test_a_host_that_drips_holds_nobody_beyond_the_timeout(
    transport: Transport, server: ScriptedServer, part: str, stream: bool
) -> None:
    raw = DRIPPED[part]
    server.script(Answer(), Answer(raw=raw, chunks=range(20, len(raw)), pause=0.05))
    transport.send(post(server), 10)  # what a client needs is loaded
    start = time.monotonic()

    def read() -> None:
        if not stream:
            transport.send(post(server), 0.2)
            return
        exchange = transport.stream(post(server), 0.2)
        try:
            while exchange.read():
                pass
        finally:
            exchange.close()

    assert refused(read).outcome is Outcome.TIMEOUT
    assert time.monotonic() - start < 2


@pytest.mark.slow
def test_time_spent_on_the_head_is_missing_for_the_body(transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(), Answer(body=b"x" * 50, delay=1.5, stop_after=100, then="hang"))
    transport.send(post(server), 10)
    start = time.monotonic()
    assert refused(lambda: transport.send(post(server), 2)).outcome is Outcome.TIMEOUT
    assert time.monotonic() - start < 3


def test_no_time_left_sends_nothing(transport: Transport, server: ScriptedServer) -> None:
    transport.send(post(server), 10)
    for timeout in (0, -1.5):
        assert refused(lambda t=timeout: transport.send(post(server), t)).outcome is Outcome.TIMEOUT  # type: ignore[misc]
    assert server.received == 1


def test_an_endless_timeout_is_allowed(transport: Transport, server: ScriptedServer) -> None:
    assert transport.send(post(server), 1e300).status == 200


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("chunks", [None, [5, 9]])
def test_a_response_cut_at_any_byte_is_a_broken_connection(
    transport: Transport, server: ScriptedServer, then: str, chunks: list[int] | None
) -> None:
    whole = Answer(body=b'{"text":"hello"}', chunks=chunks)
    length = sum(len(piece) for piece in whole.pieces)
    for bytes_sent in range(length):
        server.script(Answer(body=whole.body, chunks=chunks, stop_after=bytes_sent, then=then))  # type: ignore[arg-type]
        error = refused(lambda: transport.send(post(server), 10))
        assert error.outcome is Outcome.CONNECTION, (bytes_sent, error)
        assert f"127.0.0.1:{server.port}" in error.message
    assert server.received == length, "something was sent twice"


def test_a_broken_kept_alive_connection_is_not_retried(transport: Transport, server: ScriptedServer) -> None:
    transport.send(post(server), 10)
    server.script(Answer(stop_after=0))
    assert refused(lambda: transport.send(post(server), 10)).outcome is Outcome.CONNECTION
    assert server.received == 2


def test_bytes_that_are_no_http_are_a_broken_connection(transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert refused(lambda: transport.send(post(server), 10)).outcome is Outcome.CONNECTION


def test_nobody_listening_is_named_with_host_and_port(transport: Transport) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        error = refused(lambda: transport.send(HttpRequest(f"http://127.0.0.1:{port}/v1", HEADERS, b""), 10))
    assert error.outcome is Outcome.CONNECTION
    assert error.message.startswith(f"Could not connect to 127.0.0.1:{port}: ")
    assert "refused" in error.message


def test_a_body_that_does_not_decompress_is_the_servers_error(transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(headers={"content-encoding": "gzip"}, body=b"not gzip at all"))
    assert refused(lambda: transport.send(post(server), 10)).outcome is Outcome.SERVER_ERROR


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"x" * 200_001),
        Answer(body=b"x" * 200_001, chunks=[100_000]),
        Answer(headers={"content-encoding": "gzip"}, body=gzip.compress(b"\0" * 50_000_000)),
    ],
    ids=["length announced", "chunked", "compressed"],
)
def test_a_response_over_the_bound_is_dropped(transport: Transport, server: ScriptedServer, answer: Answer) -> None:
    server.script(answer)
    error = refused(lambda: transport.send(post(server), 10))
    assert error.outcome is Outcome.SERVER_ERROR
    assert "200000 bytes" in error.message
    server.script(Answer(body=b"x" * 200_000))
    assert len(transport.send(post(server), 10).body) == 200_000


@pytest.mark.parametrize(
    "broken",
    [
        {"url": "no url at all"},
        {"url": "ftp://127.0.0.1/v1"},
        {"url": "http://[::1/v1"},
        {"headers": {"Authorization": "Bearer sk-secret\r\nX-Injected: 1"}},
    ],
)
def test_what_is_no_http_request_is_not_sent(
    transport: Transport, server: ScriptedServer, broken: dict[str, object]
) -> None:
    request = post(server)
    for name, value in broken.items():
        setattr(request, name, value)
    error = refused(lambda: transport.send(request, 10))
    assert error.outcome is Outcome.BAD_REQUEST
    assert "sk-secret" not in str(error)
    assert server.received == 0


@pytest.mark.parametrize(
    "fault",
    [
        Answer(delay=30),
        Answer(stop_after=20),
        Answer(raw=b"?"),
        Answer(body=b"x" * 200_001),
        Answer(raw=b"Bearer sk-test: a private prompt\r\n\r\n"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nx-echo\x01: Bearer sk-test\r\n\r\n"),
        Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: a private prompt\r\n\r\n"),
        Answer(raw=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na private prompt\r\n"),
    ],
)
def test_errors_show_neither_credentials_nor_prompts(
    transport: Transport, server: ScriptedServer, fault: Answer
) -> None:
    server.script(fault)
    url = f"http://alice:hunter2@127.0.0.1:{server.port}/v1/deployment?api-key=querysecret"
    error = refused(lambda: transport.send(HttpRequest(url, HEADERS, b"a private prompt"), 0.3))
    shown = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
    for secret in ("alice", "hunter2", "querysecret", "deployment", "sk-test", "Bearer", "private prompt"):
        assert secret not in shown
    assert f"127.0.0.1:{server.port}" in error.message


def test_what_the_native_client_says_of_a_url_is_not_repeated() -> None:
    request = HttpRequest("http://alice:hunter2@host/?key=s", {}, b"")
    causes: list[native.Cause] = [{"message": "error sending request for url (http://alice:hunter2@host/?key=s)"}]
    error = NativeTransport()._explain(native.RequestError("", {"causes": causes}), request, 1.0)
    assert "hunter2" not in error.message
    assert "host:80" in error.message
