"""Searching the web: queries in, pages out, each query a call like every other: limited, retried, priced, recorded.

A backend says how a query is asked and how its answer is read. Two are here: OpenAI's web search, where a model looks
things up, and SearXNG, which only finds. One of one's own is any object with the same two methods.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import msgspec

from llmcore.errors import LLMConfigError, LLMTimeoutError, LLMValidationError
from llmcore.prepare import Deadline
from llmcore.types import LLMResponse, Money, Outcome, total_cost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmcore.aclient import AsyncLLMClient
    from llmcore.client import LLMClient
    from llmcore.config import Settings
    from llmcore.prepare import View

__all__ = ["OpenAISearch", "SearchBackend", "SearchResponse", "SearxngSearch", "search_web", "search_web_async"]

_MOST_QUERIES: Final = 100
_MOST_RESULTS: Final = 100
_AT_ONCE: Final = 8
_ASKED: Final = (
    "Search the web for: {query}\n"
    "List up to {most} pages that answer it best, the best first, each with its title, its URL, and a snippet of one "
    "or two sentences that says what it tells about the query. Only pages that the search found."
)
_FORM: Final[dict[str, Any]] = {
    "type": "json_schema",
    "json_schema": {
        "name": "search_results",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "results": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {name: {"type": "string"} for name in ("title", "url", "snippet")},
                        "required": ["title", "url", "snippet"],
                        "additionalProperties": False,
                    },
                }
            },
            "required": ["results"],
            "additionalProperties": False,
        },
    },
}


@runtime_checkable
class SearchBackend(Protocol):
    """Where queries go."""

    @property
    def provider(self) -> str:
        """The provider that is asked, by name."""

    @property
    def model(self) -> str | None:
        """None takes the provider's default."""

    def ask(self, query: str, max_results: int) -> dict[str, Any]:
        """The arguments of the call, those of :meth:`llmcore.LLMClient.complete`."""

    def results(self, response: LLMResponse, max_results: int) -> list[dict[str, str]]:
        """The pages of its answer, each with title, url and snippet."""


@dataclass(frozen=True, slots=True)
class OpenAISearch:
    """OpenAI's web search, through Responses. Costs tokens, and a fee for each search that OpenAI bills beside them.

    :ivar tool: the tool as it is offered, with such fields as "search_context_size" or "user_location"
    """

    model: str | None = None
    provider: str = "openai-responses"
    tool: dict[str, Any] | None = None

    def ask(self, query: str, max_results: int) -> dict[str, Any]:
        return {
            "messages": [{"role": "user", "content": _ASKED.format(query=query, most=max_results)}],
            "tools": [self.tool or {"type": "web_search"}],
            "response_format": _FORM,
        }

    def results(self, response: LLMResponse, max_results: int) -> list[dict[str, str]]:
        try:
            told = msgspec.json.decode(response.content)["results"]
            found = [{name: str(page.get(name) or "") for name in ("title", "url", "snippet")} for page in told]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            found = _cited(response)  # it has not kept to the form
        return [page for page in found if re.match(r"https?://", page["url"])][:max_results]


@dataclass(frozen=True, slots=True)
class SearxngSearch:
    """A SearXNG instance, at the URL of the settings (``SEARXNG_URL``). Free of charge.

    :ivar params: fields of its form, such as ``{"language": "en", "time_range": "month"}``
    """

    model: str | None = None
    provider: str = "searxng"
    params: dict[str, str | int] | None = None

    def ask(self, query: str, max_results: int) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": query}], **(self.params or {})}

    def results(self, response: LLMResponse, max_results: int) -> list[dict[str, str]]:
        return _cited(response)[:max_results]


class SearchResponse(list[dict[str, str]]):
    """Pages, query after query; each is a dict with title, url, snippet and query.

    :ivar calls: one for each query; the first one's id is the parent of the others
    """

    def __init__(self, results: "Iterable[dict[str, str]]", calls: tuple[LLMResponse, ...]) -> None:
        super().__init__(results)
        self.calls = calls

    @property
    def results(self) -> list[dict[str, str]]:
        """The pages alone."""
        return list(self)

    @property
    def call_id(self) -> str:
        """The first call's."""
        return self.calls[0].call_id

    @property
    def cost(self) -> Money | None:
        """Of all calls together; None: one of them used something at an unknown price."""
        return total_cost(self.calls)


