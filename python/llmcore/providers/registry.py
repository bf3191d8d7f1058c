"""Providers by name."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmcore.errors import LLMConfigError
from llmcore.providers.base import LLMProvider

if TYPE_CHECKING:
    from llmcore.config import Settings

__all__ = ["create_provider", "known_providers", "register_provider"]

Factory = Callable[["Settings"], LLMProvider]

_registered: dict[str, Factory] = {}


def create_provider(name: str, settings: "Settings | None" = None) -> LLMProvider:
    """The provider of that name, configured by `settings` (None: by the environment and the configuration file).

    :raises LLMConfigError: there is none, or its configuration cannot be used
    """
    name = _normal(name)
    if (factory := _registered.get(name)) is not None:
        made: object = factory(settings or _default_settings())
        if not isinstance(made, LLMProvider) or made.name != name:
            problem = f"the factory registered as {name!r} made {made!r}, which is no LLMProvider of that name"
            raise LLMConfigError(problem, provider=name)
        return made
    if name == "offline":
        from llmcore.providers.offline import OfflineProvider

        return OfflineProvider()
    if name == "openai":
        from llmcore.providers.openai import OpenAIProvider

        reached = (settings or _default_settings()).provider_settings(name)
        return OpenAIProvider(reached.api_key, reached.base_url)
    raise LLMConfigError(f"there is no provider {name!r}; known are {', '.join(known_providers())}", provider=name)


def register_provider(name: str, factory: Factory) -> None:
    """Makes a provider of one's own known to this process. A name that is taken, by a built-in one too, is taken over.

    :param factory: called with the Settings when the provider is first needed; what it makes has that name
    :raises LLMConfigError: the name cannot be used in settings
    """
    normal = _normal(name)
    if not normal or "/" in normal or not normal.isprintable() or " " in normal:
        raise LLMConfigError(f'{name!r} is no name for a provider: take letters, digits, "." and "-"')
    _registered[normal] = factory


def known_providers() -> list[str]:
    """Every name that create_provider takes, sorted."""
    return sorted({"offline", "openai", *_registered})


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _default_settings() -> "Settings":
    from llmcore.config import Settings

    return Settings()
