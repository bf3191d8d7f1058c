"""Settings: constructor arguments over environment over file over defaults, checked all at once.

The file is ``llmcore.toml`` or ``llmcore.json`` in the working directory, or the one that ``LLMCORE_CONFIG`` or
``Settings(config_file=...)`` names. Every problem of every source is told in one
:class:`~llmcore.errors.LLMConfigError`. Keys of providers never show in a repr, a dump, an error or a pickle. Durations
are in seconds, amounts in US dollars, prices in US dollars per million tokens.
"""

import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_serializer, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from llmcore import config_values as values
from llmcore._core import BudgetRule, Config, Jitter, Period, RateLimiterConfig
from llmcore.config_sources import Layer, explained, read_arguments, read_environment, read_file
from llmcore.errors import LLMConfigError
from llmcore.hosts import HOSTS

__all__ = [
    "BudgetSettings",
    "CacheSettings",
    "DefaultSettings",
    "HealthSettings",
    "LaneLimits",
    "LedgerSettings",
    "LimitSettings",
    "PriceRates",
    "PriceSettings",
    "PriceTierSettings",
    "ProviderSettings",
    "QueueSettings",
    "RetrySettings",
    "Settings",
    "default_model",
]


def default_model(provider: str) -> str:
    """The model that a call to `provider` asks for when nobody names one.

    :raises LLMConfigError: there is no sensible default for this provider
    """
    host = HOSTS.get(provider)
    if host is None or host.model is None:
        ways = f"pass model=, set LLM_PROVIDER and LLM_MODEL, or for a fallback say '{provider}/MODEL'"
        sentence = f"provider {provider!r} has no default model: {ways}"
        raise LLMConfigError(sentence, provider=provider)
    return host.model


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ProviderSettings(_Section):
    """How to reach one provider. A pickle of it holds no key. ``api_version`` is Azure's."""

    api_key: values.Key = None
    base_url: values.BaseUrl = None
    api_version: values.ApiVersion = None

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "api_key": None}}


class LaneLimits(_Section):
    """Limits towards one provider, per tenant.

    0: no limit. None: as the preset says, which is no limit (server) or 60 requests a minute (game).
    """

    requests_per_minute: values.Limit | None = None
    tokens_per_minute: values.Limit | None = None
    max_in_flight: values.Limit | None = None

    def apply(self, config: RateLimiterConfig) -> None:
        """Sets what is set here."""
        if self.requests_per_minute is not None:
            config.requests_per_minute = self.requests_per_minute
        if self.tokens_per_minute is not None:
            config.tokens_per_minute = self.tokens_per_minute
        if self.max_in_flight is not None:
            config.max_in_flight = self.max_in_flight


class LimitSettings(LaneLimits):
    """Limits towards every provider, and over them those of single ones by name."""

    providers: dict[values.ProviderName, LaneLimits] = {}


class QueueSettings(_Section):
    """How many calls may wait, per class and in all. None: as the preset says."""

    preset: Literal["server", "game"] = "server"
    high: values.Places | None = None
    medium: values.Places | None = None
    low: values.Places | None = None
    total: values.Places | None = None


class CacheSettings(_Section):
    """The cache of answers: off unless asked for or the preset is game. ``ttl_seconds`` of 0: answers do not age."""

    enabled: bool = False
    ttl_seconds: values.Seconds = 3600.0
    max_entries: Annotated[int, values.whole(1, 10**9, "a number of answers")] = 10_000
    max_bytes: Annotated[int, values.whole(1, 2**50, "a number of bytes")] = 256 * 1024 * 1024


class RetrySettings(_Section):
    """Attempts at one provider. The wait doubles from ``base_delay`` up to ``max_delay``.

    ``jitter`` is the part of the wait that is random, in both directions; "full" draws it between 0 and the whole. A
    Retry-After above ``retry_after_cap`` is not slept: the call fails over or fails.
    """

    max_attempts: Annotated[int, values.whole(1, 1000, "a number of attempts, the first included")] = 3
    base_delay: values.Seconds = 0.5
    max_delay: values.Seconds = 30.0
    jitter: values.Jitters = 0.25
    retry_after_cap: values.Seconds = 60.0
    attempt_timeout: values.SomeSeconds = 60.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base_delay > self.max_delay:
            raise ValueError(f"base_delay ({self.base_delay:g} s) must not be above max_delay ({self.max_delay:g} s)")
        return self


class HealthSettings(_Section):
    """When a provider counts as unwell: so many errors in a row keep calls from it for ``cooldown`` seconds."""

    breaker_errors: Annotated[int, values.whole(1, 10**9, "a number of errors")] = 3
    cooldown: values.Seconds = 10.0


