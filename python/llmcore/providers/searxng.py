"""SearXNG: a metasearch engine of one's own, asked over its JSON API. Pure.

Source of the form: https://docs.searxng.org/dev/search_api.html. The instance has to allow the format "json".
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from llmcore._core import Outcome, Usage
from llmcore.hosts import HOSTS, Host
from llmcore.providers.body import refuse
from llmcore.providers.http import HttpProvider, unix_seconds
from llmcore.types import Citation, Failure, HttpRequest, LLMRequest, Reply

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["SearxngProvider"]


class _Found(msgspec.Struct):
    url: Any = None
    title: Any = None
    content: Any = None


class _Answer(msgspec.Struct):
    results: list[_Found]


_answer = msgspec.json.Decoder(_Answer)


class SearxngProvider(HttpProvider):
    """Answers the last message of a request, a query, with the pages that it finds, as citations.

    Params of the request go beside the query as they are: ``language``, ``time_range``, ``categories``, ``engines``,
    ``pageno``, ``safesearch``.

    :param base_url: of the instance; what stands before its "/search"
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: "str | SecretStr | None" = None,
        *,
        host: Host = HOSTS["searxng"],
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        super().__init__(host, api_key, base_url, now=now)
        self._headers.pop("Content-Type", None)  # a request has no body

    def probe(self) -> None:
        """Every request is a search."""
        return

    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request: a GET, which every instance and every stand-in for one takes.

        :raises LLMConfigError: there is no URL
        :raises LLMValidationError: the last message is no text, or a param is neither text nor a number
        """
        query = request.messages[-1].get("content")
        if not isinstance(query, str) or not query.strip():
            refuse("a query is a non-empty string")
        form: dict[str, str] = {"format": "json", "q": query}
        for name, value in request.params.items():
            if isinstance(value, bool) or not isinstance(value, str | int):
                refuse(f"{name} is a text or a whole number")
            form[name] = str(value)
        query = urlencode(sorted(form.items()), errors="replace")
        return self._request(self._url("/search", query), b"", "GET")

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """The pages that were found. Never raises."""
        if status != 200:
            refused = self._refusal(status, headers, body)
            if status == 403:
                refused.message += ': does the instance allow the format "json"?'
            return refused
        try:
            found = _answer.decode(body).results
        except (ValueError, RecursionError):
            return Failure(Outcome.SERVER_ERROR, "the answer is no search result in JSON", status=status)
        pages = [Citation(page.url, _text(page.title), _text(page.content)) for page in found if _text(page.url)]
        return Reply("", "searxng", Usage(), finish_reason="stop", citations=pages)


def _text(value: Any) -> str:
    return value if type(value) is str else ""