def search_web(
    client: "LLMClient", queries: str | Sequence[str], max_results: int, backend: SearchBackend | None, **options: Any
) -> SearchResponse:
    """What :meth:`llmcore.LLMClient.search_web` does."""
    asked = _Search(client, queries, max_results, backend, options)
    view = type(client)(asked.backend.provider, asked.backend.model, **asked.view)
    for query in asked.queries:
        asked.calls.append(view.complete(**asked.arguments(query)))
    return asked.response()


async def search_web_async(
    client: "AsyncLLMClient",
    queries: str | Sequence[str],
    max_results: int,
    backend: SearchBackend | None,
    **options: Any,
) -> SearchResponse:
    """What :meth:`llmcore.AsyncLLMClient.search_web` does: the queries after the first at once."""
    asked = _Search(client, queries, max_results, backend, options)
    view = type(client)(asked.backend.provider, asked.backend.model, **asked.view)
    first, *others = asked.queries
    asked.calls.append(await view.complete(**asked.arguments(first)))
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(query: str) -> LLMResponse:
        async with gate:
            return await view.complete(**asked.arguments(query))

    tasks = [asyncio.ensure_future(one(query)) for query in others]
    try:
        asked.calls += await asyncio.gather(*tasks)
    finally:  # nothing goes on when one has failed
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return asked.response()


class _Search:
    """One search: what is asked, and what came."""

    def __init__(
        self,
        client: "View",
        queries: str | Sequence[str],
        max_results: int,
        backend: SearchBackend | None,
        options: dict[str, Any],
    ) -> None:
        self.queries = _checked(queries)
        if type(max_results) is not int or not 0 < max_results <= _MOST_RESULTS:
            raise LLMValidationError(
                f"max_results is a whole number from 1 to {_MOST_RESULTS}, not {max_results!r:.40}"
            )
        self.backend = backend or _usual(client.runtime.settings)
        if not isinstance(self.backend, SearchBackend):
            raise LLMValidationError(f"backend is a SearchBackend, not {type(self.backend).__name__}")
        #: of the client that makes the calls: the same runtime, tenant and observers
        self.view: dict[str, Any] = {
            "runtime": client.runtime,
            "tenant": client.tenant,
            "on_record": client.observers.on_record,
            "on_error": client.observers.on_error,
        }
        self.calls: list[LLMResponse] = []
        self._most = max_results
        self._options = {"call_type": "web_search", **options}
        self._deadline = Deadline(client.runtime, options.get("deadline"))

    def arguments(self, query: str) -> dict[str, Any]:
        """Of the call for a query.

        :raises LLMTimeoutError: the time of all queries together is over
        """
        told = {**self.backend.ask(query, self._most), **self._options}
        if self.calls:
            first = self.calls[0]
            told["parent_call_id"], told["deadline"] = first.call_id, self._deadline.left()
            if told["deadline"] <= 0:
                raise LLMTimeoutError(
                    f"{first.provider}: not all of {len(self.queries)} queries were answered within the deadline of "
                    f"{self._deadline.seconds:g} s",
                    outcome=Outcome.TIMEOUT,
                    call_id=first.call_id,
                    provider=first.provider,
                    model=first.model,
                )
        return told

    def response(self) -> SearchResponse:
        found: list[dict[str, str]] = []
        for query, call in zip(self.queries, self.calls, strict=True):
            found += [{**page, "query": query} for page in self.backend.results(call, self._most)]
        return SearchResponse(found, tuple(self.calls))


def _usual(settings: "Settings") -> SearchBackend:
    if settings.provider_settings("searxng").base_url is not None:
        return SearxngSearch()
    if settings.provider_settings("openai-responses").api_key is not None:
        return OpenAISearch()
    raise LLMConfigError("there is nothing to search the web with: set SEARXNG_URL or OPENAI_API_KEY, or say backend=")


def _checked(queries: object) -> list[str]:
    found = [queries] if isinstance(queries, str) else queries
    if not isinstance(found, list | tuple) or not 0 < len(found) <= _MOST_QUERIES:
        raise LLMValidationError(f"queries is a list of 1 to {_MOST_QUERIES} texts")
    for index, query in enumerate(found):
        if not isinstance(query, str) or not query.strip():
            raise LLMValidationError(f"queries[{index}] is no text, or an empty one")
    return list(found)


def _cited(response: LLMResponse) -> list[dict[str, str]]:
    return [{"title": page.title, "url": page.url, "snippet": page.snippet} for page in response.citations]
