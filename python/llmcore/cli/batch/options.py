"""What the command line says, and the settings that it makes."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcore.types import Priority

if TYPE_CHECKING:
    from llmcore.config import Settings

__all__ = ["Options", "database_url", "settings_for", "workers_for"]

_WORKERS = 64
#: As many as may wait in the engine's queue.
_MOST_WORKERS = 10_000
#: What a batch needs other than a call that somebody waits for, unless it is configured: it waits for limits as long as
#: they last, and is not put off by a provider that says "slower" several times.
_DEADLINE = 7 * 86_400.0
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``llmcore batch``; None: not given."""

    source: str
    output: Path | None = None
    provider: str | None = None
    model: str | None = None
    base_url: str | None = None
    fallbacks: tuple[str, ...] = ()
    max_in_flight: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget: Decimal | None = None
    priority: Priority = Priority.MEDIUM
    cache: bool | None = None
    database: str | None = None
    failed: Path | None = None
    dry_run: bool = False
    json: bool = False


def settings_for(options: Options) -> "Settings":
    """The configured settings with the options over them.

    :raises LLMConfigError: something is wrong
    """
    from llmcore.config import Settings

    configured = Settings(provider=options.provider)
    provider = configured.provider
    given: dict[str, Any] = {"provider": options.provider}
    if options.base_url is not None:
        given["providers"] = {provider: {"base_url": options.base_url}}
        given["provider"] = provider
    limits = {
        "max_in_flight": options.max_in_flight,
        "requests_per_minute": options.requests_per_minute,
        "tokens_per_minute": options.tokens_per_minute,
    }
    limits = {name: value for name, value in limits.items() if value is not None}
    if limits:
        # The provider's own entry too: one in the configuration would win over the general one.
        given["limits"] = {**limits, "providers": {provider: limits}}
    if options.cache is not None or "enabled" not in configured.cache.model_fields_set:
        given["cache"] = {"enabled": options.cache is not False}
    if options.budget is not None:
        given["budgets"] = [*configured.budgets, {"limit_usd": options.budget}]
    if options.database is not None:
        given["ledger"] = {"url": database_url(options.database)}
    if "deadline" not in configured.defaults.model_fields_set:
        given["defaults"] = {"deadline": _DEADLINE}
    if "max_attempts" not in configured.retry.model_fields_set:
        given["retry"] = {"max_attempts": _ATTEMPTS}
    return Settings(**given)


def workers_for(options: Options, settings: "Settings") -> int:
    """How many calls may be under way."""
    lane = settings.limits.providers.get(settings.provider)
    configured = lane.max_in_flight if lane is not None else None
    return min(options.max_in_flight or configured or settings.limits.max_in_flight or _WORKERS, _MOST_WORKERS)


def database_url(given: str) -> str:
    """A database as the user names it: a URL, "none", or the path of an SQLite file."""
    return given if "://" in given or given == "none" else f"sqlite:///{given}"
