"""What a scripted server is asked and says: requests, answers whose every byte a test decides, and what makes them."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http.client import responses as reasons
from itertools import accumulate, pairwise
from typing import Any, Literal, Self

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
    #: offsets at which the body is cut; given (even empty): chunked transfer encoding. Of `raw`, where that is cut
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
            offsets = [0, *(self.chunks or ()), len(self.raw)]
            return [self.raw[a:b] for a, b in pairwise(offsets) if a < b]
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
