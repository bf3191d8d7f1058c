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

As a process of its own, for benchmarks and fork tests::

    with ServerProcess("enforce", per_second=50, burst=5) as server:
        ... server.base_url ... server.stats()["admitted"]

    python -m support.server enforce --per-second 50 --burst 5    # in tests/py; prints its port
    curl http://127.0.0.1:<port>/__stats

It serves until its standard input ends. Requests need a Content-Length (chunked request bodies get 411). With
`record=False` the log stays empty, so that a benchmark's memory does too.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import ssl as ssl_module
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http.client import responses as reasons
from itertools import accumulate, pairwise
from typing import Any, Literal, Self

__all__ = [
    "Answer",
    "Enforcer",
    "Gate",
    "Request",
    "ScriptedServer",
    "ServerProcess",
    "chat_body",
    "echo",
    "streamed_chat",
]

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


def chat_body(
    text: str = "Hello!",
    *,
    model: str = "gpt-4o-mini",
    prompt_tokens: int = 12,
    completion_tokens: int = 5,
    cached_tokens: int = 0,
    **more: Any,
) -> bytes:
    """A Chat Completions answer as OpenAI sends it; `more` replaces top-level fields."""
    return json.dumps(
        {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 1767225600,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
                "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
        }
        | more
    ).encode()


class Gate:
    """Holds answers back until it is opened, from any thread. Stays open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open = False
        self._waiting: list[Callable[[], None]] = []

    def open(self) -> None:
        """Lets every held answer go, and later ones at once."""
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._open = True
        waiting, self._waiting = self._waiting, []
        for resume in waiting:
            resume()

    def pass_through(self, resume: Callable[[], None]) -> None:
        """In the server's thread: calls `resume` now or once open."""
        if self._open:
            resume()
        else:
            self._waiting.append(resume)


