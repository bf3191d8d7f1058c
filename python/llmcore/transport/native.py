"""pyreqwest (Rust's reqwest) as a transport: what every call uses."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from llmcore._core import Outcome
from llmcore.exchange import AsyncNativeExchange, Exchange, NativeExchange, Wishes
from llmcore.transport.base import LONGEST_TIMEOUT, MAX_RESPONSE_BYTES, Transport
from llmcore.transport.errors import (
    TransportError,
    broken,
    not_connected,
    timed_out,
    undecodable,
    unsendable,
    was_closed,
)
from llmcore.transport.process import process
from llmcore.transport.sdk import SdkTransport
from llmcore.types import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyreqwest.client import Client, SyncClient

T = TypeVar("T")


class NativeTransport(Transport):
    """pyreqwest. In a child that was forked after it had been used, SdkTransport takes over, and one warning says so.

    A call that is cancelled, interrupted or closed ends at once, but what was sent already goes on in the background
    until it is answered or its timeout is over: pyreqwest has no way to take it back. A thread that waits for the next
    bytes of a body waits that long too, whoever closes what; between two reads an exchange is closed at once.
    """

    def __init__(self, max_response_bytes: int = MAX_RESPONSE_BYTES) -> None:
        super().__init__(max_response_bytes)
        self._sync: SyncClient | None = None
        self._main: SyncClient | None = None  # the main thread's own: Ctrl-C closes it
        self._async: Client | None = None
        self._async_left: Client | None = None  # of a closed transport, for aclose()
        self._exchanges: WeakKeyDictionary[AsyncNativeExchange, TransportError] = WeakKeyDictionary()
        self._second: SdkTransport | None = None

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        in_main = get_ident() == process.main_thread
        client = self._main if in_main else self._sync
        if client is None or process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_sync(in_main)
            if client is None:
                return self._fallback().send(request, timeout)
        if in_main:
            process.interrupts.begin(client.close)
        try:
            with (
                client.request(request.method, request.url)
                .headers(request.headers)
                .body_bytes(request.body)
                .timeout(timedelta(0, min(timeout, LONGEST_TIMEOUT)))
                .build_streamed()
            ) as response:
                headers = response.headers
                if self._fits(headers):
                    return HttpResponse(response.status, headers, response.bytes().to_bytes())
                body = bytearray()
                while (piece := response.body_reader.read_chunk()) is not None:
                    body += piece
                    if len(body) > self._limit:
                        raise self._too_large(request)
                return HttpResponse(response.status, headers, bytes(body))
        except Exception as caught:
            error = self._explain(caught, request, timeout)
        except BaseException:
            self._main = None  # Ctrl-C has closed it or is about to
            raise
        finally:
            if in_main:
                process.interrupts.end()
        if in_main and error.outcome is Outcome.CANCELLED and not self._closed:
            self._main = None  # Ctrl-C closed it, and somebody took the KeyboardInterrupt before it came to us
            error = broken(request, "interrupted")
        raise error  # outside of the handler: so it does not carry the client's exception, which may quote the URL

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - passed on
        client = self._async
        if client is None or process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_async()
            if client is None:
                return await self._fallback().asend(request, timeout)
        wishes = Wishes()
        try:
            async with (
                client.request(request.method, request.url)
                .headers(request.headers)
                .body_bytes(request.body)
                .timeout(timedelta(0, min(timeout, LONGEST_TIMEOUT)))
                .build_streamed()
            ) as response:
                wishes.heed()
                headers = response.headers
                if self._fits(headers):
                    whole = await response.bytes()
                    wishes.heed()
                    return HttpResponse(response.status, headers, whole.to_bytes())
                body = bytearray()
                while (piece := await response.body_reader.read_chunk()) is not None:
                    wishes.heed()
                    body += piece
                    if len(body) > self._limit:
                        raise self._too_large(request)
                wishes.heed()
                return HttpResponse(response.status, headers, bytes(body))
        except Exception as caught:
            wishes.heed()
            error = self._explain(caught, request, timeout)
        finally:
            del client  # else the traceback of a cancelled call, if somebody keeps it, keeps all connections open
        raise error

    def stream(self, request: HttpRequest, timeout: float) -> Exchange:
        in_main = get_ident() == process.main_thread
        client = self._main if in_main else self._sync
        if client is None or process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_sync(in_main)
            if client is None:
                return self._fallback().stream(request, timeout)
        asked = (
            client.request(request.method, request.url)
            .headers(request.headers)
            .body_bytes(request.body)
            .timeout(timedelta(0, min(timeout, LONGEST_TIMEOUT)))
            .streamed_read_buffer_limit(0)  # else it reads ahead, and shows the head when it has done so
        )

        def guarded(work: Callable[[], T]) -> T:
            return self._guarded(client, work, request, timeout)

        opened = guarded(asked.build_streamed)
        response = guarded(opened.__enter__)
        return NativeExchange(opened, response, self._limit, lambda: self._too_large(request), guarded)

    def _guarded(self, client: "SyncClient", work: Callable[[], T], request: HttpRequest, timeout: float) -> T:
        """Does what blocks, so that Ctrl-C ends it in the main thread, and says in our words what went wrong."""
        in_main = client is self._main and get_ident() == process.main_thread
        if in_main:
            process.interrupts.begin(client.close)
        try:
            return work()
        except Exception as caught:
            error = self._explain(caught, request, timeout)
        except BaseException:
            if in_main:
                self._main = None  # Ctrl-C has closed it or is about to
            raise
        finally:
            if in_main:
                process.interrupts.end()
        if in_main and error.outcome is Outcome.CANCELLED and not self._closed:
            self._main = None
            error = broken(request, "interrupted")
        raise error

    async def astream(self, request: HttpRequest, timeout: float) -> Exchange:  # noqa: ASYNC109 - passed on
        client = self._async
        if client is None or process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_async()
            if client is None:
                return await self._fallback().astream(request, timeout)

        def explain(caught: Exception) -> TransportError:
            return self._explain(caught, request, timeout)

        opened = None
        wishes = Wishes()
        try:
            opened = (
                client.request(request.method, request.url)
                .headers(request.headers)
                .body_bytes(request.body)
                .timeout(timedelta(0, min(timeout, LONGEST_TIMEOUT)))
                .streamed_read_buffer_limit(0)
                .build_streamed()
            )
            response = await opened.__aenter__()
            exchange = AsyncNativeExchange(opened, response, self._limit, lambda: self._too_large(request), explain)
            try:
                wishes.heed()
            except asyncio.CancelledError:
                exchange.close()
                raise
            self._exchanges[exchange] = was_closed(request)
            return exchange
        except Exception as caught:
            wishes.heed()
            error = explain(caught)
        finally:
            del client, opened  # as in asend()
        raise error

    def close(self) -> None:
        with process.opening:
            self._closed = True
            clients = [client for client in (self._sync, self._main) if client is not None]
            self._sync = self._main = None
            if self._async is not None:
                self._async, self._async_left = None, self._async
            exchanges, self._exchanges = self._exchanges, WeakKeyDictionary()
        for exchange, error in exchanges.items():
            exchange.give_up(error)
        if not process.native_lost:
            for client in clients:
                client.close()
        if self._second is not None:
            self._second.close()

    async def aclose(self) -> None:
        self.close()
        client, self._async_left = self._async_left, None
        if client is not None and not process.native_lost:
            await client.close()
        if self._second is not None:
            await self._second.aclose()

    def _fits(self, headers: "Mapping[str, str]") -> bool:
        """Whether the body is known to be within the bound, so that it may be read at one go."""
        length = headers.get("content-length")  # absent where the body is chunked or compressed
        return length is not None and int(length) <= self._limit

    def _open_sync(self, in_main: bool) -> "SyncClient | None":
        """A client; None: the second transport must do."""
        import pyreqwest.exceptions  # noqa: F401 - pyreqwest aborts the process if Ctrl-C meets its own import of them
        from pyreqwest.client import SyncClientBuilder

        with process.opening:
            client = self._main if in_main else self._sync
            if client is None and not process.native_lost:
                client = process.start_native(SyncClientBuilder().follow_redirects(False).referer(False).build)
                if in_main:
                    self._main = client
                else:
                    self._sync = client
            return None if process.native_lost else client

    def _open_async(self) -> "Client | None":
        from pyreqwest.client import ClientBuilder

        with process.opening:
            if self._async is None and not process.native_lost:
                self._async = process.start_native(ClientBuilder().follow_redirects(False).referer(False).build)
            return None if process.native_lost else self._async

    def _fallback(self) -> "SdkTransport":
        with process.opening:
            if self._second is None:
                process.say_native_is_lost()
                self._second = SdkTransport(self._limit)
            return self._second

    def _explain(self, caught: Exception, request: HttpRequest, timeout: float) -> TransportError:
        from pyreqwest import exceptions as native

        if isinstance(caught, TransportError):
            return caught
        if isinstance(caught, native.RequestTimeoutError):
            return timed_out(request, timeout)
        if isinstance(caught, native.ClientClosedError):
            return was_closed(request)
        if isinstance(caught, native.RequestError):
            causes = [cause["message"] for cause in caught.details.get("causes") or ()]
            why = next((text for text in reversed(causes) if "://" not in text), "no reason is known")
            if "client error (Connect)" in causes:
                return not_connected(request, why)
            if isinstance(caught, native.BodyDecodeError) and "error reading a body from connection" not in causes:
                return undecodable(request, why)
            return broken(request, why)
        if isinstance(caught, ValueError):
            return unsendable(request)
        raise caught
