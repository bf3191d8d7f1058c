"""The HTTP client of the ``openai`` SDK as a transport: a second opinion, and what a forked child falls back to."""

import asyncio
import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from llmcore.exchange import AsyncSdkExchange, Exchange, SdkExchange
from llmcore.transport.base import LONGEST_TIMEOUT, MAX_RESPONSE_BYTES, Transport
from llmcore.transport.bounded import Until, bound
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
from llmcore.types import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import openai

#: Where its HTTP client begins to quote what a server sent, which may be our key or our prompt.
_QUOTED: Final = re.compile(r":?\s+(?:bytearray\()?b?['\"]")


class SdkTransport(Transport):
    """The HTTP client of the `openai` SDK (`openai.DefaultHttpxClient`), without its retries, headers and types.

    Its own timeouts bound each wait for the network; what bounds all of a request is `asyncio.timeout`, and in threads
    :mod:`llmcore.transport.bounded`.
    """

    def __init__(self, max_response_bytes: int = MAX_RESPONSE_BYTES) -> None:
        super().__init__(max_response_bytes)
        self._generation = process.generation
        self._inherited: list[object] = []
        self._sync: openai.DefaultHttpxClient | None = None
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, openai.DefaultAsyncHttpxClient]
        self._by_loop = WeakKeyDictionary()
        self._until = Until()

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        self._check(request, timeout)
        client = self._open_sync()
        timeout = min(timeout, LONGEST_TIMEOUT)
        self._until.end = monotonic() + timeout
        try:
            with client.stream(
                request.method, request.url, headers=request.headers, content=request.body, timeout=timeout
            ) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > self._limit:
                        raise self._too_large(request)
                return HttpResponse(response.status_code, response.headers, bytes(body))
        except Exception as caught:
            error = self._explain(caught, request, timeout)
        finally:
            self._until.end = inf
        raise error

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - passed on
        self._check(request, timeout)
        client = self._open_async()
        timeout = min(timeout, LONGEST_TIMEOUT)
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
        timeout = min(timeout, LONGEST_TIMEOUT)
        end = monotonic() + timeout

        def explain(caught: Exception) -> TransportError:
            return self._explain(caught, request, timeout)

        @contextmanager
        def timed() -> Iterator[None]:
            if monotonic() >= end:
                raise timed_out(request, timeout)
            self._until.end = end
            try:
                yield
            finally:
                self._until.end = inf

        try:
            with timed():
                asked = client.build_request(
                    request.method, request.url, headers=request.headers, content=request.body, timeout=timeout
                )
                response = client.send(asked, stream=True)
            return SdkExchange(response, self._limit, lambda: self._too_large(request), explain, timed)
        except Exception as caught:
            error = explain(caught)
        raise error

    async def astream(self, request: HttpRequest, timeout: float) -> Exchange:  # noqa: ASYNC109 - passed on
        self._check(request, timeout)
        client = self._open_async()
        timeout = min(timeout, LONGEST_TIMEOUT)
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
        with process.opening:
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

        with process.opening:
            self._leave_inherited()
            if self._sync is None:
                self._sync = DefaultHttpxClient(follow_redirects=False, cookies=_no_cookies())
                bound(self._sync, self._until)
            return self._sync

    def _open_async(self) -> "openai.DefaultAsyncHttpxClient":
        from openai import DefaultAsyncHttpxClient

        loop = asyncio.get_running_loop()
        with process.opening:
            self._leave_inherited()
            client = self._by_loop.get(loop)  # its connections belong to the loop that opened them
            if client is None:
                client = self._by_loop[loop] = DefaultAsyncHttpxClient(follow_redirects=False, cookies=_no_cookies())
            return client

    def _leave_inherited(self) -> None:
        """After a fork the sockets are the parent's: neither used nor closed here."""
        if self._generation != process.generation:
            self._inherited += [self._sync, *self._by_loop.values()]
            self._sync = None
            self._by_loop = WeakKeyDictionary()
            self._generation = process.generation

    def _explain(self, caught: Exception, request: HttpRequest, timeout: float) -> TransportError:
        if isinstance(caught, TransportError):
            return caught
        from openai import DefaultHttpxClient

        http: Any = importlib.import_module(DefaultHttpxClient.__mro__[1].__module__)  # httpx2; httpx before openai 3
        why = _QUOTED.split(str(caught), maxsplit=1)[0].rstrip(".")
        if not why or "://" in why:
            why = type(caught).__name__
        if isinstance(caught, http.TimeoutException | TimeoutError):
            return timed_out(request, timeout)
        if isinstance(caught, http.ConnectError):
            return not_connected(request, why)
        if isinstance(caught, http.DecodingError):
            return undecodable(request, why)
        if isinstance(caught, http.UnsupportedProtocol | http.LocalProtocolError | http.InvalidURL | ValueError):
            return unsendable(request)
        if self._closed:
            return was_closed(request)
        if isinstance(caught, http.TransportError):
            return broken(request, why)
        raise caught


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
