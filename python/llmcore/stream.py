"""Streams: an answer that is read while it is written."""

import _thread
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from llmcore.errors import LLMError
from llmcore.exchange import Exchange
from llmcore.flow import Park, Perform, Step
from llmcore.flow_stream import Deliver, Open, Result
from llmcore.transport import TransportError
from llmcore.types import Chunk, LLMResponse

if TYPE_CHECKING:
    from llmcore.runtime import Runtime

__all__ = ["AsyncLLMStream", "LLMStream"]

Flow = Generator[Step, Result, LLMResponse]

#: Flows that run. Held here, as the collector must not end one: that takes locks, which the thread that it happens to
#: run in may hold.
_running: set[Flow] = set()


class _Stream:
    """What both kinds of stream are: a flow, the exchange it reads from, and what has arrived."""

    def __init__(self, runtime: "Runtime", flow: Flow) -> None:
        self._runtime = runtime
        self._flow = flow
        self._ready: Iterator[Chunk] = iter(())
        self._exchange: Exchange | None = None
        self._response: LLMResponse | None = None
        self._turn = threading.Lock()
        self._over = False

    @property
    def response(self) -> LLMResponse:
        """What complete() would have given, once the stream has come to its end.

        :raises LLMError: it has not, or it failed, or it was closed before
        """
        if self._response is None:
            state = "was closed or failed before its end" if self._over else "has not come to its end: read on"
            raise LLMError(f"there is no response: the stream {state}")
        return self._response

    def _begin(self) -> None:
        if not self._turn.acquire(blocking=False):
            raise LLMError("this stream is being read already: it is for one thread or task at a time")
        if not self._over:
            _running.add(self._flow)

    def _take(self, step: Deliver) -> Chunk:
        """The first of the chunks that a flow hands out; the others are next."""
        if step.answer is not None:
            self._response = step.answer
            self._end()
        self._ready = iter(step.chunks)
        return next(self._ready)

    def _open(self, exchange: Exchange) -> Exchange:
        """An exchange that takes the place of an earlier attempt's."""
        self._hang_up()
        self._exchange = exchange
        return exchange

    def _hang_up(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    def _end(self) -> None:
        """Ends the call, wherever it stands."""
        self._over = True
        self._ready = iter(())
        try:
            self._hang_up()
        finally:
            self._flow.close()
            _running.discard(self._flow)

    def _close(self) -> None:
        if not self._turn.acquire(blocking=False):
            raise LLMError("this stream is being read: it is closed by the thread or task that reads it")
        try:
            self._end()
        finally:
            self._turn.release()

    def abandon(self) -> None:
        """Ends the call soon, from wherever it may be: takes no lock, and waits for nothing."""
        if self._over or self._flow not in _running or sys.is_finalizing():
            return
        self._over = True
        with suppress(RuntimeError):  # the interpreter ends, and the connection with it
            _thread.start_new_thread(_give_up, (self._flow, self._exchange))

    def __del__(self) -> None:
        self.abandon()


def _give_up(flow: Flow, exchange: Exchange | None) -> None:
    """Ends the call of a stream that was dropped. In a thread of its own: the collector drops things anywhere, also
    where locks are held that this needs.
    """
    try:
        if exchange is not None:
            exchange.close()
    finally:
        flow.close()
        _running.discard(flow)


class LLMStream(_Stream):
    """An answer while it arrives: iterate over its chunks, then look at `response`.

    For one thread at a time. The call begins with the first chunk that is asked for. Nothing is read ahead, so a slow
    reader slows the provider down; the call's deadline goes on meanwhile. Leaving the `with` block, `close()`, or
    dropping the stream cancels what is left: the connection is closed, and what was delivered is paid for and recorded.

    :ivar response: what complete() would have given, at the end
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        for chunk in self._ready:
            return chunk
        self._begin()
        try:
            if self._over:
                raise StopIteration
            return self._next()
        finally:
            self._turn.release()

    def finish(self) -> LLMResponse:
        """Reads the rest and returns the response.

        :raises LLMError: one of its subclasses: see :mod:`llmcore.errors`
        """
        for _ in self:
            pass
        return self.response

    def close(self) -> None:
        """Ends the call where it stands. Calling it again does nothing."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def _next(self) -> Chunk:
        runtime = self._runtime
        result: Result = None
        try:
            while True:
                step = self._flow.send(result)
                result = None
                try:
                    if type(step) is Deliver:
                        return self._take(step)
                    if type(step) is Open:
                        result = self._open(runtime.transport.stream(step.request, step.timeout))
                    elif type(step) is Park:
                        self._hang_up()
                        runtime.parking.wait(step.call)
                    else:
                        assert not isinstance(step, Park | Perform | Open | Deliver)
                        result = step.exchange.read()
                except TransportError as error:
                    result = error
        except StopIteration as end:
            self._response = end.value
            self._end()
            raise
        except BaseException:
            self._end()
            raise


class AsyncLLMStream(_Stream):
    """The same for asyncio: ``async with client.stream(...) as stream: async for chunk in stream: ...``. For one task
    at a time; cancelling it cancels the call.

    :ivar response: what complete() would have given, at the end
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        for chunk in self._ready:
            return chunk
        self._begin()
        try:
            if self._over:
                raise StopAsyncIteration
            return await self._next()
        finally:
            self._turn.release()

    async def finish(self) -> LLMResponse:
        """Reads the rest and returns the response.

        :raises LLMError: one of its subclasses: see :mod:`llmcore.errors`
        """
        async for _ in self:
            pass
        return self.response

    async def close(self) -> None:
        """Ends the call where it stands. Calling it again does nothing."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._close()

    async def _next(self) -> Chunk:
        runtime = self._runtime
        result: Result = None
        try:
            while True:
                step = self._flow.send(result)
                result = None
                try:
                    if type(step) is Deliver:
                        return self._take(step)
                    if type(step) is Open:
                        result = self._open(await runtime.transport.astream(step.request, step.timeout))
                    elif type(step) is Park:
                        self._hang_up()
                        await runtime.parking.wait_async(step.call)
                    else:
                        assert not isinstance(step, Park | Perform | Open | Deliver)
                        result = await step.exchange.aread()
                except TransportError as error:
                    result = error
        except StopIteration as end:
            self._response = end.value
            self._end()
        except BaseException:
            self._end()
            raise
        raise StopAsyncIteration
