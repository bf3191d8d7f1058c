"""What tests of settings ask of them."""

from typing import Any

import pytest

from llmcore._core import Config
from llmcore.config import Settings
from llmcore.errors import LLMConfigError

SECRET = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"


def problems_of(**arguments: Any) -> str:
    with pytest.raises(LLMConfigError) as caught:
        Settings(**arguments)
    return str(caught.value)


def plain(config: Config) -> dict[str, Any]:
    """All of an engine's configuration, as values that compare."""
    parts = {
        "limits": ("requests_per_minute", "tokens_per_minute", "max_in_flight", "minute_burst"),
        "queue": ("class_capacity", "total_capacity", "class_timeout", "low_share"),
        "cache": ("max_entries", "max_bytes", "ttl"),
        "backoff": ("base", "cap", "jitter", "jitter_permille"),
        "recovery": ("max_attempts", "retry_after_cap", "breaker_errors", "cooldown", "retry_percent"),
    }
    found: dict[str, Any] = {name: getattr(config, name) for name in ("seed", "deadline", "attempt_timeout")}
    for part, names in parts.items():
        found |= {f"{part}.{name}": getattr(getattr(config, part), name) for name in names}
    return found | {"budgets": [(b.scope, b.period, b.limit, list(b.alert_percent)) for b in config.budgets]}
