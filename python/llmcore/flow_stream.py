"""One attempt of a call whose answer is read while it arrives: the part of :mod:`llmcore.flow` that streams.

Until the first chunk is handed to the user an attempt may fail like any other, and the engine repeats it or asks the
next provider. With that chunk it is told so (its input ``Streaming``), and from then on a failure is the call's.

An answer whose end came together with its last chunks is settled before they are handed out: its slot is free, and its
row written, however slowly the user takes them.
"""

import logging
import threading
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from llmcore._core import Outcome, Usage
from llmcore.call import Call
from llmcore.call_context import inside
from llmcore.errors import LLMError
from llmcore.estimate import fill_in
from llmcore.exchange import Exchange
from llmcore.kinds import checked, price
from llmcore.providers.stream import StreamDecoder
from llmcore.transport import TransportError
from llmcore.types import (
    Chunk,
    Failure,
    HttpRequest,
    HttpResponse,
    LLMRequest,
    LLMResponse,
    Reply,
    Request,
    ToolCallDelta,
)

if TYPE_CHECKING:
    from llmcore._core import PriceCard, RateObservation, Send
    from llmcore.flow import Host
    from llmcore.providers.base import LLMProvider

__all__ = ["Deliver", "Open", "Read", "Result", "Streamed", "decoded_again", "fault_of", "price_of", "streamed_attempt"]

_log = logging.getLogger("llmcore")
_NO_HEADERS: Final[dict[str, str]] = {}
_NO_USAGE: Final = Usage()


class Open(msgspec.Struct):
    """Send `request` and come back with the head of its answer; the whole of it may take `timeout` seconds."""

    request: HttpRequest
    timeout: float


class Read(msgspec.Struct):
    """Read the next bytes of an answer."""

    exchange: Exchange


class Deliver(msgspec.Struct):
    """Hand these to the user and go on when he wants more. With the answer: nothing more will come."""

    chunks: list[Chunk]
    answer: LLMResponse | None = None


#: What is sent into a flow: what came of the step that it yielded.
Result = HttpResponse | Exchange | bytes | TransportError | None


