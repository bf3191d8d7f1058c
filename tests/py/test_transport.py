"""The two transports against a real HTTP server on loopback. What holds for one holds for the other."""

import asyncio
import contextlib
import gzip
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pyreqwest import exceptions as native

from llmcore._core import Outcome
from llmcore.transport import NativeTransport, Transport, TransportError, create_transport
from llmcore.types import HttpRequest
from support.server import Answer, ScriptedServer, echo

HEADERS = {
    "Authorization": "Bearer sk-test-0123456789abcdef",
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "llmcore/test",
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(params=["native", "sdk"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made = create_transport(request.param, max_response_bytes=200_000)
    yield made
    made.close()


@pytest.fixture(params=["native", "sdk"])
async def async_transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made = create_transport(request.param, max_response_bytes=200_000)
    yield made
    await made.aclose()


def post(server: ScriptedServer, body: bytes = b"{}", path: str = "/chat/completions") -> HttpRequest:
    return HttpRequest(server.base_url + path, dict(HEADERS), body)


def refused(send: Callable[[], object]) -> TransportError:
    """The error that `send` raises."""
    with pytest.raises(TransportError) as caught:
        send()
    return caught.value


# --- what goes out and what comes back


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


# --- what goes wrong


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
    "fault", [Answer(delay=30), Answer(stop_after=20), Answer(raw=b"?"), Answer(body=b"x" * 200_001)]
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


def test_a_certificate_nobody_vouches_for_is_refused(transport: Transport, tmp_path: Path) -> None:
    with ScriptedServer(ssl=self_signed(tmp_path)) as server:
        error = refused(lambda: transport.send(post(server), 10))
        assert error.outcome is Outcome.CONNECTION
        assert error.message.startswith(f"Could not connect to 127.0.0.1:{server.port}: ")
        assert "certificate" in error.message
        assert server.received == 0


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own making."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
    ]
    subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


# --- closing


def test_a_closed_transport_says_so(transport: Transport, server: ScriptedServer) -> None:
    transport.send(post(server), 10)
    transport.close()
    transport.close()
    for _ in range(2):
        error = refused(lambda: transport.send(post(server), 10))
        assert error.outcome is Outcome.CANCELLED
        assert "closed" in error.message
    assert refused(lambda: asyncio.run(transport.asend(post(server), 10))).outcome is Outcome.CANCELLED
    assert server.received == 1


def test_closing_a_transport_never_used_does_nothing(transport: Transport) -> None:
    transport.close()
    asyncio.run(transport.aclose())
    transport.close()


async def test_a_transport_closed_by_a_loop_says_so(async_transport: Transport, server: ScriptedServer) -> None:
    await async_transport.asend(post(server), 10)
    await async_transport.aclose()
    await async_transport.aclose()
    with pytest.raises(TransportError, match="closed"):
        await async_transport.asend(post(server), 10)
    with pytest.raises(TransportError, match="closed"):
        async_transport.send(post(server), 10)


def test_closing_ends_the_calls_of_other_threads(server: ScriptedServer) -> None:
    transport = NativeTransport()
    server.script(Answer(delay=30))
    errors: list[TransportError] = []
    thread = threading.Thread(target=lambda: errors.append(refused(lambda: transport.send(post(server), 60))))
    thread.start()
    server.wait_for(1)
    transport.close()
    thread.join(10)
    assert [error.outcome for error in errors] == [Outcome.CANCELLED]


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="carrier-pigeon"):
        create_transport("carrier-pigeon")  # type: ignore[arg-type]


# --- event loops


async def test_awaited_calls_behave_like_the_others(async_transport: Transport, server: ScriptedServer) -> None:
    server.script(Answer(429, {"Retry-After": "3"}, b"slow", chunks=[1]))
    response = await async_transport.asend(post(server, b"body"), 10)
    assert (response.status, response.headers.get("retry-after"), response.body) == (429, "3", b"slow")
    assert server.requests[0].body == b"body"
    assert {name: server.requests[0].headers[name.lower()] for name in HEADERS} == HEADERS
    expected = [
        (Answer(delay=30), Outcome.TIMEOUT),
        (Answer(body=b"x" * 99, chunks=range(1, 99), pause=0.1), Outcome.TIMEOUT),
        (Answer(stop_after=30), Outcome.CONNECTION),
        (Answer(raw=b"?"), Outcome.CONNECTION),
        (Answer(body=b"x" * 200_001), Outcome.SERVER_ERROR),
        (Answer(body=b"x" * 200_001, chunks=[9]), Outcome.SERVER_ERROR),
        (Answer(headers={"content-encoding": "gzip"}, body=b"not gzip at all"), Outcome.SERVER_ERROR),
    ]
    for answer, outcome in expected:
        server.script(answer)
        with pytest.raises(TransportError) as caught:
            await async_transport.asend(post(server), 0.4)
        assert caught.value.outcome is outcome, answer
        assert f"127.0.0.1:{server.port}" in caught.value.message
        assert caught.value.__context__ is None
    with pytest.raises(TransportError) as caught:
        await async_transport.asend(post(server), 0)
    assert caught.value.outcome is Outcome.TIMEOUT
    assert server.received == 1 + len(expected)


async def test_many_awaited_calls_run_at_once(async_transport: Transport, server: ScriptedServer) -> None:
    gate = server.gate()
    server.script(*[Answer.chat(gate=gate)] * 30)
    calls = [asyncio.create_task(async_transport.asend(post(server), 20)) for _ in range(30)]
    await asyncio.to_thread(server.wait_for, 30)
    gate.open()
    assert [response.status for response in await asyncio.gather(*calls)] == [200] * 30
    assert server.peak_in_flight == 30


async def test_a_cancelled_call_ends_at_once_and_harms_no_other(
    async_transport: Transport, server: ScriptedServer
) -> None:
    gate = server.gate()
    server.script(Answer(gate=gate))
    call = asyncio.create_task(async_transport.asend(post(server), 60))
    await asyncio.to_thread(server.wait_for, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await async_transport.asend(post(server), 10)).status == 200
    gate.open()
    assert (await async_transport.asend(post(server), 10)).status == 200


@pytest.mark.parametrize("path", ["whole", "head", "piece"])
async def test_a_cancellation_that_meets_the_answer_is_not_lost(
    async_transport: Transport, server: ScriptedServer, path: str
) -> None:
    """What the task waits for comes while the loop is busy, and the loop learns of both at once."""
    server.script(Answer(body=b"ab", chunks=[1], delay=0.03, pause=0.03), Answer.chat("other"))

    async def read() -> None:
        if path == "whole":
            await async_transport.asend(post(server), 10.0)
            return
        exchange = await async_transport.astream(post(server), 10.0)
        try:
            reading.set()
            while path == "piece" and await exchange.aread():
                pass
        finally:
            exchange.close()

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    if path == "piece":
        await reading.wait()
    await asyncio.to_thread(server.wait_for, 1)
    time.sleep(0.1)  # noqa: ASYNC251 - it blocks the loop
    task.cancel()
    await asyncio.wait([task], timeout=10.0)
    assert task.cancelled()
    assert task.cancelling() == 1
    assert (await async_transport.asend(post(server), 10.0)).status == 200


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_one_transport_serves_several_loops(kind: str, server: ScriptedServer) -> None:
    transport = create_transport(kind)  # type: ignore[arg-type]
    statuses: list[int] = []

    async def several() -> None:
        responses = await asyncio.gather(*[transport.asend(post(server), 10) for _ in range(5)])
        statuses.extend(response.status for response in responses)
        if kind == "sdk":  # its connections belong to this loop, and nobody can close them after it
            client = transport._by_loop[asyncio.get_running_loop()]  # type: ignore[attr-defined]
            await client.aclose()

    asyncio.run(several())
    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(transport.aclose())
    assert statuses == [200] * 20


# --- processes of their own: forks, Ctrl-C, environment

PREAMBLE = """
import asyncio, logging, os, signal, sys, threading
from llmcore.transport import create_transport, TransportError
from llmcore.types import HttpRequest
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
transport = create_transport(sys.argv[1])
request = HttpRequest(sys.argv[2], {}, b"{}")
def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
"""


def script(kind: str, url: str, source: str, **environment: str) -> subprocess.Popen[str]:
    """Runs `source` after the preamble."""
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(source), kind, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore::DeprecationWarning"} | environment,
    )


