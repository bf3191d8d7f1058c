"""One bound for all that a thread waits for in the SDK's HTTP client.

That client's timeouts are of single reads: a host that sends a byte now and then keeps a thread for as long as it
likes, be it with a head that never ends. Here every wait for the network gets what is left of the whole.
"""

import importlib
import threading
from math import inf
from time import monotonic
from typing import Any

__all__ = ["Until", "bound"]


class Until(threading.local):
    """Until when the running thread may wait.

    :ivar end: monotonic seconds
    """

    end: float = inf


def bound(client: Any, until: Until) -> None:
    """Makes everything that a client of httpx2 (or httpx) waits for end at `until`, proxies included."""
    for transport in (client._transport, *client._mounts.values()):
        pool: Any = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if backend is not None:
            late = importlib.import_module(type(pool).__module__.partition(".")[0]).ReadTimeout
            pool._network_backend = _Backend(backend, until, late)


class _Waiting:
    def __init__(self, inner: Any, until: Until, late: type[Exception]) -> None:
        self._inner, self._until, self._late = inner, until, late

    def _left(self, timeout: float | None) -> float:
        left = self._until.end - monotonic()
        if left <= 0:
            raise self._late("the time for all of it is over")
        return left if timeout is None else min(timeout, left)

    def _stream(self, inner: Any) -> "_Stream":
        return _Stream(inner, self._until, self._late)


class _Backend(_Waiting):
    """Opens connections."""

    def connect_tcp(self, *place: Any, timeout: float | None = None, **options: Any) -> "_Stream":
        return self._stream(self._inner.connect_tcp(*place, timeout=self._left(timeout), **options))

    def connect_unix_socket(self, *place: Any, timeout: float | None = None, **options: Any) -> "_Stream":
        return self._stream(self._inner.connect_unix_socket(*place, timeout=self._left(timeout), **options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(_Waiting):
    """A connection."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received: bytes = self._inner.read(max_bytes, timeout=self._left(timeout))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout=self._left(timeout))

    def start_tls(self, *context: Any, timeout: float | None = None, **options: Any) -> "_Stream":
        return self._stream(self._inner.start_tls(*context, timeout=self._left(timeout), **options))

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
