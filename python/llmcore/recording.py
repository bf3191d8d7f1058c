"""Recordings of what a program did: written while it runs, read, compared and run again.

A recording is a directory. It holds the engine's configuration and every input it was handed, the requests that went
out and what came back, and what the program adds: frames, random draws, snapshots of its world. docs/replay.md says
what can be done with one, docs/determinism.md what it promises.

No header of a request is recorded, and of an answer's headers only those that the provider's decoder looked at. The
key that a request carried is masked wherever it is echoed.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from llmcore import _core
from llmcore._core import Divergence, ReplayReport
from llmcore.errors import ReplayError
from llmcore.types import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from llmcore.transport import TransportError

__all__ = [
    "Divergence",
    "Exchange",
    "Recording",
    "ReplayLogger",
    "ReplayReport",
    "ReplayRng",
    "ReplayValidator",
    "identity",
    "mask_of",
    "place_of",
    "replay",
]

_MASK: Final = b"[key]"
#: Request headers that hold nothing secret; any other may, whatever its name.
_HARMLESS: Final = frozenset(
    ("accept", "accept-encoding", "content-type", "user-agent", "anthropic-version", "anthropic-beta", "x-title")
)
_SECRET_PARAMETER = re.compile("key|token|secret|sig|pass|auth|credential", re.IGNORECASE)
_SHORTEST_SECRET = 4  # characters; what is shorter would be found in every other word
_TELLING_START = 8  # characters of a long secret that are masked also where the rest of it is not echoed

Event = dict[str, Any]


class ReplayLogger(_core.ReplayLogger):
    """Writes a recording. Thread-safe; a context manager.

    Give it to ``Runtime(recorder=...)`` and everything that the runtime does is recorded; ``frame``, ``rng`` and
    ``snapshot`` add what the program itself decides. When a recording cannot be written any more, the disk being full
    for example, the program goes on: ``problem`` says why, and ``close()`` raises. A forked child records nothing.

    :param directory: of this recording alone; made if need be
    :param ack: what an event survives once it is recorded: "memory" nothing, "os" the end of the process, "disk" that
        of the machine's power
    :param engine: False records requests and answers without the engine's inputs
    :raises ReplayError: the directory holds a recording already, or cannot be written
    """

    def __init__(self, directory: str | PathLike[str], *, ack: str = "os", engine: bool = True) -> None:
        try:
            super().__init__(fspath(directory), ack, engine)
        except OSError as error:
            raise ReplayError(f"cannot record: {error}") from None
        self.directory = fspath(directory)

    def close(self) -> bool:
        """Writes the end. Calling it again does nothing.

        :raises ReplayError: the recording is not whole
        """
        super().close()
        if self.problem is not None:
            raise ReplayError(f"the recording in {self.directory} is not whole: {self.problem}")
        return True

    def exchange(self, call: int, attempt: int, provider: str, request: HttpRequest) -> "Exchange":
        """Records a request that is about to be sent. What comes of it goes to the Exchange."""
        return Exchange(self, call, attempt, provider, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            super().close()  # what already goes wrong is the more important news


class Exchange:
    """One request on its way, for the recording."""

    __slots__ = ("_answer", "_attempt", "_call", "_fingerprint", "_headers", "_log", "_mask", "_ordinal")

    def __init__(self, log: ReplayLogger, call: int, attempt: int, provider: str, request: HttpRequest) -> None:
        self._log = log
        self._call = call
        self._attempt = attempt
        self._mask = mask = mask_of(request)
        url, self._fingerprint, body = identity(request, mask)
        self._ordinal = log.request(call, attempt, self._fingerprint, provider, request.method, url, body)
        self._headers: dict[str, str] = {}
        self._answer: HttpResponse | TransportError | None = None

    def came(self, answer: "HttpResponse | TransportError") -> "HttpResponse | TransportError":
        """The answer as the decoder is to see it: it is noted which of the headers are looked at."""
        self._answer = answer
        if isinstance(answer, HttpResponse):
            return HttpResponse(answer.status, _Noting(answer.headers, self._headers), answer.body)
        return answer

    def end(self) -> None:
        """Records what came. Call it once, after the answer was decoded."""
        answer, mask = self._answer, self._mask
        if answer is None:
            return
        if isinstance(answer, HttpResponse):
            headers = [(name, mask.text(value)) for name, value in self._headers.items()]
            self._log.response(
                self._call,
                self._attempt,
                self._fingerprint,
                self._ordinal,
                answer.status,
                headers,
                mask.bytes(answer.body),
            )
        else:
            self._log.response(
                self._call,
                self._attempt,
                self._fingerprint,
                self._ordinal,
                0,
                [],
                b"",
                answer.outcome,
                mask.text(answer.message),
            )


class _Noting(Mapping[str, str]):
    """Headers that note which of them were looked at."""

    __slots__ = ("_headers", "_noted")

    def __init__(self, headers: Mapping[str, str], noted: dict[str, str]) -> None:
        self._headers = headers
        self._noted = noted

    def __getitem__(self, name: str) -> str:
        value = self._headers[name]
        self._noted[name.lower()] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class Mask:
    """Puts [key] in place of secrets."""

    __slots__ = ("_patterns",)

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._patterns = []
        for secret in sorted(secrets, key=len, reverse=True):
            start = secret.encode("utf-8", "replace")
            rest = b""
            if len(start) >= 2 * _TELLING_START:  # also a beginning of it, as some providers shorten what they echo
                start, rest = start[:_TELLING_START], rb"[^\s\"'\\,;<>&]*"
            self._patterns.append((start, re.compile(re.escape(start) + rest)))

    def bytes(self, data: bytes) -> bytes:
        for start, pattern in self._patterns:
            if start in data:
                data = pattern.sub(_MASK, data)
        return data

    def text(self, text: str) -> str:
        return self.bytes(text.encode("utf-8", "replace")).decode("utf-8", "replace")


def mask_of(request: HttpRequest) -> Mask:
    """What hides the secrets that a request carries: in its headers, and in its URL."""
    secrets = [value for name, value in request.headers.items() if name.lower() not in _HARMLESS]
    return _mask(tuple(secrets), request.url)


@functools.lru_cache(maxsize=64)
def _mask(headers: tuple[str, ...], url: str) -> Mask:
    found: set[str] = set()
    for value in headers:
        scheme, _, rest = value.partition(" ")
        found.add(rest if rest and scheme.isalpha() else value)  # "Bearer sk-..."
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")  # it is not going to be sent
    found.update(part for part in (parts.password, parts.username) if part)
    found.update(value for name, value in parse_qsl(parts.query) if _SECRET_PARAMETER.search(name))
    return Mask(tuple(secret for secret in found if len(secret) >= _SHORTEST_SECRET))


def place_of(url: str) -> str:
    """What of a URL makes two requests equal: host, path and query, without secrets."""
    return _shown(url)[1]


def identity(request: HttpRequest, mask: Mask) -> tuple[str, bytes, bytes]:
    """What may be recorded of a request, and what makes two of them equal: (URL, fingerprint, body).

    The fingerprint covers method, host, path, query and body, without secrets. Neither scheme nor port: a test server
    has another one every time.
    """
    url, place = _shown(request.url)
    body = mask.bytes(request.body)
    return mask.text(url), _core.fingerprint("", request.method, mask.text(place), body), body


@functools.lru_cache(maxsize=64)
def _shown(url: str) -> tuple[str, str]:
    """A URL without its secrets; and what of it makes two requests equal."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "[no URL]", "[no URL]"
    query = urlencode(
        [(name, "key" if _SECRET_PARAMETER.search(name) else value) for name, value in parse_qsl(parts.query)]
    )
    host = parts.hostname or ""
    netloc = parts.netloc.rpartition("@")[2]
    shown = parts._replace(netloc=netloc, query=query, fragment="").geturl()
    return shown, f"{host}{parts.path}?{query}"


