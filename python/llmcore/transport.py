"""The only file that speaks HTTP: takes an HttpRequest to its host and brings back the HttpResponse. Decides nothing.

Two transports, one interface. ``native`` is pyreqwest (Rust's reqwest): lean, and what every call uses. ``sdk`` is the
HTTP client of the ``openai`` SDK: slower, a second opinion, and what a forked child falls back to, because the native
one cannot live through a fork.

Both: HTTP/1.1 with keep-alive, TLS verified, proxies from the environment, compression. Neither follows redirects,
retries or keeps cookies. A response body is bounded. Nothing is imported or opened before the first request.
"""

import asyncio
import importlib
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from llmcore._core import Outcome
from llmcore.exchange import (
    AsyncNativeExchange,
    AsyncSdkExchange,
    Exchange,
    NativeExchange,
    SdkExchange,
    WholeExchange,
)
from llmcore.interrupt import Interrupts
from llmcore.types import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import openai
    from pyreqwest.client import Client, SyncClient
    from pyreqwest.response import BaseResponse

__all__ = ["MAX_RESPONSE_BYTES", "NativeTransport", "SdkTransport", "Transport", "TransportError", "create_transport"]

T = TypeVar("T")

#: Default bound of a response body, after decompression.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024

_LONGEST_TIMEOUT = 1e7  # seconds; more than a timedelta may be too much for a clock
_log = logging.getLogger(__name__)


class TransportError(Exception):
    """A request that brought no complete response.

    :ivar outcome: TIMEOUT; CONNECTION; SERVER_ERROR (the response is too large or cannot be decoded); BAD_REQUEST (a
        URL or header that HTTP does not allow: nothing was sent); CANCELLED (the transport is closed)
    :ivar message: one sentence that names host and port, and never the rest of the URL, a header or a body
    """

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message


