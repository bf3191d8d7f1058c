"""Recorded answers in place of HTTP: no network, no waiting for it, and the same answers every time."""

import threading
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from os import PathLike
from typing import Any

from llmcore._core import Outcome
from llmcore.errors import ReplayError
from llmcore.recording import Recording, identity, mask_of, place_of
from llmcore.request_difference import Asked, describe, likeness
from llmcore.transport import Transport, TransportError
from llmcore.types import HttpRequest, HttpResponse

__all__ = ["ReplayTransport"]

_MOST_COMPARED = 200  # recorded requests that are held against one that is not among them


@dataclass(slots=True)
class _Recorded:
    asked: Asked
    answers: "list[HttpResponse | TransportError | None]"
    served: int = 0


class ReplayTransport(Transport):
    """Answers requests from a recording. Thread-safe; for threads and event loops.

    Give it to ``Runtime(transport=...)``. Equal requests get their answers in the order in which they were recorded,
    errors included: a timeout is a timeout again, but at once. A request that was not recorded raises
    :class:`~llmcore.errors.ReplayError`, which shows what changed against the recorded request most like it.

    It keeps all requests and answers of the recording in memory.

    :param recording: the directory of a recording, or its events
    :param remedy: what to do about a request that is not in it: the last sentence of the error
    :raises ReplayError: the recording cannot be read
    """

    def __init__(
        self,
        recording: "str | PathLike[str] | Iterable[dict[str, Any]]",
        *,
        remedy: str = "If the change is meant, record again.",
    ) -> None:
        super().__init__()
        self._remedy = remedy
        self._lock = threading.Lock()
        self._recorded: dict[str, _Recorded] = {}
        self._misses: list[str] = []
        events = Recording(recording) if isinstance(recording, str | PathLike) else recording
        for event in events:
            if event["kind"] == "request_body":
                asked = Asked(str(event["method"]), place_of(str(event["url"])), _bytes(event["body"]))
                known = self._recorded.setdefault(event["fingerprint"], _Recorded(asked, []))
                known.answers.append(None)
            elif event["kind"] == "response_body":
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        known = self._recorded.get(event["fingerprint"])
        if known is None or event["ordinal"] >= len(known.answers):
            raise ReplayError("the recording holds an answer to a request that it does not hold")
        if event["error"] is None:
            headers = {name: value if isinstance(value, str) else "" for name, value in event["headers"]}
            answer = HttpResponse(event["status"], headers, _bytes(event["body"]))
            known.answers[event["ordinal"]] = answer
        else:
            outcome = Outcome[event["error"].upper()]
            known.answers[event["ordinal"]] = TransportError(outcome, str(event["message"]))

    def shared(self) -> "ReplayTransport":
        """Another transport over the same answers: each is served once, by whichever is asked. Closing one leaves the
        other open.
        """
        other = copy(self)
        other._closed = False
        return other

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        """The recorded answer.

        :raises TransportError: as recorded
        :raises ReplayError: the request is not in the recording
        """
        self._check(request, timeout)
        answer = self._find(request)
        if isinstance(answer, HttpResponse):
            return answer
        raise TransportError(answer.outcome, answer.message)

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - the interface
        """The same; there is nothing to await."""
        return self.send(request, timeout)

    def close(self) -> None:
        """Further requests are refused."""
        self._closed = True

    async def aclose(self) -> None:
        """Further requests are refused."""
        self._closed = True

    @property
    def misses(self) -> list[str]:
        """What was said about requests that are not in the recording, oldest first."""
        return list(self._misses)

    def unasked(self) -> int:
        """How many recorded requests nobody has made."""
        with self._lock:
            return sum(len(known.answers) - known.served for known in self._recorded.values())

    def _find(self, request: HttpRequest) -> "HttpResponse | TransportError":
        url, fingerprint, body = identity(request, mask_of(request))
        with self._lock:
            known = self._recorded.get(fingerprint.hex())
            if known is not None and known.served < len(known.answers):
                answer = known.answers[known.served]
                known.served += 1
                if answer is not None:
                    return answer
                told = "this request was recorded without an answer: the call was given up, or the program ended first."
            elif known is not None:
                told = f"this request was recorded {_times(len(known.answers))}, and is made once more."
            else:
                told = self._nearest(Asked(request.method, place_of(url), body))
            self._misses.append(told)
        raise ReplayError(f"{told}\n{self._remedy}")

    def _nearest(self, asked: Asked) -> str:
        if not self._recorded:
            return f"the recording holds no request, and one is made to {asked.place}."
        now = asked.leaves()
        best, most = None, -1.0
        for known in self._candidates():
            leaves = known.asked.leaves()
            score = likeness(leaves, now) + (0.001 if known.served == 0 else 0)
            if score > most:
                best, most = leaves, score
        assert best is not None
        return f"this request is not in the recording. Against the recorded one most like it:\n{describe(best, now)}"

    def _candidates(self) -> Iterator[_Recorded]:
        """Those that nobody has made yet first: a request that changed is most likely one of them."""
        ordered = sorted(self._recorded.values(), key=lambda known: known.served > 0)
        yield from ordered[:_MOST_COMPARED]


def _bytes(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode()


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
