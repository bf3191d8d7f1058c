"""``create`` of the drop-in's chat completions and responses, for arguments that are JSON already.

The SDK walks through all arguments along their types, along every possible one of each part, to rename and to convert
what may need it: a third of a call's CPU. Text, numbers, flags and plain messages need nothing of the kind. What the
SDK makes of such a call it is asked once for each set of arguments' names; then the values take their places.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import Any, Final, NamedTuple

import openai
from openai.resources.chat import AsyncChat, AsyncCompletions, Chat, Completions
from openai.resources.responses import AsyncResponses, Responses

from llmcore._core import are_plain
from llmcore.openai_plain import is_of_the_sdk

__all__ = ["PlainAsyncChat", "PlainAsyncResponses", "PlainChat", "PlainResponses"]

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_SAID: Final = frozenset({"messages", "input"})
_MOST_FORMS: Final = 256


class _Form(NamedTuple):
    """What the SDK makes of arguments of certain names."""

    cast_to: Any
    options: Any
    names: tuple[str, ...]


class _Asked:
    """Stands in for a client of the SDK's: takes note of what it is asked for."""

    get = patch = put = delete = get_api_list = None
    post = openai.OpenAI.post
    made: Any = None

    def request(self, cast_to: Any, options: Any, *, stream: bool, stream_cls: Any) -> None:
        self.made = None if stream else (cast_to, options)


class _Forms:
    """The forms of one method. Thread-safe.

    :param resource: the SDK's class that has it; its asynchronous twin asks for the same
    """

    def __init__(self, resource: Any) -> None:
        self._resource = resource
        self._known: dict[tuple[str, ...], _Form | None] = {}

    def options(self, owner: Any, client: Any, asked: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """(what the answer becomes, the SDK's options of the request); None: the SDK has to make them.

        :param owner: the class whose `create` would
        """
        if asked.get("stream") or not is_of_the_sdk(owner.create) or not is_of_the_sdk(client.post):
            return None
        for name, value in asked.items():
            if type(value) not in _SCALARS and not (name in _SAID and are_plain(value)):
                return None
        names = tuple(asked)
        try:
            form = self._known[names]
        except KeyError:
            if len(self._known) >= _MOST_FORMS:
                self._known.clear()
            form = self._known[names] = self._learned(asked)
        if form is None:
            return None
        options = form.options.model_copy()
        options.json_data = {name: asked[name] for name in form.names}
        return form.cast_to, options

    def _learned(self, asked: Mapping[str, Any]) -> _Form | None:
        client: Any = _Asked()
        try:
            self._resource(client).create(**asked)
            cast_to, options = client.made
            if options.json_data != asked:
                return None  # some are no part of the body
        except Exception:  # which the real call raises as well
            return None
        return _Form(cast_to, options, tuple(options.json_data))


_CHAT: Final = _Forms(Completions)
_RESPONSES: Final = _Forms(Responses)


def _looks_like(original: Any) -> Callable[[Callable[..., Any]], Any]:
    return wraps(original)


class _PlainCompletions(Completions):
    @_looks_like(Completions.create)
    def create(self, **asked: Any) -> Any:
        plain = _CHAT.options(Completions, self._client, asked)
        return super().create(**asked) if plain is None else self._client.request(*plain)


class _PlainAsyncCompletions(AsyncCompletions):
    @_looks_like(AsyncCompletions.create)
    async def create(self, **asked: Any) -> Any:
        plain = _CHAT.options(AsyncCompletions, self._client, asked)
        return await (super().create(**asked) if plain is None else self._client.request(*plain))


class PlainChat(Chat):
    """The SDK's, whose completions are made the short way where they can be."""

    @cached_property
    def completions(self) -> Completions:
        """Chat completions."""
        return _PlainCompletions(self._client)


class PlainAsyncChat(AsyncChat):
    """The same, awaited."""

    @cached_property
    def completions(self) -> AsyncCompletions:
        """Chat completions."""
        return _PlainAsyncCompletions(self._client)


class PlainResponses(Responses):
    """The SDK's, made the short way where they can be."""

    @_looks_like(Responses.create)
    def create(self, **asked: Any) -> Any:
        """A response."""
        plain = _RESPONSES.options(Responses, self._client, asked)
        return super().create(**asked) if plain is None else self._client.request(*plain)


class PlainAsyncResponses(AsyncResponses):
    """The same, awaited."""

    @_looks_like(AsyncResponses.create)
    async def create(self, **asked: Any) -> Any:
        """A response."""
        plain = _RESPONSES.options(AsyncResponses, self._client, asked)
        return await (super().create(**asked) if plain is None else self._client.request(*plain))