class Transport(ABC):
    """Sends requests from any number of threads and event loops at once. Goes on working in a forked child.

    :param max_response_bytes: bound of a response body, after decompression
    """

    def __init__(self, max_response_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self._limit = max_response_bytes
        self._closed = False

    @abstractmethod
    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        """The response, whatever its status.

        :param timeout: seconds for everything, from connecting to the last byte
        :raises TransportError: there is no complete response
        """

    @abstractmethod
    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - passed on
        """The same, awaited. A cancelled call ends at once."""

    def stream(self, request: HttpRequest, timeout: float) -> Exchange:
        """The response as soon as its head is there; its body is read from it, and it must be closed.

        A transport without a `stream` of its own reads the body first.

        :param timeout: seconds for everything, from connecting to the last byte
        :raises TransportError: there is no response
        """
        return WholeExchange(self.send(request, timeout))

    async def astream(self, request: HttpRequest, timeout: float) -> Exchange:  # noqa: ASYNC109 - passed on
        """The same, awaited."""
        return WholeExchange(await self.asend(request, timeout))

    @abstractmethod
    def close(self) -> None:
        """Closes what threads use; further requests are refused. Calling it again does nothing."""

    @abstractmethod
    async def aclose(self) -> None:
        """Closes everything, what event loops use included. Calling it again does nothing."""

    def _check(self, request: HttpRequest, timeout: float) -> None:
        if self._closed:
            raise _was_closed(request)
        if timeout <= 0:
            raise _timed_out(request, timeout)

    def _too_large(self, request: HttpRequest) -> TransportError:
        message = (
            f"{_place(request)} answered with more than {self._limit} bytes (max_response_bytes); they were dropped."
        )
        return TransportError(Outcome.SERVER_ERROR, message)


def create_transport(
    kind: Literal["native", "sdk"] = "native", *, max_response_bytes: int = MAX_RESPONSE_BYTES
) -> Transport:
    """A transport of that kind. It opens nothing yet.

    :raises ValueError: there is no such kind
    """
    if kind == "native":
        return NativeTransport(max_response_bytes)
    if kind == "sdk":
        return SdkTransport(max_response_bytes)
    raise ValueError(f"There is no transport {kind!r}; take 'native' or 'sdk'.")


def _place(request: HttpRequest) -> str:
    """host:port, which is all of a URL that may be shown."""
    try:
        parts = urlsplit(request.url)
        host, port = parts.hostname or "?", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "the given URL"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _timed_out(request: HttpRequest, timeout: float) -> TransportError:
    return TransportError(Outcome.TIMEOUT, f"{_place(request)} gave no complete answer within {round(timeout, 3):g} s.")


def _was_closed(request: HttpRequest) -> TransportError:
    return TransportError(
        Outcome.CANCELLED, f"The transport is closed: the request to {_place(request)} has no answer."
    )


def _not_connected(request: HttpRequest, why: str) -> TransportError:
    return TransportError(Outcome.CONNECTION, f"Could not connect to {_place(request)}: {why}.")


def _broken(request: HttpRequest, why: str) -> TransportError:
    message = f"The connection to {_place(request)} broke before the answer was complete: {why}."
    return TransportError(Outcome.CONNECTION, message)


def _undecodable(request: HttpRequest, why: str) -> TransportError:
    return TransportError(Outcome.SERVER_ERROR, f"The answer of {_place(request)} could not be decoded: {why}.")


def _unsendable(request: HttpRequest) -> TransportError:
    message = f"The request to {_place(request)} cannot be sent: its URL or one of its headers is not valid HTTP."
    return TransportError(Outcome.BAD_REQUEST, message)


class _Process:
    """What the transports of this process share: whether pyreqwest can run in it, and which fork it comes from."""

    def __init__(self) -> None:
        self.native_started = False  # pyreqwest's threads run here, or ran in the process this one was forked from
        self.native_lost = False  # they did so before a fork: here pyreqwest refuses, and its old clients hang
        self.generation = 0  # forks between the first process and this one
        self.opening = threading.Lock()  # held to open a client, and across a fork, so that no child inherits it locked
        self.interrupts = Interrupts()
        self.main_thread = threading.main_thread().ident
        self._said_so = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.opening.acquire, after_in_parent=self.opening.release, after_in_child=self._after_fork
            )

    def start_native(self, build: Callable[[], T]) -> T | None:
        """What `build` makes; None if pyreqwest cannot run in this process. Call it with `opening` held."""
        self.native_started = True
        try:
            return build()
        except RuntimeError:  # others used it before a fork
            self.native_lost = True
            return None

    def say_native_is_lost(self) -> None:
        if not self._said_so:
            self._said_so = True
            _log.warning(
                "Process %d was forked from one that had sent requests already. The native HTTP client does not "
                "survive that, so the slower transport 'sdk' is used. Fork before the first request, or spawn.",
                os.getpid(),
            )

    def _after_fork(self) -> None:
        self.native_lost = self.native_started
        self.generation += 1
        self.main_thread = get_ident()
        self.interrupts.forget()
        self.opening.release()