class Recording:
    """Reads a recording, event by event::

        for event in Recording("run.recording"):
            print(event["kind"])

    :param directory: of the recording
    :raises ReplayError: there is none, or it is damaged; while iterating, too
    """

    def __init__(self, directory: str | PathLike[str]) -> None:
        self.directory = fspath(directory)
        self._reader = _open(self.directory)

    def __iter__(self) -> Iterator[Event]:
        while (event := self._reader.next()) is not None:
            yield event
        if self._reader.problem is not None:
            raise ReplayError(f"{self.directory}: {self._reader.problem}")

    @property
    def number(self) -> int:
        """Of the event that came last, from 1."""
        return self._reader.number

    @property
    def complete(self) -> bool:
        """Whether it was read to its end, and the program had written one: one that was killed leaves none."""
        return self._reader.complete


def _open(directory: str) -> _core.RecordingReader:
    try:
        return _core.RecordingReader(directory)
    except OSError as error:
        raise ReplayError(f"cannot read the recording: {error}") from None


def replay(directory: str | PathLike[str]) -> ReplayReport:
    """Runs the engine again over the inputs of a recording, and compares its state after each.

    :raises ReplayError: there is no recording, or it is damaged
    """
    try:
        report = _core.replay(fspath(directory))
    except OSError as error:
        raise ReplayError(f"cannot read the recording: {error}") from None
    if report.problem is not None:
        raise ReplayError(f"{fspath(directory)}: {report.problem}")
    return report