class BudgetSettings(_Section):
    """One budget. ``alerts`` are percents of the limit."""

    scope: values.Scope = "global"
    period: Literal["hour", "day", "month", "total"] = "total"
    limit_usd: Annotated[Decimal, values.dollars(9_000_000_000, "the limit")]
    alerts: values.Alerts = (50, 80, 100)


class PriceRates(_Section):
    """US dollars per million tokens, or for one image or request. What is left out costs what its kind costs."""

    input: values.Rate | None = None
    cache_read: values.Rate | None = None
    cache_write: values.Rate | None = None
    cache_write_1h: values.Rate | None = None
    output: values.Rate | None = None
    reasoning: values.Rate | None = None
    audio_input: values.Rate | None = None
    audio_cache_read: values.Rate | None = None
    audio_output: values.Rate | None = None
    image_input: values.Rate | None = None
    image_output: values.Rate | None = None
    per_image: values.Rate | None = None
    per_search: values.Rate | None = None
    per_request: values.Rate | None = None


class PriceTierSettings(PriceRates):
    """Rates of the whole request once its prompt has more tokens than that. What is left out stays as it was below."""

    above_input_tokens: Annotated[int, values.whole(0, 10**12, "a length of the prompt in tokens")]


class PriceSettings(PriceRates):
    """What one model costs."""

    tiers: tuple[PriceTierSettings, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.input is None or self.output is None) and self.per_image is None and self.per_request is None:
            raise ValueError("must name input and output (0 where they are free), or per_image, or per_request")
        thresholds = [tier.above_input_tokens for tier in self.tiers]
        if thresholds != sorted(set(thresholds)):
            raise ValueError("must list its tiers by above_input_tokens, ascending")
        return self


ContentPolicy = Literal["full", "hash", "none"]


class LedgerSettings(_Section):
    """Where calls are recorded: None is the default place, "none" nowhere. A password is neither shown nor pickled."""

    url: values.DatabaseUrl = None
    spool_dir: str | None = None
    ack: Literal["memory", "os", "disk"] = "os"
    on_full: Literal["drop", "block", "fail"] = "drop"

    @field_serializer("url")
    def _dumped(self, url: str | None) -> str | None:
        return values.without_password(url)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        for name, value in super().__repr_args__():
            yield name or "", values.without_password(self.url) if name == "url" else value

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "url": values.without_password(self.url)}}


class ContentSettings(_Section):
    """How much of what is said in calls the ledger keeps: for all calls, or by call type, where "*" is every other."""

    policy: ContentPolicy | dict[str, ContentPolicy] = "full"


class DefaultSettings(_Section):
    """What a call means that does not say. A temperature of 1 is what providers assume, so it is not sent."""

    temperature: Annotated[float, values.real("0", "2", "a temperature")] = 1.0
    max_tokens: Annotated[int, values.whole(1, 10**9, "a number of tokens")] = 2800
    deadline: values.SomeSeconds = 120.0