@dataclass(frozen=True)
class Answer:
    """One response, down to its bytes. Content-Length and Content-Type (JSON) are added unless given."""

    status: int = 200
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    #: seconds before the first byte
    delay: float = 0.0
    #: offsets at which the body is cut; given (even empty): chunked transfer encoding
    chunks: Sequence[int] | None = None
    #: seconds between the pieces
    pause: float = 0.0
    #: how many bytes of the response to send, head included, before `then`; None: all of them
    stop_after: int | None = None
    then: Literal["close", "reset", "hang"] = "close"
    #: close the connection after the answer, as announced by "Connection: close"
    close: bool = False
    #: these bytes instead of everything above, then the end of the connection
    raw: bytes | None = None
    gate: Gate | None = None

    @classmethod
    def chat(cls, text: str = "Hello!", *, body: Mapping[str, Any] | None = None, **fields: Any) -> Self:
        """A chat completion; `body` goes to `chat_body`, the rest are fields of the answer."""
        return cls(body=chat_body(text, **(body or {})), **fields)

    @classmethod
    def error(
        cls,
        status: int,
        message: str = "scripted",
        *,
        code: str | None = None,
        kind: str = "scripted_error",
        **fields: Any,
    ) -> Self:
        """An error in OpenAI's shape."""
        return cls(
            status=status,
            body=json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode(),
            **fields,
        )

    @cached_property
    def pieces(self) -> list[bytes]:
        """What goes on the wire, piece by piece; a piece is one write."""
        if self.raw is not None:
            return [self.raw]
        pairs = list(self.headers.items()) if isinstance(self.headers, Mapping) else list(self.headers)
        names = {name.lower() for name, _ in pairs}
        if "content-type" not in names:
            pairs.append(("content-type", "application/json"))
        if self.chunks is not None:
            pairs.append(("transfer-encoding", "chunked"))
        elif "content-length" not in names:
            pairs.append(("content-length", str(len(self.body))))
        if self.close:
            pairs.append(("connection", "close"))
        lines = [
            f"HTTP/1.1 {self.status} {reasons.get(self.status, 'Scripted')}",
            *(f"{name}: {value}" for name, value in pairs),
            "",
            "",
        ]
        head = "\r\n".join(lines).encode("latin-1")
        if self.chunks is None:
            return self._cut([head + self.body])
        offsets = [0, *self.chunks, len(self.body)]
        parts = [self.body[a:b] for a, b in pairwise(offsets) if a < b]
        return self._cut([head, *(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"])

    def _cut(self, pieces: list[bytes]) -> list[bytes]:
        if self.stop_after is None:
            return pieces
        left, kept = self.stop_after, []
        for piece in pieces:
            kept.append(piece[:left])
            left -= len(kept[-1])
        return [piece for piece in kept if piece]

    @property
    def ending(self) -> Literal["keep", "close", "reset", "hang"]:
        """What becomes of the connection after the last byte."""
        if self.stop_after is not None:
            return self.then
        return "close" if self.close or self.raw is not None else "keep"


class Request:
    """One request as it arrived. `at` is time.monotonic() when its last byte was read; `connection` counts from 0."""

    __slots__ = ("at", "body", "connection", "head", "method", "path")

    def __init__(self, head: bytes, body: bytes, at: float, connection: int) -> None:
        self.method, self.path = head[: head.index(b"\r")].decode("latin-1").split(" ")[:2]
        self.head = head
        self.body = body
        self.at = at
        self.connection = connection

    @property
    def header_list(self) -> list[tuple[str, str]]:
        """Names in lower case, in the order of arrival, repeated ones apart."""
        pairs = (line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:] if line)
        return [(name.lower(), value.strip()) for name, _, value in pairs]

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        return dict(self.header_list)

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


Handler = Callable[[Request], Answer]


def streamed_chat(chunks: int, model: str = "gpt-4o-mini") -> Answer:
    """A stream of that many words, as OpenAI sends it: an event a write, usage at the end."""
    common = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1767225600, "model": model}
    choice = {"index": 0, "logprobs": None, "finish_reason": None}
    told: list[dict[str, Any]] = [
        {"choices": [{**choice, "delta": {"content": f" word{number}"}}], "usage": None} for number in range(chunks)
    ]
    told.append({"choices": [{**choice, "delta": {}, "finish_reason": "stop"}], "usage": None})
    usage = {"prompt_tokens": 12, "completion_tokens": chunks, "total_tokens": 12 + chunks}
    told.append({"choices": [], "usage": usage})
    events = [b"data: " + json.dumps({**common, **one}).encode() + b"\n\n" for one in told]
    events.append(b"data: [DONE]\n\n")
    cuts = list(accumulate(map(len, events)))[:-1]
    return Answer(headers={"content-type": "text/event-stream"}, body=b"".join(events), chunks=cuts)


def echo(request: Request) -> Answer:
    """Answers with the content of the last message, under the model that was asked for."""
    asked = request.json
    return Answer.chat(asked["messages"][-1]["content"], body={"model": asked["model"]})


class Enforcer:
    """A provider's rate limit: a token bucket in front of an answer.

    Beyond it 429, with Retry-After in whole seconds and the wait in retry-after-ms. Counts `admitted` and `refused`.
    """

    def __init__(self, per_second: float, burst: float = 1.0, answer: Answer | None = None) -> None:
        self.per_second = per_second
        self.burst = burst
        self.admitted = 0
        self.refused = 0
        self._answer = answer or Answer.chat()
        self._level = burst
        self._at: float | None = None

    def __call__(self, request: Request) -> Answer:
        if self._at is not None:
            self._level = min(self.burst, self._level + (request.at - self._at) * self.per_second)
        self._at = request.at
        if self._level >= 1:
            self._level -= 1
            self.admitted += 1
            return self._answer
        self.refused += 1
        wait = (1 - self._level) / self.per_second
        headers = {
            "retry-after": str(int(wait) + 1),
            "retry-after-ms": str(int(wait * 1000) + 1),
            "x-ratelimit-remaining-requests": "0",
        }
        return Answer.error(
            429, "Rate limit reached for requests", code="rate_limit_exceeded", kind="requests", headers=headers
        )


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


class ServerProcess:
    """The same server in a process of its own: its work is not on our cores' bill and survives our forks."""

    def __init__(self, mode: Literal["chat", "echo", "enforce", "stream"] = "chat", **options: float | str) -> None:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(
            [sys.executable, __file__, mode, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def base_url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        """The server's counters."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/__stats", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def stop(self) -> None:
        """Ends the process. Calling it again does nothing."""
        if self._process.poll() is None:
            self._process.communicate(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def main() -> None:
    """Serves until stdin ends."""
    parser = argparse.ArgumentParser(description="A scripted provider on loopback.")
    parser.add_argument("mode", choices=["chat", "echo", "enforce", "stream"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--per-second", type=float, default=10.0)
    parser.add_argument("--burst", type=float, default=1.0)
    parser.add_argument(
        "--text-bytes", type=float, default=600.0, help="length of the answer's text (600: a body of about 1 KB)"
    )
    parser.add_argument("--text", help="the answer's text itself")
    parser.add_argument("--chunks", type=float, default=1000.0, help="of a streamed answer")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    answer = Answer.chat(options.text or "x" * int(options.text_bytes), delay=options.delay)
    streamed = streamed_chat(int(options.chunks))
    handlers: dict[str, Handler] = {
        "stream": lambda request: streamed,
        "chat": lambda request: answer,
        "echo": echo,
        "enforce": Enforcer(options.per_second, options.burst, answer),
    }
    with ScriptedServer(handlers[options.mode], record=False, port=options.port) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
