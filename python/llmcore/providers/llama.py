"""A model on one's own machine: llama.cpp's server, LM Studio, and whatever else speaks Chat Completions there."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llmcore.hosts import HOSTS, Host
from llmcore.providers.failure import parse
from llmcore.providers.http import unix_seconds
from llmcore.providers.openai import OpenAIProvider
from llmcore.types import Failure, HttpRequest

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["LocalLlamaProvider"]


class LocalLlamaProvider(OpenAIProvider):
    """A local server. Needs no key, and costs nothing.

    Two pairs of pure functions say whether it is there: `health` and `is_healthy`, `models` and `model_names`.

    :param base_url: where it listens, "http://127.0.0.1:8080"; without a path its API is taken to be under /v1
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: "str | SecretStr | None" = None,
        *,
        name: str | None = None,
        host: Host = HOSTS["llama"],
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        super().__init__(api_key, versioned(base_url or host.base_url), name=name, host=host, now=now)

    def health(self) -> HttpRequest:
        """The HTTP request that asks whether the server is up and its model loaded."""
        if self.host.name != "llama":
            return self.models()  # LM Studio has no other
        assert self._parts is not None
        root = self._parts.path.rstrip("/").removesuffix("/v1")
        return self._request(self._parts._replace(path=f"{root}/health").geturl(), b"", "GET")

    def probe(self) -> HttpRequest:
        """As `health`."""
        return self.health()

    def is_healthy(self, status: int, headers: Mapping[str, str], body: bytes) -> bool | Failure:
        """What the answer to `health` says; False while the model is being loaded."""
        if status == 200:
            return True
        return False if status == 503 else self._refusal(status, headers, body)

    def models(self) -> HttpRequest:
        """The HTTP request that asks which models there are."""
        return self._request(self._url("/models"), b"", "GET")

    def model_names(self, status: int, headers: Mapping[str, str], body: bytes) -> list[str] | Failure:
        """What the answer to `models` says."""
        if status != 200:
            return self._refusal(status, headers, body)
        try:
            answer: Any = parse(body)
        except ValueError:
            return self._refusal(status, headers, body)
        listed = (answer.get("data") or answer.get("models")) if type(answer) is dict else None
        if type(listed) is not list:
            return self._refusal(status, headers, body)
        names = (each.get("id") or each.get("model") or each.get("name") for each in listed if type(each) is dict)
        return [name for name in names if type(name) is str]


def versioned(url: str | None) -> str | None:
    """The URL of the API of a local server that is given by its address alone."""
    if url is None:
        return None
    before, mark, query = url.strip().partition("?")
    before = before.rstrip("/")
    return f"{before}/v1{mark}{query}" if before.count("/") == 2 else url
