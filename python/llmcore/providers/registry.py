"""Providers by name: those built in, those a program registers, and those that installed packages bring along.

A package announces a provider as an entry point, a factory as for :func:`register_provider`::

    [project.entry-points."llmcore.providers"]
    my-own = "my_package:make_provider"

Entry points are looked up when a name is asked for that is neither registered nor built in, never at import.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from llmcore.errors import LLMConfigError
from llmcore.hosts import HOSTS, Host
from llmcore.providers.base import LLMProvider

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from llmcore.config import Settings

__all__ = ["create_provider", "known_providers", "register_provider"]

Factory = Callable[["Settings"], LLMProvider] | type[LLMProvider]

ENTRY_POINTS = "llmcore.providers"

_registered: dict[str, Factory] = {}


def create_provider(name: str, settings: "Settings | None" = None) -> LLMProvider:
    """The provider of that name, configured by `settings` (None: by the environment and the configuration file).

    :raises LLMConfigError: there is none, or its configuration cannot be used
    """
    name = _normal(name)
    if (factory := _registered.get(name)) is not None:
        return _made(name, factory, settings)
    if (host := HOSTS.get(name)) is not None:
        return _built_in(host, settings)
    for found in _announced():
        if _normal(found.name) == name:
            return _made(name, found.load(), settings)
    raise LLMConfigError(f"there is no provider {name!r}; known are {', '.join(known_providers())}", provider=name)


def _made(name: str, factory: Factory, settings: "Settings | None") -> LLMProvider:
    made: object
    if isinstance(factory, type) and not _wants_settings(factory):
        made = factory()
    else:
        made = cast("Callable[[Settings], object]", factory)(settings or _default_settings())
    if not isinstance(made, LLMProvider) or getattr(made, "name", None) != name:
        problem = f"the factory registered as {name!r} made {made!r}, which is no LLMProvider of that name"
        raise LLMConfigError(problem, provider=name)
    return made


def _wants_settings(made: type) -> bool:
    """Whether a class is made from something, or from what it calls settings."""
    from inspect import Parameter, signature

    parameters = signature(made).parameters.values()
    own = [one for one in parameters if one.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    return any(one.default is Parameter.empty or one.name == "settings" for one in own)


def _built_in(host: Host, settings: "Settings | None") -> LLMProvider:
    if host.protocol == "offline":
        from llmcore.providers.offline import OfflineProvider

        return OfflineProvider()
    own = (settings or _default_settings()).provider_settings(host.name)
    match host.protocol:
        case "responses":
            from llmcore.providers.responses import OpenAIResponsesProvider

            return OpenAIResponsesProvider(own.api_key, own.base_url)
        case "messages":
            from llmcore.providers.anthropic import AnthropicProvider

            return AnthropicProvider(own.api_key, own.base_url)
        case "azure":
            from llmcore.providers.azure import AzureOpenAIProvider

            return AzureOpenAIProvider(own.api_key, own.base_url, api_version=own.api_version)
        case "llama":
            from llmcore.providers.llama import LocalLlamaProvider

            return LocalLlamaProvider(own.base_url, own.api_key, host=host)
        case "ollama":
            from llmcore.providers.ollama import OllamaProvider

            return OllamaProvider(own.base_url, own.api_key)
        case "searxng":
            from llmcore.providers.searxng import SearxngProvider

            return SearxngProvider(own.base_url, own.api_key)
        case _:
            from llmcore.providers.openai import OpenAIProvider

            return OpenAIProvider(own.api_key, own.base_url, host=host)


def register_provider(name: str, factory: Factory) -> None:
    """Makes a provider of one's own known to this process. A name that is taken, by a built-in one too, is taken over.

    :param factory: called with the Settings when the provider is first needed; or a class of providers, which is called
        without them if it needs nothing. What it makes has that name
    :raises LLMConfigError: the name cannot be used in settings
    """
    normal = _normal(name)
    if not callable(factory):
        raise LLMConfigError(f"a provider is registered by its class or a function, not by {type(factory).__name__}")
    if not normal or "/" in normal or not normal.isprintable() or " " in normal:
        raise LLMConfigError(f'{name!r} is no name for a provider: take letters, digits, "." and "-"')
    _registered[normal] = factory


def known_providers() -> list[str]:
    """Every name that create_provider takes, sorted."""
    return sorted({*HOSTS, *_registered, *(_normal(found.name) for found in _announced())})


def _announced() -> "EntryPoints":
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)


def _normal(name: str) -> str:
    if not isinstance(name, str):
        raise LLMConfigError(f"the name of a provider is a string, not {type(name).__name__}")
    return name.strip().lower().replace("_", "-")


def _default_settings() -> "Settings":
    from llmcore.config import Settings

    return Settings()
