"""What every transport can do, and the bound that it keeps."""

from abc import ABC, abstractmethod

from llmcore._core import Outcome
from llmcore.exchange import Exchange, WholeExchange
from llmcore.transport.errors import TransportError, place_of, timed_out, was_closed
from llmcore.types import HttpRequest, HttpResponse

#: Default bound of a response body, after decompression.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024

LONGEST_TIMEOUT = 1e7  # seconds; more than a timedelta may be too much for a clock


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
            raise was_closed(request)
        if timeout <= 0:
            raise timed_out(request, timeout)

    def _too_large(self, request: HttpRequest) -> TransportError:
        message = (
            f"{place_of(request)} answered with more than {self._limit} bytes (max_response_bytes); they were dropped."
        )
        return TransportError(Outcome.SERVER_ERROR, message)