_process = _Process()


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
        in_main = get_ident() == _process.main_thread
        client = self._main if in_main else self._sync
        if client is None or _process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_sync(in_main)
            if client is None:
                return self._fallback().send(request, timeout)
        if in_main:
            _process.interrupts.begin(client.close)
        try:
            with (
                client.request(request.method, request.url)
                .headers(request.headers)
                .body_bytes(request.body)
                .timeout(timedelta(0, min(timeout, _LONGEST_TIMEOUT)))
                .build_streamed()
            ) as response:
                if self._fits(response):
                    return HttpResponse(response.status, response.headers, response.bytes().to_bytes())
                body = bytearray()
                while (piece := response.body_reader.read_chunk()) is not None:
                    body += piece
                    if len(body) > self._limit:
                        raise self._too_large(request)
                return HttpResponse(response.status, response.headers, bytes(body))
        except Exception as caught:
            error = self._explain(caught, request, timeout)
        except BaseException:
            self._main = None  # Ctrl-C has closed it or is about to
            raise
        finally:
            if in_main:
                _process.interrupts.end()
        if in_main and error.outcome is Outcome.CANCELLED and not self._closed:
            self._main = None  # Ctrl-C closed it, and somebody took the KeyboardInterrupt before it came to us
            error = _broken(request, "interrupted")
        raise error  # outside of the handler: so it does not carry the client's exception, which may quote the URL

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - passed on
        client = self._async
        if client is None or _process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_async()
            if client is None:
                return await self._fallback().asend(request, timeout)
        try:
            async with (
                client.request(request.method, request.url)
                .headers(request.headers)
                .body_bytes(request.body)
                .timeout(timedelta(0, min(timeout, _LONGEST_TIMEOUT)))
                .build_streamed()
            ) as response:
                if self._fits(response):
                    return HttpResponse(response.status, response.headers, (await response.bytes()).to_bytes())
                body = bytearray()
                while (piece := await response.body_reader.read_chunk()) is not None:
                    body += piece
                    if len(body) > self._limit:
                        raise self._too_large(request)
                return HttpResponse(response.status, response.headers, bytes(body))
        except Exception as caught:
            error = self._explain(caught, request, timeout)
        finally:
            del client  # else the traceback of a cancelled call, if somebody keeps it, keeps all connections open
        raise error

    def stream(self, request: HttpRequest, timeout: float) -> Exchange:
        in_main = get_ident() == _process.main_thread
        client = self._main if in_main else self._sync
        if client is None or _process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_sync(in_main)
            if client is None:
                return self._fallback().stream(request, timeout)
        asked = (
            client.request(request.method, request.url)
            .headers(request.headers)
            .body_bytes(request.body)
            .timeout(timedelta(0, min(timeout, _LONGEST_TIMEOUT)))
            .streamed_read_buffer_limit(0)  # else it reads ahead, and shows the head when it has done so
        )

        def guarded(work: Callable[[], T]) -> T:
            return self._guarded(client, work, request, timeout)

        opened = guarded(asked.build_streamed)
        response = guarded(opened.__enter__)
        return NativeExchange(opened, response, self._limit, lambda: self._too_large(request), guarded)

    def _guarded(self, client: "SyncClient", work: Callable[[], T], request: HttpRequest, timeout: float) -> T:
        """Does what blocks, so that Ctrl-C ends it in the main thread, and says in our words what went wrong."""
        in_main = client is self._main and get_ident() == _process.main_thread
        if in_main:
            _process.interrupts.begin(client.close)
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
                _process.interrupts.end()
        if in_main and error.outcome is Outcome.CANCELLED and not self._closed:
            self._main = None
            error = _broken(request, "interrupted")
        raise error

    async def astream(self, request: HttpRequest, timeout: float) -> Exchange:  # noqa: ASYNC109 - passed on
        client = self._async
        if client is None or _process.native_lost or timeout <= 0:
            self._check(request, timeout)
            client = self._open_async()
            if client is None:
                return await self._fallback().astream(request, timeout)

        def explain(caught: Exception) -> TransportError:
            return self._explain(caught, request, timeout)

        opened = None
        try:
            opened = (
                client.request(request.method, request.url)
                .headers(request.headers)
                .body_bytes(request.body)
                .timeout(timedelta(0, min(timeout, _LONGEST_TIMEOUT)))
                .streamed_read_buffer_limit(0)
                .build_streamed()
            )
            response = await opened.__aenter__()
            exchange = AsyncNativeExchange(opened, response, self._limit, lambda: self._too_large(request), explain)
            self._exchanges[exchange] = _was_closed(request)
            return exchange
        except Exception as caught:
            error = explain(caught)
        finally:
            del client, opened  # as in asend()
        raise error

    def close(self) -> None:
        with _process.opening:
            self._closed = True
            clients = [client for client in (self._sync, self._main) if client is not None]
            self._sync = self._main = None
            if self._async is not None:
                self._async, self._async_left = None, self._async
            exchanges, self._exchanges = self._exchanges, WeakKeyDictionary()
        for exchange, error in exchanges.items():
            exchange.give_up(error)
        if not _process.native_lost:
            for client in clients:
                client.close()
        if self._second is not None:
            self._second.close()

    async def aclose(self) -> None:
        self.close()
        client, self._async_left = self._async_left, None
        if client is not None and not _process.native_lost:
            await client.close()
        if self._second is not None:
            await self._second.aclose()

    def _fits(self, response: "BaseResponse") -> bool:
        """Whether the body is known to be within the bound, so that it may be read at one go."""
        length = response.headers.get("content-length")  # absent where the body is chunked or compressed
        return length is not None and int(length) <= self._limit

    def _open_sync(self, in_main: bool) -> "SyncClient | None":
        """A client; None: the second transport must do."""
        import pyreqwest.exceptions  # noqa: F401 - pyreqwest aborts the process if Ctrl-C meets its own import of them
        from pyreqwest.client import SyncClientBuilder

        with _process.opening:
            client = self._main if in_main else self._sync
            if client is None and not _process.native_lost:
                client = _process.start_native(SyncClientBuilder().follow_redirects(False).referer(False).build)
                if in_main:
                    self._main = client
                else:
                    self._sync = client
            return None if _process.native_lost else client

    def _open_async(self) -> "Client | None":
        from pyreqwest.client import ClientBuilder

        with _process.opening:
            if self._async is None and not _process.native_lost:
                self._async = _process.start_native(ClientBuilder().follow_redirects(False).referer(False).build)
            return None if _process.native_lost else self._async

    def _fallback(self) -> "SdkTransport":
        with _process.opening:
            if self._second is None:
                _process.say_native_is_lost()
                self._second = SdkTransport(self._limit)
            return self._second

    def _explain(self, caught: Exception, request: HttpRequest, timeout: float) -> TransportError:
        from pyreqwest import exceptions as native

        if isinstance(caught, TransportError):
            return caught
        if isinstance(caught, native.RequestTimeoutError):
            return _timed_out(request, timeout)
        if isinstance(caught, native.ClientClosedError):
            return _was_closed(request)
        if isinstance(caught, native.RequestError):
            causes = [cause["message"] for cause in caught.details.get("causes") or ()]
            why = next((text for text in reversed(causes) if "://" not in text), "no reason is known")
            if "client error (Connect)" in causes:
                return _not_connected(request, why)
            if isinstance(caught, native.BodyDecodeError) and "error reading a body from connection" not in causes:
                return _undecodable(request, why)
            return _broken(request, why)
        if isinstance(caught, ValueError):
            return _unsendable(request)
        raise caught


