"""The only place that speaks HTTP: takes an HttpRequest to its host and brings back the HttpResponse. Decides nothing.

Two transports, one interface. ``native`` is pyreqwest (Rust's reqwest): lean, and what every call uses. ``sdk`` is the
HTTP client of the ``openai`` SDK: slower, a second opinion, and what a forked child falls back to, because the native
one cannot live through a fork.

Both: HTTP/1.1 with keep-alive, TLS verified, proxies from the environment, compression. Neither follows redirects,
retries or keeps cookies. A response body is bounded. Nothing is imported or opened before the first request.
"""

from typing import Literal

from llmcore.transport.base import MAX_RESPONSE_BYTES, Transport
from llmcore.transport.errors import TransportError
from llmcore.transport.native import NativeTransport
from llmcore.transport.sdk import SdkTransport

__all__ = ["MAX_RESPONSE_BYTES", "NativeTransport", "SdkTransport", "Transport", "TransportError", "create_transport"]


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
