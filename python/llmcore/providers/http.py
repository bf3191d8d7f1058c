"""What every provider that is reached over HTTP has in common: its key, its URL, its headers."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urlsplit

from llmcore import _core
from llmcore._core import Outcome, RateObservation
from llmcore.errors import LLMConfigError
from llmcore.hosts import Host
from llmcore.providers import headers as read
from llmcore.providers.base import LLMProvider
from llmcore.providers.failure import failure_of
from llmcore.secret import Secret
from llmcore.types import Failure, HttpRequest

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["HttpProvider", "unix_seconds"]


def unix_seconds() -> float:
    """The wall clock, against which dates in headers are measured."""
    return _core.now()[1] / 1e9


class HttpProvider(LLMProvider):
    """A provider at the other end of HTTP. Holds its configuration and no state.

    :param host: its line in the table
    :param api_key: may be missing where the URL leads to this machine or a private network
    :param base_url: None takes the host's; a query stays at the end of the URL
    :param name: its name in settings, prices, limits and the ledger, where that is not the host's
    :param now: Unix seconds; dates in headers are measured against it
    :raises LLMConfigError: the key or the URL has a form that HTTP does not allow
    """

    def __init__(
        self,
        host: Host,
        api_key: "str | SecretStr | None" = None,
        base_url: str | None = None,
        *,
        name: str | None = None,
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        self.host: Host = host
        self.name = name or host.name
        self._key = _checked_key(api_key, self.name)
        self._now = now
        given = base_url or host.base_url
        self._parts = None if given is None else _checked_url(given, self.name)
        self._hostname = (self._parts.hostname or "") if self._parts is not None else ""
        self._may_lack_key = host.free or _is_near(self._hostname)
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"llmcore/{_core.__version__}",
        }
        if self._key is not None:
            self._headers.update((name, Secret(value)) for name, value in self._auth(self._key).items())

    def _auth(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""
        return {"Authorization": f"Bearer {key}"}

    def _url(self, path: str, query: str = "") -> str:
        """The base URL with `path` behind it; "" where there is none yet."""
        if self._parts is None:
            return ""
        both = "&".join(filter(None, (self._parts.query, query)))
        return self._parts._replace(path=self._parts.path.rstrip("/") + path, query=both).geturl()

    def _request(self, url: str, body: bytes, method: str = "POST") -> HttpRequest:
        """:raises LLMConfigError: no URL, or no key and the host is not a private one"""
        if not url:
            problem = f"{self.name} has no address: set {self.host.url_variable}, or pass Settings(providers=...)"
            raise LLMConfigError(problem, outcome=Outcome.AUTH, provider=self.name)
        if self._key is None and not self._may_lack_key:
            problem = f"{self.name} has no key: set {self.host.key_variable}, or pass Settings(providers=...)"
            raise LLMConfigError(problem, outcome=Outcome.AUTH, provider=self.name)
        return HttpRequest(url, self._headers.copy(), body, method)

    def probe(self) -> HttpRequest | None:
        """The list of models."""
        return self._request(self._url("/models"), b"", "GET")

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return failure_of(status, headers, body, key=self._key, now=self._now())

    def observe(self, headers: Mapping[str, str]) -> RateObservation | None:
        """x-ratelimit-remaining-* and x-ratelimit-reset-*."""
        return read.observation(headers)

    def __repr__(self) -> str:
        shown = "" if self._parts is None else f"{self._parts.scheme}://{self._parts.netloc}{self._parts.path}"
        return f"{type(self).__name__}({self.name!r}, {shown})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the provider '{self.name}' holds a key and is not pickled; make it again from settings")


def _checked_key(given: "str | SecretStr | None", name: str) -> Secret | None:
    if given is None:
        return None
    if not isinstance(given, str) and not hasattr(given, "get_secret_value"):
        raise LLMConfigError(f"the key of {name} is a string, not {type(given).__name__}")
    key = Secret((given if isinstance(given, str) else given.get_secret_value()).strip())
    if not key:
        return None
    if not re.fullmatch(r"[!-~]+", key):
        raise LLMConfigError(f"the key of {name} is not as a provider gives it: ASCII, no blanks, no line breaks")
    return key


def _checked_url(url: str, name: str) -> SplitResult:
    if not isinstance(url, str):
        raise LLMConfigError(f"the base_url of {name} is a string, not {type(url).__name__}")
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a port that is no number, a bracket that is not closed
        usable = None
        parts = SplitResult("", "", "", "", "")
    if not usable or parts.fragment or not re.fullmatch(r"[!-~]+", url.strip()):
        problem = 'is not the URL of an API, such as "https://api.openai.com/v1" (http or https, no user name, no "#")'
        raise LLMConfigError(f"the base_url of {name} {problem}")
    return parts


def _is_near(host: str) -> bool:
    """Whether it is this machine or one of a private network, where servers often want no key."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
    return address.is_private or address.is_loopback or address.is_link_local
