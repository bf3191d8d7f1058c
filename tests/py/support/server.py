"""A scripted provider: an HTTP/1.1 server on loopback whose every byte a test decides.

In a test, beside the code under test (the server's event loop runs in a thread of its own)::

    from support.server import Answer, ScriptedServer

    with ScriptedServer() as server:                           # answers every request with a small chat completion
        server.script(Answer.error(429, "slow down", headers={"retry-after": "2"}), Answer.chat("hello"))
        client = make_client(base_url=server.base_url)         # "http://127.0.0.1:<port>/v1"
        ...
        assert [r.json["model"] for r in server.requests] == ["gpt-4o-mini"] * 2
        assert server.requests[1].at - server.requests[0].at >= 2
        assert server.peak_in_flight == 1

Scripted answers go out first, in order, whatever the path; after them the handler answers, a plain function called in
the server's thread::

    ScriptedServer(lambda request: Answer.chat(request.json["messages"][-1]["content"]))
    ScriptedServer(echo)                                       # exactly that, model included
    ScriptedServer(Enforcer(per_second=50, burst=5))           # 429 with retry-after beyond a token bucket

Faults are exact::

    Answer.chat("hi", delay=0.3)                     # seconds before the first byte
    Answer.chat("hi", stop_after=17)                 # 17 bytes of the response, head included, then the connection ends
    Answer.chat("hi", stop_after=17, then="reset")   # ... with a reset; then="hang": stays open, silent
    Answer(body=b"ab", chunks=[1], pause=0.05)       # chunked, cut after byte 1, 50 ms between the pieces
    Answer(raw=b"this is no HTTP")                   # these bytes and the end of the connection
    gate = server.gate(); Answer.chat("hi", gate=gate)   # held until gate.open(); server.wait_for(n): n requests are in

Requests need a Content-Length (chunked request bodies get 411). With `record=False` the log stays empty, so that a
benchmark's memory does too. In a process of its own: `support.server_process`.
"""

import asyncio
import contextlib
import json
import socket
import ssl as ssl_module
import struct
import threading
import time
from collections import deque
from typing import Any, Self

from support.answers import Answer, Enforcer, Gate, Handler, Request, chat_body, echo, streamed_chat

__all__ = [
    "Answer",
    "Enforcer",
    "Gate",
    "Request",
    "ScriptedServer",
    "chat_body",
    "echo",
    "streamed_chat",
]


