"""What goes out and what comes back, to a real HTTP server. What holds for one transport holds for the other."""

import contextlib
import gzip
import threading

import pytest

from llmcore.transport import Transport, TransportError
from support.exchanges import HEADERS, post
from support.server import Answer, ScriptedServer, echo


def test_what_is_sent_is_exactly_the_request(transport: Transport, server: ScriptedServer) -> None:
    transport.send(post(server, b'{"x":"\xc3\xa9"}', "/chat/completions?api-version=1"), 10)
    (seen,) = server.requests
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions?api-version=1")
    assert seen.body == b'{"x":"\xc3\xa9"}'
    assert {name: seen.headers[name.lower()] for name in HEADERS} == HEADERS
    added = {name for name, _ in seen.header_list} - {name.lower() for name in HEADERS}
    assert added <= {"host", "content-length", "accept-encoding", "connection"}
    assert len(seen.header_list) == len(seen.headers)


@pytest.mark.parametrize("status", [200, 302, 400, 429, 500, 529])
def test_every_status_is_a_response(transport: Transport, server: ScriptedServer, status: int) -> None:
    server.script(Answer(status, {"X-Request-Id": "r1", "location": f"{server.base_url}/elsewhere"}, b"body"))
    response = transport.send(post(server), 10)
    assert (response.status, response.body) == (status, b"body")
    assert type(response.body) is bytes
    assert response.headers.get("x-request-id") == "r1"
    assert response.headers.get("x-absent") is None
    assert server.received == 1


@pytest.mark.parametrize("chunks", [None, [], [1, 2, 700]])
def test_a_body_arrives_whole_however_it_is_framed(
    transport: Transport, server: ScriptedServer, chunks: list[int] | None
) -> None:
    body = bytes(range(256)) * 300
    server.script(Answer(body=body, chunks=chunks, pause=0.01))
    assert transport.send(post(server), 10).body == body
    server.script(Answer(body=b"", chunks=chunks))
    assert transport.send(post(server), 10).body == b""


def test_a_compressed_body_is_decompressed(transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(headers={"content-encoding": "gzip"}, body=gzip.compress(b"plain text")))
    assert transport.send(post(server), 10).body == b"plain text"


def test_one_connection_serves_one_call_after_another(transport: Transport, server: ScriptedServer) -> None:
    for _ in range(5):
        transport.send(post(server), 10)
    assert server.connections == 1


def test_a_connection_closed_while_idle_is_replaced(transport: Transport, server: ScriptedServer) -> None:
    transport.send(post(server), 10)
    server.drop_connections()
    with contextlib.suppress(TransportError):  # the request may be faster than the news of the end
        transport.send(post(server), 10)
    assert transport.send(post(server), 10).status == 200


def test_cookies_are_not_kept(transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(headers={"set-cookie": "session=1; Path=/"}))
    transport.send(post(server), 10)
    transport.send(post(server), 10)
    assert "cookie" not in server.requests[1].headers


def test_concurrent_calls_get_their_own_answers(transport: Transport, server: ScriptedServer) -> None:
    server.handler = echo
    answers: dict[int, bytes] = {}

    def call(number: int) -> None:
        body = b'{"model":"m","messages":[{"content":"text %d."}]}' % number
        answers[number] = transport.send(post(server, body), 10).body

    threads = [threading.Thread(target=call, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(b'"text %d."' % number in answers[number] for number in range(40))