class Streamed:
    """An answer that is being read, and what of it has reached the user.

    The flow feeds it. Whoever ends the call, which may be another thread, asks what it is billed: so it has a lock,
    under which nothing but the decoder runs.

    :ivar began: the user has seen a part of it
    """

    __slots__ = (
        "_call",
        "_decoder",
        "_lock",
        "_provider",
        "_request",
        "_runtime",
        "_sent",
        "attempt",
        "began",
        "not_after",
    )

    def __init__(
        self,
        runtime: "Host",
        call: Call,
        send: "Send",
        provider: "LLMProvider",
        request: LLMRequest,
        headers: Mapping[str, str],
    ) -> None:
        self._runtime, self._call, self._provider, self._request = runtime, call, provider, request
        self._decoder: StreamDecoder = provider.stream_decoder(headers)
        self._lock = threading.Lock()
        self._sent = 0
        self.attempt, self.not_after = send.attempt, send.not_after
        self.began = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it, whatever else is sent."""
        return self._decoder.ended

    def feed(self, piece: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        with self._lock:
            chunks = self._decoder.feed(piece)
        for chunk in chunks:
            self._sent += len(chunk.text)
        return chunks

    def told(self) -> Reply | Failure:
        """What it has come to, if this was its end."""
        try:
            with self._lock:
                return checked(self._request, self._decoder.finish())
        except Exception as error:
            return fault_of(self._provider, error)

    def tail(self, reply: Reply, chunks: list[Chunk]) -> list[Chunk]:
        """What is in the answer and was in no chunk: all of one that came in one piece.

        :param chunks: those of the last bytes
        """
        return _tail(reply, self._sent, self.began or bool(chunks))

    def billed(self, told: Reply | Failure | None = None) -> "tuple[Usage, PriceCard | None]":
        """What was used at the least, were this the end: as the provider told, else what it delivered. Never raises."""
        told = told or self.told()
        reply = told if isinstance(told, Reply) else told.partial
        if reply is None and self.began:
            reply = Reply("", "", Usage(output_text=self._sent // 4 + 1, estimated=True))
        if reply is None:
            return _NO_USAGE, None
        if reply.usage.estimated:
            if not (self.began or reply.content or reply.reasoning or reply.tool_calls or reply.refusal):
                return _NO_USAGE, None  # nothing was delivered, and nobody says that something was used
            fill_in(self._runtime.estimator, reply, self._request, _size_of(self._call))
        price = price_of(self._runtime, self._provider, self._request, reply)
        self._call.price_source = price.source if price is not None else None
        if self.began:
            self._call.partial = reply
        return reply.usage, price


def streamed_attempt(runtime: "Host", call: Call, send: "Send") -> Generator[Open | Read | Deliver, Result, None]:
    """Performs one attempt and tells the engine what came of it."""
    provider = call.providers[send.target]
    request = call.requests[send.target]
    stream: Streamed | None = None
    observation: RateObservation | None = None
    chunks: list[Chunk] = []
    pieces: list[bytes] = []
    broken: TransportError | None = None
    recording, head = None, None
    decoded: Reply | Failure
    assert type(request) is LLMRequest  # only these are streamed
    try:
        if provider.local:
            with inside(call.context, call.id):
                pieces.append(provider.answer(request, call.call_type))
            stream = Streamed(runtime, call, send, provider, request, _NO_HEADERS)
            chunks = stream.feed(pieces[0])
            decoded = stream.told()
        else:
            encoded = call.first if send.target == 0 and call.first is not None else provider.encode(request)
            timeout = (send.not_after - runtime.clock.now()[0]) / 1e9
            if runtime.recorder is not None:
                recording = runtime.recorder.exchange(call.number, send.attempt, provider.name, encoded)
            came = yield Open(encoded, max(timeout, 0.001))
            if isinstance(came, TransportError):
                broken = came
                decoded = Failure(came.outcome, str(came))
            else:
                assert isinstance(came, Exchange)
                head = HttpResponse(came.status, came.headers, b"")
                noted = head if recording is None else recording.came(head)
                assert isinstance(noted, HttpResponse)
                observation = provider.observe(noted.headers)
                if came.status == 200:
                    stream = Streamed(runtime, call, send, provider, request, noted.headers)
                    kept = pieces if call.keep or recording is not None else None
                    chunks, broken = yield from _read(runtime, call, send, stream, came, kept, observation)
                    if call.mailbox:  # the engine has ended it already
                        return
                    decoded = stream.told()
                    if broken is not None and isinstance(decoded, Failure):
                        decoded = Failure(broken.outcome, str(broken), status=200, partial=decoded.partial)
                else:
                    body = yield from _whole(came, pieces)
                    if isinstance(body, TransportError):
                        broken = body
                        decoded = Failure(body.outcome, str(body), status=came.status)
                    else:
                        decoded = checked(request, provider.decode(came.status, noted.headers, body))
                        if not isinstance(decoded, Failure):
                            told = f"HTTP {came.status} instead of a stream"
                            decoded = Failure(Outcome.SERVER_ERROR, told, status=came.status)
    except Exception as error:
        decoded = fault_of(provider, error)
        observation = None
    finally:
        if recording is not None:
            if head is not None and (broken is None or (stream is not None and stream.began)):
                recording.came(HttpResponse(head.status, head.headers, b"".join(pieces)))
            elif broken is not None:
                recording.came(broken)
            recording.end()
    if isinstance(decoded, Failure):
        usage, price = (_NO_USAGE, None) if stream is None else stream.billed(decoded)
        began = stream is not None and stream.began
        if began and chunks:
            yield Deliver(chunks)
            if call.mailbox:
                return
        call.failure = decoded
        runtime.failed(call, send, decoded, None if began else observation, usage, price)
        return
    assert stream is not None
    call.rest = chunks + stream.tail(decoded, chunks)
    if call.rest and not stream.began:
        runtime.streaming(call, send, stream, observation)
    if decoded.usage.estimated:
        fill_in(runtime.estimator, decoded, request, _size_of(call))
    elif call.estimate is not None:
        runtime.estimator.learn(request.model, call.estimate, decoded.usage)
    call.reply, call.failure, call.partial = decoded, None, None
    price = price_of(runtime, provider, request, decoded)
    call.price_source = price.source if price is not None else None
    payload = b"".join(pieces) if call.keep else None
    runtime.replied(call, send, decoded.usage, price, payload, None if stream.began else observation)


def _read(
    runtime: "Host",
    call: Call,
    send: "Send",
    stream: Streamed,
    exchange: Exchange,
    kept: list[bytes] | None,
    observation: "RateObservation | None",
) -> Generator[Read | Deliver, Result, tuple[list[Chunk], TransportError | None]]:
    """Reads an answer to its end, or until the engine ends it, and hands out its chunks, except those that came
    together with the end: those are returned, with what broke it off, if anything did.
    """
    mailbox = call.mailbox
    read = Read(exchange)
    while True:
        piece = yield read
        if mailbox or not piece:
            return [], None
        if isinstance(piece, TransportError):
            return [], piece
        assert isinstance(piece, bytes)
        if kept is not None:
            kept.append(piece)
        chunks = stream.feed(piece)
        if stream.ended:
            return chunks, None
        if chunks:
            if not stream.began:
                runtime.streaming(call, send, stream, observation)
            if not mailbox:
                yield Deliver(chunks)
            if mailbox:
                return [], None


def _whole(exchange: Exchange, pieces: list[bytes]) -> Generator[Read, Result, bytes | TransportError]:
    """Reads an answer that is no stream."""
    read = Read(exchange)
    while True:
        piece = yield read
        if isinstance(piece, TransportError):
            return piece
        if not piece:
            return b"".join(pieces)
        assert isinstance(piece, bytes)
        pieces.append(piece)


def decoded_again(call: Call, provider: "LLMProvider", body: bytes) -> Reply | Failure:
    """A stored answer, with the chunks that were delivered when it came: they are the call's rest."""
    decoder = provider.stream_decoder(_NO_HEADERS)
    chunks = decoder.feed(body)
    reply = decoder.finish()
    if isinstance(reply, Reply):
        call.rest = chunks + _tail(reply, sum(len(chunk.text) for chunk in chunks), bool(chunks))
    return reply