class SdkTransport(Transport):
    """The HTTP client of the `openai` SDK (`openai.DefaultHttpxClient`), without its retries, headers and types.

    In threads the timeout bounds each wait for the network, and the total is looked at between the pieces of a body: a
    host that drips its answer may take up to twice as long.
    """

    def __init__(self, max_response_bytes: int = MAX_RESPONSE_BYTES) -> None:
        super().__init__(max_response_bytes)
        self._generation = _process.generation
        self._inherited: list[object] = []
        self._sync: openai.DefaultHttpxClient | None = None
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, openai.DefaultAsyncHttpxClient]
        self._by_loop = WeakKeyDictionary()

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        self._check(request, timeout)
        client = self._open_sync()
        timeout = min(timeout, _LONGEST_TIMEOUT)
        end = monotonic() + timeout
        try:
            with client.stream(
                request.method, request.url, headers=request.headers, content=request.body, timeout=timeout
            ) as response:
                response.request.extensions["timeout"]["read"] = max(end - monotonic(), 0)
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > self._limit:
                        raise self._too_large(request)
                    if monotonic() >= end:
                        raise _timed_out(request, timeout)
                return HttpResponse(response.status_code, response.headers, bytes(body))
        except Exception as caught:
            error = self._explain(caught, request, timeout)
        raise error

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - passed on
        self._check(request, timeout)
        client = self._open_async()
        timeout = min(timeout, _LONGEST_TIMEOUT)
        try:
            async with (
                asyncio.timeout(timeout),
                client.stream(
                    request.method, request.url, headers=request.headers, content=request.body, timeout=timeout
                ) as response,
            ):
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > self._limit:
                        raise self._too_large(request)
                return HttpResponse(response.status_code, response.headers, bytes(body))
        except Exception as caught:
            error = self._explain(caught, request, timeout)
        raise error

    def stream(self, request: HttpRequest, timeout: float) -> Exchange:
        self._check(request, timeout)
        client = self._open_sync()
        timeout = min(timeout, _LONGEST_TIMEOUT)
        end = monotonic() + timeout

        def explain(caught: Exception) -> TransportError:
            return self._explain(caught, request, timeout)

        try:
            asked = client.build_request(
                request.method, request.url, headers=request.headers, content=request.body, timeout=timeout
            )

            def ahead() -> None:
                left = end - monotonic()
                if left <= 0:
                    raise _timed_out(request, timeout)
                asked.extensions["timeout"]["read"] = left

            response = client.send(asked, stream=True)
            return SdkExchange(response, self._limit, lambda: self._too_large(request), explain, ahead)
        except Exception as caught:
            error = explain(caught)
        raise error

    async def astream(self, request: HttpRequest, timeout: float) -> Exchange:  # noqa: ASYNC109 - passed on
        self._check(request, timeout)
        client = self._open_async()
        timeout = min(timeout, _LONGEST_TIMEOUT)
        until = asyncio.get_running_loop().time() + timeout

        def explain(caught: Exception) -> TransportError:
            return self._explain(caught, request, timeout)

        try:
            async with asyncio.timeout_at(until):
                asked = client.build_request(
                    request.method, request.url, headers=request.headers, content=request.body, timeout=timeout
                )
                response = await client.send(asked, stream=True)
            return AsyncSdkExchange(response, self._limit, lambda: self._too_large(request), explain, until)
        except Exception as caught:
            error = explain(caught)
        raise error

    def close(self) -> None:
        with _process.opening:
            self._closed = True
            self._leave_inherited()
            client, self._sync = self._sync, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        self.close()
        client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _open_sync(self) -> "openai.DefaultHttpxClient":
        from openai import DefaultHttpxClient

        with _process.opening:
            self._leave_inherited()
            if self._sync is None:
                self._sync = DefaultHttpxClient(follow_redirects=False, cookies=_no_cookies())
            return self._sync

    def _open_async(self) -> "openai.DefaultAsyncHttpxClient":
        from openai import DefaultAsyncHttpxClient

        loop = asyncio.get_running_loop()
        with _process.opening:
            self._leave_inherited()
            client = self._by_loop.get(loop)  # its connections belong to the loop that opened them
            if client is None:
                client = self._by_loop[loop] = DefaultAsyncHttpxClient(follow_redirects=False, cookies=_no_cookies())
            return client

    def _leave_inherited(self) -> None:
        """After a fork the sockets are the parent's: neither used nor closed here."""
        if self._generation != _process.generation:
            self._inherited += [self._sync, *self._by_loop.values()]
            self._sync = None
            self._by_loop = WeakKeyDictionary()
            self._generation = _process.generation

    def _explain(self, caught: Exception, request: HttpRequest, timeout: float) -> TransportError:
        if isinstance(caught, TransportError):
            return caught
        from openai import DefaultHttpxClient

        http: Any = importlib.import_module(DefaultHttpxClient.__mro__[1].__module__)  # httpx2; httpx before openai 3
        why = str(caught).rstrip(".")
        if not why or "://" in why:
            why = type(caught).__name__
        if isinstance(caught, http.TimeoutException | TimeoutError):
            return _timed_out(request, timeout)
        if isinstance(caught, http.ConnectError):
            return _not_connected(request, why)
        if isinstance(caught, http.DecodingError):
            return _undecodable(request, why)
        if isinstance(caught, http.UnsupportedProtocol | http.LocalProtocolError | http.InvalidURL | ValueError):
            return _unsendable(request)
        if self._closed:
            return _was_closed(request)
        if isinstance(caught, http.TransportError):
            return _broken(request, why)
        raise caught


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
