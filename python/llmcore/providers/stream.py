"""Streams of answers: the one splitter of server-sent events, and what every decoder of them has in common. Pure.

A decoder is fed bytes as they arrive, cut anywhere, and gives chunks; `finish` gives what the whole answer would have
been decoded to. Any cutting of the same bytes gives the same text and the same end. A server that answers a request for
a stream in one piece is understood as well: it has no chunks, and its end is that answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from llmcore._core import Outcome, Usage
from llmcore.estimate import TokenEstimator
from llmcore.providers.failure import parse
from llmcore.providers.headers import request_id
from llmcore.types import Chunk, Failure, Reply

if TYPE_CHECKING:
    from llmcore.providers.base import LLMProvider

__all__ = ["DecodedStream", "EventSplitter", "LineSplitter", "StreamDecoder", "WholeAnswer", "delivered_usage"]

#: An event, or an answer in one piece, that is longer is refused before it is taken into memory as a whole.
LONGEST_EVENT: Final = 64 << 20
#: All of a stream's bytes. What goes on for longer has gone wrong.
LONGEST_STREAM: Final = 256 << 20
NO_HEADERS: Final[Mapping[str, str]] = {}
_estimator = TokenEstimator()


class StreamDecoder(ABC):
    """One stream's. Holds its state, so it serves one answer and one thread at a time.

    :ivar ended: whether the provider has said that this is all, or that it failed; what comes after is ignored
    """

    ended: bool = False

    @abstractmethod
    def feed(self, data: bytes) -> list[Chunk]:
        """What these bytes complete. Never raises, whatever the bytes."""

    @abstractmethod
    def finish(self) -> Reply | Failure:
        """The whole answer, once the bytes have come to their end; a Failure with `partial` if that was too early.

        Never raises. May be called at any moment, and again; nothing is fed after it. Text of a last event that was
        not closed by an empty line is in the Reply and in no chunk.
        """


class EventSplitter:
    """Bytes into events, as the HTML standard has it: lines end in LF, CR or CRLF, an empty line ends an event.

    :param limit: bytes of one event; what is longer makes `overflowed` true and is let go
    """

    __slots__ = ("_data", "_held", "_limit", "_name", "_parts", "_size", "_skip_lf", "_started", "overflowed")

    def __init__(self, limit: int = LONGEST_EVENT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []  # of a line that has not ended
        self._held = 0  # bytes in them
        self._size = 0  # bytes of the event's data so far
        self._data: list[bytes] = []
        self._name = b""
        self._skip_lf = False
        self._started = False
        self.overflowed = False

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """(name, data) of every event that is complete."""
        events: list[tuple[bytes, bytes]] = []
        for line in self._lines(data):
            if line:
                self._line(line)
            elif self._data:
                events.append((self._name, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
                self._data = []
                self._name = b""
                self._size = 0
            else:
                self._name = b""
        return events

    def _lines(self, data: bytes) -> list[bytes]:
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == 10:
                data = data[1:]
        if b"\r" in data:
            self._skip_lf = data[-1] == 13
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data or self.overflowed:
            self._hold(data)
            return []
        if self._parts:
            self._parts.append(data)
            data = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        if not self._started:
            self._started = True
            data = data.removeprefix(b"\xef\xbb\xbf")
        lines = data.split(b"\n")
        self._hold(lines.pop())
        return lines

    def flush(self) -> list[tuple[bytes, bytes]]:
        """The event that the end of the bytes left open, if any. Changes nothing."""
        if self.overflowed:
            return []
        other = EventSplitter(self._limit)
        other._data, other._name = list(self._data), self._name
        other._started = self._started
        return other.feed(b"".join(self._parts) + b"\n\n")

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._size += len(value)
            if self._size > self._limit:
                self._overflow()
            else:
                self._data.append(value)
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif line == b"data":
            self._data.append(b"")
        # Comments, "id", "retry" and whatever else there may be say nothing about the answer.

    def _hold(self, part: bytes) -> None:
        if not part or self.overflowed:
            return
        self._parts.append(part)
        self._held += len(part)
        if self._held > self._limit:
            self._overflow()

    def _overflow(self) -> None:
        self.overflowed = True
        self._parts.clear()
        self._data = []


class LineSplitter(EventSplitter):
    """Bytes into lines, each of them an event: NDJSON."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """(no name, line) of every line that has ended."""
        return [(b"", line) for line in self._lines(data)]

    def flush(self) -> list[tuple[bytes, bytes]]:
        """The line that the end of the bytes left open, if any."""
        return [(b"", b"".join(self._parts))] if self._parts else []


class DecodedStream(StreamDecoder):
    """What the decoders of all APIs share: they say what one event means, this what their sequence does.

    :param provider: decodes an answer that came in one piece
    :param headers: of the answer
    :param key: ours, which nothing that the provider echoes may show
    :param splitter: where the stream is not one of server-sent events
    """

    def __init__(
        self,
        provider: "LLMProvider",
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        splitter: EventSplitter | None = None,
    ) -> None:
        self._provider = provider
        self._headers = NO_HEADERS if headers is None else headers
        self._key = key
        self._events = splitter or EventSplitter()
        self._whole: list[bytes] | None = None  # an answer in one piece
        self._seen = b""  # what came before it was clear which it is
        self._size = 0
        self._decided = False
        self._failure: Failure | None = None
        self._result: Reply | Failure | None = None
        self.ended = False

    # --- what an API adds

    @abstractmethod
    def _event(self, name: bytes, data: bytes) -> Chunk | None:
        """Takes in one event; may set `ended`, or call `_break`."""

    @abstractmethod
    def _reply(self) -> Reply | None:
        """The answer so far; None if nothing of it has come."""

    def _complete(self) -> bool:
        """Whether what has come is a whole answer although nobody said so."""
        return False

    # --- what all have in common

    def feed(self, data: bytes) -> list[Chunk]:
        """What these bytes complete."""
        if not self._decided:
            data = self._decide(data)
        self._size += len(data)
        if self._whole is not None:
            if self._size <= LONGEST_EVENT:
                self._whole.append(data)
            return []
        if self._over():
            return []
        if self._size > LONGEST_STREAM:
            self._break(Failure(Outcome.SERVER_ERROR, f"the stream is longer than {LONGEST_STREAM} bytes", status=200))
            return []
        chunks = []
        for name, event in self._events.feed(data):
            chunk = self._event(name, event) if event else None
            if chunk is not None:
                chunks.append(chunk)
            if self._over():
                return chunks
        if self._events.overflowed:
            told = f"an event of the stream is longer than {LONGEST_EVENT} bytes"
            self._break(Failure(Outcome.SERVER_ERROR, told, status=200))
        return chunks

    def finish(self) -> Reply | Failure:
        """The whole answer, or the Failure that the stream came to."""
        if self._result is None:
            self._result = self._finished()
        return self._result

    def _finished(self) -> Reply | Failure:
        if not self._decided and self._seen.strip():
            return self._provider.decode(200, self._headers, self._seen)
        if self._whole is not None:
            if self._size > LONGEST_EVENT:
                return Failure(Outcome.SERVER_ERROR, f"the answer is longer than {LONGEST_EVENT} bytes", status=200)
            return self._provider.decode(200, self._headers, b"".join(self._whole))
        if not self.ended and self._failure is None:
            for name, event in self._flushed():
                self._event(name, event)
        if self._failure is not None:
            failure = self._failure
        elif self.ended or self._complete():
            reply = self._reply()
            if reply is not None:
                return reply
            failure = Failure(Outcome.SERVER_ERROR, "the stream holds no answer", status=200)
        else:
            failure = Failure(Outcome.CONNECTION, "the stream was cut before the end of the answer", status=200)
            failure.request_id = request_id(self._headers, self._key)
        failure.partial = self._reply()
        return failure

    def _over(self) -> bool:
        return self.ended or self._failure is not None

    def _break(self, failure: Failure) -> None:
        """Ends the stream with an error; the first one counts."""
        if self._failure is None:
            self._failure = failure
            self.ended = True

    def _decide(self, data: bytes) -> bytes:
        """Whether this is a stream: an answer in one piece begins with a brace, or as a page of HTML does."""
        seen = self._seen + data
        start = seen.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:1]
        if not start or len(seen) < 3:
            self._seen = seen
            return b""
        self._decided, self._seen = True, b""
        if start in self._one_piece:
            self._whole = []
        return seen

    _one_piece: bytes = b"{<["

    def _flushed(self) -> Iterator[tuple[bytes, bytes]]:
        for name, event in self._events.flush():
            if _is_whole(event):
                yield name, event


def _is_whole(event: bytes) -> bool:
    """Whether a last event, which nothing ended, was not cut itself."""
    if event.strip() == b"[DONE]":
        return True
    try:
        parse(event)
    except ValueError:
        return False
    return True


class WholeAnswer(DecodedStream):
    """For a provider that does not stream."""

    def __init__(self, provider: "LLMProvider", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(provider, headers)
        self._decided, self._whole = True, []

    def _event(self, name: bytes, data: bytes) -> Chunk | None:
        raise AssertionError("an answer in one piece has no events")

    def _reply(self) -> Reply | None:
        return None


def delivered_usage(*texts: str) -> Usage:
    """What a stream without token counts used at least: what it delivered, and never nothing."""
    return Usage(output_text=max(sum(_estimator.output(text) for text in texts if text), 1), estimated=True)