def _tail(reply: Reply, sent: int, began: bool) -> list[Chunk]:
    if began:
        left = reply.content[sent:]
        return [Chunk(left)] if left else []
    calls = [
        ToolCallDelta(index, call.id, call.name, call.arguments, call.type)
        for index, call in enumerate(reply.tool_calls)
    ]
    whole = Chunk(reply.content, reply.reasoning, calls, reply.refusal, reply.finish_reason)
    return [whole] if whole != Chunk() else []


def price_of(runtime: "Host", provider: "LLMProvider", request: Request, reply: Reply) -> "PriceCard | None":
    """The price of the model that answered; of the one that was asked, where that has none."""
    found = price(runtime, provider, request, reply.model or request.model, reply)
    if found is None and reply.model:
        found = price(runtime, provider, request, request.model, reply)
    return found


def fault_of(provider: "LLMProvider", error: Exception) -> Failure:
    """What an attempt comes to whose provider raised."""
    if isinstance(error, LLMError):  # a fallback that is not configured, or cannot express the request
        return Failure(error.outcome or Outcome.AUTH, error.message)
    # A user's own provider: its bug ends this attempt, not the books.
    _log.error("provider %s raised while handling an exchange", provider.name, exc_info=error)
    problem = f"the provider's own code raised {type(error).__name__}; see the log of 'llmcore'"
    return Failure(Outcome.SERVER_ERROR, problem, should_retry=False)


def _size_of(call: Call) -> int:
    return len(call.first.body) if call.first is not None else 0