def output(kind: str, url: str, source: str, **environment: str) -> str:
    """What it prints until it ends."""
    process = script(kind, url, source, **environment)
    try:
        return process.communicate(timeout=60)[0]
    finally:
        process.kill()


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_nothing_is_imported_before_the_first_call(kind: str, server: ScriptedServer) -> None:
    source = """
        def heavy():
            print(sorted({"pyreqwest", "openai", "httpx2", "httpx"} & set(sys.modules)))
        heavy()
        transport.send(request, 10)
        heavy()
    """
    lines = output(kind, server.base_url, source).splitlines()
    assert lines[0] == "[]"
    assert lines[1].startswith("['pyreqwest']" if kind == "native" else "['httpx")


def test_a_forked_child_changes_to_the_other_transport_and_says_so_once(server: ScriptedServer) -> None:
    source = """
        print("parent", transport.send(request, 10).status)
        asyncio.run(transport.asend(request, 10))
        def child():
            print("child", transport.send(request, 10).status)
            print("child", transport.send(request, 10).status)
            print("child", create_transport("native").send(request, 10).status)
            async def both():
                print("child", (await transport.asend(request, 10)).status)
                await transport.aclose()
            asyncio.run(both())
        in_child(child)
        print("parent", transport.send(request, 10).status)
        in_child(lambda: transport.close())
        print("parent", transport.send(request, 10).status)
        transport.close()
    """
    lines = output("native", server.base_url, source).splitlines()
    warnings = [line for line in lines if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "forked" in warnings[0]
    assert [line for line in lines if line not in warnings] == [
        "parent 200",
        *["child 200"] * 4,
        "parent 200",
        "parent 200",
    ]


def test_a_fork_before_the_first_call_keeps_the_native_transport(server: ScriptedServer) -> None:
    source = """
        import pyreqwest.client
        def child():
            print("child", transport.send(request, 10).status, "openai" in sys.modules)
        in_child(child)
        print("parent", transport.send(request, 10).status)
    """
    assert output("native", server.base_url, source).splitlines() == ["child 200 False", "parent 200"]


def test_a_fork_after_somebody_else_used_pyreqwest_changes_transport_too(server: ScriptedServer) -> None:
    source = """
        from pyreqwest.client import SyncClientBuilder
        theirs = SyncClientBuilder().build()
        def child():
            print("child", transport.send(request, 10).status)
            print("child", asyncio.run(create_transport("native").asend(request, 10)).status)
        in_child(child)
    """
    lines = output("native", server.base_url, source).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["WARNING", "child", "child"]


def test_a_forked_child_never_uses_its_parents_connections(server: ScriptedServer) -> None:
    source = """
        transport.send(request, 10)
        in_child(lambda: transport.send(request, 10))
        in_child(lambda: transport.close())
        transport.send(request, 10)
    """
    assert output("sdk", server.base_url, source) == ""
    assert [seen.connection for seen in server.requests] == [0, 1, 0]


def test_a_fork_while_a_client_is_being_opened_leaves_no_lock_behind(server: ScriptedServer) -> None:
    source = """
        from llmcore.transport.process import process
        opening, go = threading.Event(), threading.Event()
        def slowly():
            with process.opening:
                opening.set()
                go.wait(10)
        thread = threading.Thread(target=slowly)
        thread.start()
        opening.wait(10)
        threading.Timer(0.2, go.set).start()
        in_child(lambda: print(transport.send(request, 10).status))
        thread.join()
    """
    assert output("native", server.base_url, source) == "200\n"


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_ctrl_c_ends_a_waiting_call_at_once(kind: str, server: ScriptedServer) -> None:
    server.script(Answer(delay=60), Answer(delay=60), Answer.chat())
    source = """
        for _ in range(2):
            try:
                transport.send(request, 60)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        print(transport.send(request, 10).status)
    """
    process = script(kind, server.base_url, source)
    start = time.monotonic()
    for count in (1, 2):
        server.wait_for(count, 30)
        process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0].split() == ["interrupted", "interrupted", "200"]
    assert time.monotonic() - start < 30


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_ends_a_call_of_a_forked_child(server: ScriptedServer) -> None:
    server.script(Answer(delay=60))
    source = """
        def forking():  # so that the child's main thread is another one than its parent's
            if os.fork() == 0:
                print(os.getpid(), flush=True)
                try:
                    transport.send(request, 60)
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
                os._exit(0)
            os.wait()
        thread = threading.Thread(target=forking)
        thread.start()
        thread.join()
    """
    process = script("native", server.base_url, source)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    server.wait_for(1, 30)
    os.kill(child, signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_spares_the_calls_of_other_threads(server: ScriptedServer) -> None:
    gate = server.gate()
    server.script(Answer.chat(gate=gate), Answer(delay=60))
    source = """
        thread = threading.Thread(target=lambda: print(transport.send(request, 60).status))
        thread.start()
        sys.stdin.readline()
        try:
            transport.send(request, 60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        thread.join()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(source), "native", server.base_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    server.wait_for(1, 30)
    process.stdin.write("go\n")
    process.stdin.flush()
    server.wait_for(2, 30)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    gate.open()
    assert process.communicate(timeout=60)[0] == "200\n"


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_a_signal_handler_that_does_not_raise_costs_no_answer(kind: str, server: ScriptedServer) -> None:
    gate = server.gate()
    server.script(Answer.chat(gate=gate))
    source = """
        signal.signal(signal.SIGINT, lambda *_: print("handled"))
        print(transport.send(request, 60).status)
    """
    process = script(kind, server.base_url, source)
    server.wait_for(1, 30)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # for whatever would end the call; nothing does
    gate.open()
    assert sorted(process.communicate(timeout=60)[0].split()) == ["200", "handled"]


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_proxies_come_from_the_environment(kind: str, server: ScriptedServer) -> None:
    source = "print(transport.send(request, 10).status)"
    proxy = server.base_url.removesuffix("/v1")
    shown = output(kind, "http://provider.invalid/v1/chat", source, HTTP_PROXY=proxy, http_proxy=proxy)
    assert shown == "200\n"
    assert server.requests[0].path == "http://provider.invalid/v1/chat"


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_a_certificate_that_the_environment_vouches_for_is_accepted(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(ssl=self_signed(tmp_path)) as server:
        trusted = str(tmp_path / "certificate.pem")
        assert (
            output(kind, server.base_url, "print(transport.send(request, 10).status)", SSL_CERT_FILE=trusted) == "200\n"
        )