class _LayerSource(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._values = layer.values

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


class Settings(BaseSettings):
    """All that can be set. Immutable; to read everything again, make a new one.

    ``provider`` is openai when a key or a base URL of it is configured, else anthropic, else llama, else offline.
    Whether somebody named it says ``"provider" in settings.model_fields_set``. ``openai_api_key``, ``openai_base_url``,
    ``anthropic_api_key``, ``anthropic_base_url`` and ``llama_server_url`` are accepted beside the fields and land in
    ``providers``. An argument of None is as if left out.

    :param config_file: the file to read in place of the one that would be found
    :raises LLMConfigError: something is wrong; the message names every problem
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=False, protected_namespaces=())

    provider: values.ProviderName = "offline"
    model: values.ModelName | None = None
    providers: dict[values.ProviderName, ProviderSettings] = {}
    limits: LimitSettings = LimitSettings()
    queue: QueueSettings = QueueSettings()
    cache: CacheSettings = CacheSettings()
    retry: RetrySettings = RetrySettings()
    health: HealthSettings = HealthSettings()
    budgets: tuple[BudgetSettings, ...] = ()
    prices: dict[str, PriceSettings] = {}
    ledger: LedgerSettings = LedgerSettings()
    content: ContentSettings = ContentSettings()
    defaults: DefaultSettings = DefaultSettings()
    seed: Annotated[int, values.whole(0, 2**64 - 1, "the seed of every random choice")] | None = None

    def __init__(self, *, config_file: str | os.PathLike[str] | None = None, **arguments: Any) -> None:
        layers = (read_arguments(arguments), read_environment(type(self).model_fields), read_file(config_file))
        problem = None
        try:
            super().__init__(_layers=layers)
        except ValidationError as error:
            problem = explained(error, layers, type(self))
        if problem is not None:  # raised here, so that it does not carry the other error, which holds the values
            raise problem

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Our layers, in place of pydantic's own sources."""
        return tuple(_LayerSource(settings_cls, layer) for layer in init_settings()["_layers"])

    @model_validator(mode="after")
    def _resolved(self) -> Self:
        if "provider" not in self.model_fields_set:
            reachable = (name for name in ("openai", "anthropic", "llama") if self._reaches(name))
            self.__dict__["provider"] = next(reachable, "offline")
        if self.queue.preset == "game" and "enabled" not in self.cache.model_fields_set:
            self.__dict__["cache"] = self.cache.model_copy(update={"enabled": True})
        return self

    def _reaches(self, name: str) -> bool:
        found = self.providers.get(name)
        return found is not None and (found.api_key is not None or found.base_url is not None)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Secrets do not travel in pickles: the process that unpickles takes its own, for the same hosts, from its
        environment and file."""
        super().__setstate__(state)
        here = Settings()
        for name, found in here.providers.items():
            if (own := self.providers.get(name)) and own.api_key is None and own.base_url == found.base_url:
                self.providers[name] = found
        if values.without_password(here.ledger.url) == self.ledger.url:
            self.__dict__["ledger"] = here.ledger

    def provider_settings(self, name: str) -> ProviderSettings:
        """How to reach a provider; empty when nothing is configured. ``openai-responses`` shares what openai has."""
        if (found := self.providers.get(name)) is None and name == "openai-responses":
            found = self.providers.get("openai")
        return found or ProviderSettings()

    def model_for(self, provider: str) -> str:
        """The model of a call to `provider` that names none: ``model`` if that is for this provider, else its default.

        :raises LLMConfigError: this provider has no default model
        """
        return self.model if self.model is not None and provider == self.provider else default_model(provider)

    def lane_limits(self, provider: str | None = None) -> RateLimiterConfig:
        """The limits towards a provider: its own over those of all, over the preset's. None: those of all."""
        limits = (Config.game() if self.queue.preset == "game" else Config.server()).limits
        self.limits.apply(limits)
        if provider is not None and (own := self.limits.providers.get(provider)) is not None:
            own.apply(limits)
        return limits

    def engine_config(self) -> Config:
        """The engine's configuration. A ``seed`` of None leaves the engine's seed to the caller.

        :raises LLMConfigError: the engine sees a problem in what passed here
        """
        config = Config.game() if self.queue.preset == "game" else Config.server()
        if self.seed is not None:
            config.seed = self.seed
        config.limits = self.lane_limits()
        for name in self.limits.providers:
            config.set_provider_limits(name, self.lane_limits(name))
        self._set_queue(config)
        self._set_recovery(config)
        config.cache.max_entries = self.cache.max_entries
        config.cache.max_bytes = self.cache.max_bytes
        config.cache.ttl = _nanoseconds(self.cache.ttl_seconds)
        config.budgets = [
            BudgetRule(
                budget.scope, Period[budget.period.upper()], int(budget.limit_usd.scaleb(9)), list(budget.alerts)
            )
            for budget in self.budgets
        ]
        config.deadline = _nanoseconds(self.defaults.deadline)
        config.attempt_timeout = _nanoseconds(self.retry.attempt_timeout)
        if problems := config.problems():
            raise LLMConfigError("the engine does not accept these settings: " + "; ".join(problems))
        return config

    def _set_queue(self, config: Config) -> None:
        capacity = list(config.queue.class_capacity)
        if self.queue.total is not None:
            config.queue.total_capacity = self.queue.total
            if self.queue.preset == "server":  # no class has a cap below the total there
                capacity = [self.queue.total] * len(capacity)
        own = (self.queue.high, self.queue.medium, self.queue.low)
        config.queue.class_capacity = [
            preset if given is None else given for preset, given in zip(capacity, own, strict=True)
        ]

    def _set_recovery(self, config: Config) -> None:
        config.backoff.base = _nanoseconds(self.retry.base_delay)
        config.backoff.cap = _nanoseconds(self.retry.max_delay)
        if self.retry.jitter == "full":
            config.backoff.jitter = Jitter.FULL
        else:
            config.backoff.jitter = Jitter.PROPORTIONAL if self.retry.jitter > 0 else Jitter.NONE
            config.backoff.jitter_permille = round(self.retry.jitter * 1000)
        config.recovery.max_attempts = self.retry.max_attempts
        config.recovery.retry_after_cap = _nanoseconds(self.retry.retry_after_cap)
        config.recovery.breaker_errors = self.health.breaker_errors
        config.recovery.cooldown = _nanoseconds(self.health.cooldown)


def _nanoseconds(seconds: float) -> int:
    return int((Decimal(str(seconds)) * 1_000_000_000).to_integral_value())