class _Connection(asyncio.Protocol):
    """Reads requests one after the other; the next one is looked at when the answer to the last is out."""

    def __init__(self, server: "ScriptedServer") -> None:
        self._server = server
        self._buffer = bytearray()
        self._busy = False
        self._gone = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._number = self._server.connections
        self._server.connections += 1
        self._server._alive.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._server._alive.discard(self)
        if self._server._emptied is not None and not self._server._alive:
            self._server._emptied.set()
        if self._busy:
            self._server.in_flight -= 1
            self._busy = False

    def abort(self) -> None:
        """Ends it, whatever is under way."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end])
        lower = head.lower()
        at = lower.find(b"\r\ncontent-length:")
        length = int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if b"\r\ntransfer-encoding:" in lower:
            self._buffer.clear()
            self._play(Answer(411, close=True))
            return
        total = end + 4 + length
        if len(self._buffer) < total:
            return
        request = Request(head, bytes(self._buffer[end + 4 : total]), time.monotonic(), self._number)
        del self._buffer[:total]
        self._play(self._server._answer_to(request))

    def _play(self, answer: Answer) -> None:
        server = self._server
        pieces = answer.pieces
        if (
            not answer.delay and answer.gate is None and len(pieces) == 1 and answer.ending == "keep"
        ):  # the fast way, for benchmarks
            server.peak_in_flight = max(server.peak_in_flight, server.in_flight + 1)
            self._transport.write(pieces[0])
            if self._buffer:
                self._next()
            return
        self._busy = True
        server.in_flight += 1
        server.peak_in_flight = max(server.peak_in_flight, server.in_flight)

        def write(index: int) -> None:
            for at in range(index, len(pieces)):
                if self._gone:
                    return
                self._transport.write(pieces[at])
                if answer.pause and at + 1 < len(pieces):
                    server.loop.call_later(answer.pause, write, at + 1)
                    return
            if self._gone:
                return
            self._busy = False
            server.in_flight -= 1
            if answer.ending == "keep":
                self._next()
            elif answer.ending == "reset":
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._transport.close()
            elif answer.ending == "close":
                self._transport.close()
            else:
                self._busy = True  # hangs until the client leaves
                server.in_flight += 1

        def start() -> None:
            if answer.delay:
                server.loop.call_later(answer.delay, write, 0)
            else:
                write(0)

        if answer.gate is not None:
            answer.gate.pass_through(start)
        else:
            start()


class ScriptedServer:
    """The server, on its own thread. Start it with `with` or `start()`; see the module's documentation.

    :param handler: answers what no script covers; default: one small chat completion, at once
    :param ssl: serve TLS with this context
    :param record: keep every request in `requests`
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        ssl: ssl_module.SSLContext | None = None,
        record: bool = True,
        port: int = 0,
    ) -> None:
        answer = Answer.chat()
        self.handler: Handler = handler or (lambda request: answer)
        self.requests: list[Request] = []
        self.received = 0
        self.connections = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self.port = port
        self.loop = asyncio.new_event_loop()
        self._ssl = ssl
        self._record = record
        self._script: deque[Answer] = deque()
        self._alive: set[_Connection] = set()
        self._emptied: asyncio.Event | None = None  # of a server that is ending: no connection is left
        self._waiters: list[tuple[int, threading.Event]] = []
        self._thread = threading.Thread(target=self._run, name="scripted-server", daemon=True)
        self._ready = threading.Event()
        self._error: BaseException | None = None

    @property
    def base_url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self._alive)

    def script(self, *answers: Answer) -> None:
        """Appends answers for the next requests."""
        self._script.extend(answers)

    def gate(self) -> Gate:
        """A closed gate for `Answer(gate=...)`."""
        return Gate(self.loop)

    def wait_for(self, count: int, timeout: float = 10.0) -> None:
        """Returns once `count` requests have arrived since the start; AssertionError after `timeout` seconds."""
        event = threading.Event()
        self.loop.call_soon_threadsafe(self._add_waiter, count, event)
        assert event.wait(timeout), f"{self.received} of {count} requests arrived within {timeout} s"

    def drop_connections(self) -> None:
        """Closes every open connection, as a provider or proxy does with idle ones."""
        done = threading.Event()

        def drop() -> None:
            for connection in list(self._alive):
                connection.abort()
            self.loop.call_soon(done.set)

        self.loop.call_soon_threadsafe(drop)
        assert done.wait(10)

    def start(self) -> Self:
        """Listens; returns when connections are accepted."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        """Closes the port and every connection. Calling it again does nothing."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stats(self) -> dict[str, Any]:
        """Counters, as /__stats serves them."""
        found: dict[str, Any] = {
            "received": self.received,
            "connections": self.connections,
            "peak_in_flight": self.peak_in_flight,
        }
        if isinstance(self.handler, Enforcer):
            found |= {"admitted": self.handler.admitted, "refused": self.handler.refused}
        return found

    def _add_waiter(self, count: int, event: threading.Event) -> None:
        self._waiters.append((count, event))
        self._wake()

    def _wake(self) -> None:
        for count, event in self._waiters:
            if self.received >= count:
                event.set()
        self._waiters = [waiter for waiter in self._waiters if not waiter[1].is_set()]

    def _answer_to(self, request: Request) -> Answer:
        if request.path == "/__stats":
            return Answer(body=json.dumps(self.stats()).encode())
        self.received += 1
        if self._record:
            self.requests.append(request)
        if self._waiters:
            self.loop.call_soon(self._wake)  # after the answer is under way, so that in_flight counts it
        if self._script:
            return self._script.popleft()
        return self.handler(request)

    async def _hang_up(self, listener: asyncio.Server) -> None:
        """Closes the port and every connection, those included that are being accepted at this moment."""
        # asyncio loses a connection that it finishes accepting after the close, so accepting ends first.
        for port in listener.sockets:
            self.loop.remove_reader(port.fileno())
        accepting = asyncio.all_tasks() - {asyncio.current_task()}
        if accepting:
            await asyncio.wait(accepting, timeout=5)
        listener.close()
        self._emptied = asyncio.Event()
        for connection in list(self._alive):
            connection.abort()
        if self._alive:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), 5)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            listener = self.loop.run_until_complete(
                self.loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, ssl=self._ssl, backlog=1024)
            )
            self.port = listener.sockets[0].getsockname()[1]
        except BaseException as error:
            self._error = error
            return
        finally:
            self._ready.set()
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self._hang_up(listener))
            self.loop.close()
