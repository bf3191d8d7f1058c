"""A response that is read while it arrives: its head at once, its body piece by piece. Decides nothing.

Nothing reads ahead: what nobody asks for stays in the network's buffers, so a slow reader slows the sender down.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from llmcore.types import HttpResponse

if TYPE_CHECKING:
    from pyreqwest.request import StreamRequest, SyncStreamRequest
    from pyreqwest.response import Response, SyncResponse

__all__ = [
    "AsyncNativeExchange",
    "AsyncSdkExchange",
    "Exchange",
    "NativeExchange",
    "SdkExchange",
    "WholeExchange",
    "Wishes",
]

#: What a body's length is held against, and the error for one that is longer; the error for what a client raised.
TooLarge = Callable[[], Exception]
Explain = Callable[[Exception], Exception]


class Exchange(ABC):
    """A request whose answer has begun. For one thread or task at a time; any may close it.

    :ivar status: of the answer
    :ivar headers: looked up without regard to case, or with lower-case names
    """

    status: int
    headers: Mapping[str, str]

    def read(self) -> bytes:
        """The next bytes, at the latest when the time of the whole exchange is over; b"" at the end.

        :raises TransportError: there will be no end: the time is over, the connection broke, the body is too long
        """
        raise TypeError(f"{type(self).__name__} is read with aread()")

    async def aread(self) -> bytes:
        """The same, awaited."""
        raise TypeError(f"{type(self).__name__} is read with read()")

    @abstractmethod
    def close(self) -> None:
        """Gives the connection back, or closes it if there is more to come. At once, and from any thread."""


class WholeExchange(Exchange):
    """An answer that came in one piece, from a transport that has no other way."""

    def __init__(self, answer: HttpResponse) -> None:
        self.status, self.headers = answer.status, answer.headers
        self._body = answer.body

    def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def aread(self) -> bytes:
        return self.read()

    def close(self) -> None:
        self._body = b""


class _Bounded(Exchange):
    """Counts what it reads.

    :param limit: bytes of the body
    """

    def __init__(self, limit: int, too_large: TooLarge) -> None:
        self._left = limit
        self._too_large = too_large

    def _count(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            self.close()
            raise self._too_large()
        return piece


class NativeExchange(_Bounded):
    """One of pyreqwest, for threads.

    :param guarded: runs what blocks, and raises TransportErrors
    """

    def __init__(
        self,
        opened: "SyncStreamRequest",
        response: "SyncResponse",
        limit: int,
        too_large: TooLarge,
        guarded: Callable[[Callable[[], Any]], Any],
    ) -> None:
        super().__init__(limit, too_large)
        self.status, self.headers = response.status, response.headers
        self._opened = opened
        self._next = response.body_reader.read_chunk
        self._guarded = guarded
        self._closed = False

    def read(self) -> bytes:
        piece = self._guarded(self._next)
        return b"" if piece is None else self._count(piece.to_bytes())

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._opened.__exit__(None, None, None)


class Wishes:
    """Whether the running task was asked to end while it waited. pyreqwest forgets that where what the task waits for
    is there already, and a task whose cancellation is lost goes on for as long as its answer does.
    """

    __slots__ = ("_before", "task")

    def __init__(self) -> None:
        self.task = asyncio.current_task()
        self._before = 0 if self.task is None else self.task.cancelling()

    def heed(self) -> None:
        """:raises CancelledError: it was, and nobody has raised it"""
        if self.task is not None and self.task.cancelling() > self._before:
            raise asyncio.CancelledError


class AsyncNativeExchange(_Bounded):
    """One of pyreqwest, for event loops."""

    def __init__(
        self, opened: "StreamRequest", response: "Response", limit: int, too_large: TooLarge, explain: Explain
    ) -> None:
        super().__init__(limit, too_large)
        self.status, self.headers = response.status, response.headers
        self._opened = opened
        self._next = response.body_reader.read_chunk
        self._explain = explain
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Task[Any] | None = None
        self._given_up: Exception | None = None

    async def aread(self) -> bytes:
        if (stopped := self._stopped()) is not None:
            raise stopped
        wishes = Wishes()
        self._reader = reader = wishes.task
        try:
            piece = await self._next()
            wishes.heed()
            return b"" if piece is None else self._count(piece.to_bytes())
        except asyncio.CancelledError:
            # As asyncio.timeout has it: what give_up() asked for is an error here, anybody else's wish goes through.
            if (stopped := self._stopped()) is None or reader is None or reader.uncancel() > 0:
                raise
            error = stopped
        except Exception as caught:
            if self._stopped() is None:
                wishes.heed()
            error = self._explain(caught)
        finally:
            self._reader = None
        raise error

    def _stopped(self) -> Exception | None:
        return self._given_up

    def give_up(self, error: Exception) -> None:
        """Makes reading raise `error`, also what waits in another thread's loop: the client does not end it itself."""
        self._given_up = error
        with suppress(RuntimeError):  # the loop is closed, and nobody reads any more
            self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            # It has nothing to wait for, and so needs neither a task nor the loop: a stream may be dropped anywhere.
            ending = self._opened.__aexit__(None, None, None)
            try:
                ending.send(None)
            except StopIteration:
                return
            ending.close()


class SdkExchange(_Bounded):
    """One of the SDK's HTTP client, for threads.

    :param timed: what each wait for the network is to be inside of
    """

    def __init__(
        self,
        response: Any,
        limit: int,
        too_large: TooLarge,
        explain: Explain,
        timed: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__(limit, too_large)
        self.status, self.headers = response.status_code, response.headers
        self._response = response
        self._pieces: Iterator[bytes] = response.iter_bytes()
        self._explain = explain
        self._timed = timed

    def read(self) -> bytes:
        try:
            with self._timed():
                return self._count(next(self._pieces, b""))
        except Exception as caught:
            error = self._explain(caught)
        raise error

    def close(self) -> None:
        self._response.close()


class AsyncSdkExchange(_Bounded):
    """One of the SDK's HTTP client, for the event loop that opened it.

    :param until: of the loop's time, when the exchange's is over
    """

    _closing: ClassVar["set[asyncio.Task[None]]"] = set()  # held, as a loop does not hold its tasks

    def __init__(self, response: Any, limit: int, too_large: TooLarge, explain: Explain, until: float) -> None:
        super().__init__(limit, too_large)
        self.status, self.headers = response.status_code, response.headers
        self._response = response
        self._pieces: AsyncGenerator[bytes, None] = response.aiter_bytes()
        self._explain = explain
        self._until = until
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def aread(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._until):
                return self._count(await anext(self._pieces, b""))
        except Exception as caught:
            error = self._explain(caught)
        raise error

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with suppress(RuntimeError):  # none is running here
                if asyncio.get_running_loop() is self._loop:
                    self._close()  # at once: the loop may be at its end
                    return
            with suppress(RuntimeError):  # the loop is closed, and its sockets with it
                self._loop.call_soon_threadsafe(self._close)

    async def _end(self) -> None:
        try:
            # Else the loop's end closes each of the generators behind it on its own, and reports that they are busy.
            with suppress(RuntimeError):  # somebody is reading
                await self._pieces.aclose()
        finally:
            await self._response.aclose()

    def _close(self) -> None:
        task = self._loop.create_task(self._end())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
