"""What goes wrong between a request and its complete response, said without the rest of the URL, a header or a body."""

from urllib.parse import urlsplit

from llmcore._core import Outcome
from llmcore.types import HttpRequest


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


def place_of(request: HttpRequest) -> str:
    """host:port, which is all of a URL that may be shown."""
    try:
        parts = urlsplit(request.url)
        host, port = parts.hostname or "?", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "the given URL"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def timed_out(request: HttpRequest, timeout: float) -> TransportError:
    return TransportError(
        Outcome.TIMEOUT, f"{place_of(request)} gave no complete answer within {round(timeout, 3):g} s."
    )


def was_closed(request: HttpRequest) -> TransportError:
    return TransportError(
        Outcome.CANCELLED, f"The transport is closed: the request to {place_of(request)} has no answer."
    )


def not_connected(request: HttpRequest, why: str) -> TransportError:
    return TransportError(Outcome.CONNECTION, f"Could not connect to {place_of(request)}: {why}.")


def broken(request: HttpRequest, why: str) -> TransportError:
    message = f"The connection to {place_of(request)} broke before the answer was complete: {why}."
    return TransportError(Outcome.CONNECTION, message)


def undecodable(request: HttpRequest, why: str) -> TransportError:
    return TransportError(Outcome.SERVER_ERROR, f"The answer of {place_of(request)} could not be decoded: {why}.")


def unsendable(request: HttpRequest) -> TransportError:
    message = f"The request to {place_of(request)} cannot be sent: its URL or one of its headers is not valid HTTP."
    return TransportError(Outcome.BAD_REQUEST, message)