class ReplayValidator:
    """Compares recordings.

    :param kinds: which kinds of events to compare; none: all of them. Two runs of one program differ in their times,
        and so in what the engine was handed; "frame", "rng" and "snapshot" are what a deterministic program repeats
    """

    def __init__(self, kinds: tuple[str, ...] = ()) -> None:
        self._kinds = list(kinds)

    def compare(self, expected: str | PathLike[str], got: str | PathLike[str]) -> Divergence | None:
        """The first divergence: tick, event, field, expected, got. None: there is none.

        :raises ReplayError: one of the two is no recording, or is damaged
        :raises ValueError: there is no such kind of events
        """
        try:
            report = _core.compare_recordings(fspath(expected), fspath(got), self._kinds)
        except OSError as error:
            raise ReplayError(f"cannot read the recording: {error}") from None
        if report.problem is not None:
            raise ReplayError(report.problem)
        return report.divergence


class ReplayRng:
    """Random numbers that a run can have again. Every draw has a name, and each name its own sequence.

    ``ReplayRng(seed, logger)`` draws and records; ``ReplayRng.of(directory)`` gives the recorded ones again.
    """

    def __init__(self, seed: int, logger: ReplayLogger | None = None) -> None:
        self._rng = _core.ReplayRng(seed, logger)

    @classmethod
    def of(cls, directory: str | PathLike[str]) -> Self:
        """One that gives the draws of a recording again.

        :raises ReplayError: there is no recording
        """
        made = cls.__new__(cls)
        try:
            made._rng = _core.ReplayRng.of(fspath(directory))
        except OSError as error:
            raise ReplayError(f"cannot read the recording: {error}") from None
        return made

    def next(self, name: str) -> int:
        """64 random bits.

        :raises ReplayError: the recorded run drew otherwise
        """
        return self._checked(self._rng.next(name))

    def below(self, name: str, bound: int) -> int:
        """Uniform in [0, bound).

        :raises ReplayError: the recorded run drew otherwise
        """
        return self._checked(self._rng.below(name, bound))

    def between(self, name: str, low: int, high: int) -> int:
        """Uniform in [low, high], both included.

        :raises ReplayError: the recorded run drew otherwise
        """
        return self._checked(self._rng.between(name, low, high))

    @property
    def replaying(self) -> bool:
        """Whether the draws come from a recording."""
        return self._rng.replaying

    @property
    def divergence(self) -> Divergence | None:
        """The first draw that was not the recorded one."""
        return self._rng.divergence

    def _checked(self, value: int) -> int:
        if self._rng.replaying:
            if self._rng.problem is not None:
                raise ReplayError(self._rng.problem)
            if self._rng.divergence is not None:
                raise ReplayError(f"the program drew other random numbers than it did: {self._rng.divergence}")
        return value
