"""Where settings come from and what wins: arguments, environment, file, defaults; and which provider that makes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmcore.config import ProviderSettings, Settings, default_model
from llmcore.errors import LLMConfigError
from support.settings import SECRET, problems_of

# --- which source wins ------------------------------------------------------------------------------------------------


def test_arguments_win_over_the_environment_over_the_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("llmcore.toml").write_text("[retry]\nmax_attempts = 7\nbase_delay = 2.5\nmax_delay = 9")
    monkeypatch.setenv("LLMCORE_RETRY__MAX_ATTEMPTS", "8")
    monkeypatch.setenv("LLMCORE_RETRY__BASE_DELAY", "1")
    retry = Settings(retry={"max_attempts": 9}).retry
    assert (retry.max_attempts, retry.base_delay, retry.max_delay, retry.jitter) == (9, 1.0, 9.0, 0.25)


@pytest.mark.parametrize(
    ("variable", "value", "path"),
    [
        ("LLM_PROVIDER", "Mistral", ("provider",)),
        ("LLM_MODEL", "gpt-4o", ("model",)),
        ("OPENAI_BASE_URL", "http://localhost:1/v1/", ("providers", "openai", "base_url")),
        ("ANTHROPIC_BASE_URL", "https://proxy.example/anthropic", ("providers", "anthropic", "base_url")),
        ("LLAMA_SERVER_URL", "http://127.0.0.1:8080", ("providers", "llama", "base_url")),
        ("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com", ("providers", "azure", "base_url")),
        ("LLMCORE_DATABASE_URL", "sqlite:///calls.db", ("ledger", "url")),
        ("LLMCORE_LEDGER__URL", "none", ("ledger", "url")),
        ("LLMCORE_SEED", "5", ("seed",)),
        ("LLMCORE_LIMITS__TOKENS_PER_MINUTE", "90000", ("limits", "tokens_per_minute")),
        ("LLMCORE_LIMITS__PROVIDERS__OPENAI_RESPONSES__MAX_IN_FLIGHT", "4", None),
        ("LLMCORE_PROVIDERS__GROQ__BASE_URL", "https://groq.example", ("providers", "groq", "base_url")),
    ],
)
def test_every_variable_lands_in_its_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, path: tuple[str, ...] | None
) -> None:
    monkeypatch.setenv(variable, value)
    found: Any = Settings()
    for part in path or ("limits", "providers", "openai-responses", "max_in_flight"):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert str(found) == value.rstrip("/") or str(found) == value.lower()


def test_keys_come_from_the_variables_of_their_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("openai", "anthropic", "groq", "mistral", "deepseek", "openrouter", "cerebras", "together"):
        monkeypatch.setenv(f"{name.upper()}_API_KEY", f" key-of-{name}\n")
        key = Settings().provider_settings(name).api_key
        assert key is not None
        assert key.get_secret_value() == f"key-of-{name}"


def test_whole_sections_may_be_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCORE_BUDGETS", '[{"scope": "user=*", "period": "day", "limit_usd": 0.1}]')
    monkeypatch.setenv("LLMCORE_PRICES", '{"Acme/Big": {"input": 0.3, "output": "1.2"}}')
    monkeypatch.setenv("LLMCORE_LIMITS", '{"requests_per_minute": 5, "max_in_flight": 6}')
    monkeypatch.setenv("LLMCORE_LIMITS__MAX_IN_FLIGHT", "7")
    settings = Settings()
    assert settings.budgets[0].limit_usd == Decimal("0.1")
    assert settings.prices["acme/big"].input == Decimal("0.3")
    assert (settings.limits.requests_per_minute, settings.limits.max_in_flight) == (5, 7)


def test_an_empty_variable_and_an_argument_of_none_are_as_if_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("LLMCORE_RETRY__MAX_ATTEMPTS", " ")
    monkeypatch.setenv("LLMCORE_CONFIG", "")
    settings = Settings(provider=None, limits=None, openai_base_url=None)
    assert settings.provider == "offline"
    assert settings.retry.max_attempts == 3


def test_sections_may_be_given_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    settings = Settings(providers={"openai": ProviderSettings(base_url="http://localhost:9")}, openai_api_key="other")
    found = settings.provider_settings("openai")
    assert found.base_url == "http://localhost:9"
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == "other"


def test_the_same_provider_spelt_differently_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("llmcore.toml").write_text("[providers.OpenAI_Responses]\nbase_url = 'http://file'\n")
    monkeypatch.setenv("LLMCORE_PROVIDERS__OPENAI_RESPONSES__BASE_URL", "http://environment")
    assert Settings().providers == {"openai-responses": ProviderSettings(base_url="http://environment")}


# --- files ------------------------------------------------------------------------------------------------------------


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = (
        'model = "m"\nopenai_base_url = "http://h"\n'
        "[[budgets]]\nlimit_usd = 2.5\n[limits.providers.openai]\nmax_in_flight = 2\n"
    )
    values: dict[str, Any] = {
        "model": "m",
        "openai_base_url": "http://h",
        "budgets": [{"limit_usd": 2.5}],
        "limits": {"providers": {"openai": {"max_in_flight": 2}}},
    }
    (tmp_path / "a.toml").write_text(toml)
    (tmp_path / "a.json").write_text(json.dumps(values))
    assert Settings(config_file="a.toml") == Settings(config_file=tmp_path / "a.json") == Settings(**values)


def test_the_file_is_the_argument_before_the_variable_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("llmcore", "variable", "argument"):
        Path(f"{name}.json").write_text(json.dumps({"model": name}))
    assert Settings().model == "llmcore"
    monkeypatch.setenv("LLMCORE_CONFIG", "variable.json")
    assert Settings().model == "variable"
    assert Settings(config_file="argument.json").model == "argument"


def test_a_named_file_that_is_missing_is_an_error_and_a_default_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    Settings()
    assert (
        problems_of(config_file="gone.toml")
        == "config_file names gone.toml, which cannot be read: No such file or directory"
    )
    monkeypatch.setenv("LLMCORE_CONFIG", "gone.json")
    assert "LLMCORE_CONFIG names gone.json, which cannot be read" in problems_of()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.toml", b'model = "a"\nkey = sk-secret\n', "x.toml is not valid TOML (line 2, column 7)"),
        ("x.json", b'{"model": sk-secret}', "x.json is not valid JSON (line 1, column 11)"),
        ("x.json", b"[1]", "x.json must hold one JSON object"),
        ("x.json", b'{"seed": ' + b"1" * 5000 + b"}", "x.json is not valid JSON (a number is too long)"),
        ("x.json", b"[" * 100_000, "x.json is not valid JSON (nested too deeply)"),
        ("x.toml", b"\xff\xfe", "x.toml is not valid TOML (byte 0 is not UTF-8)"),
        ("x.yaml", b"", "config_file names x.yaml, which is neither .toml nor .json"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_told_by_place_without_its_text(
    name: str, content: bytes, problem: str
) -> None:
    Path(name).write_bytes(content)
    assert problems_of(config_file=name) == problem


def test_two_default_files_are_refused() -> None:
    Path("llmcore.toml").touch()
    Path("llmcore.json").write_text("{}")
    assert "both here" in problems_of()


# --- the provider that is chosen --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "provider"),
    [
        ({}, "offline"),
        ({"llama_server_url": "http://h"}, "llama"),
        ({"llama_server_url": "http://h", "anthropic_api_key": "k"}, "anthropic"),
        ({"anthropic_api_key": "k", "openai_base_url": "http://h"}, "openai"),
        ({"anthropic_api_key": "k", "openai_api_key": "k"}, "openai"),
        ({"providers": {"openai": {}}}, "offline"),
        ({"openai_api_key": "k", "provider": "offline"}, "offline"),
    ],
)
def test_the_provider_is_the_named_one_or_the_first_that_is_configured(
    arguments: dict[str, Any], provider: str
) -> None:
    settings = Settings(**arguments)
    assert settings.provider == provider
    assert ("provider" in settings.model_fields_set) is ("provider" in arguments)


def test_the_responses_api_uses_what_openai_has_unless_it_has_its_own() -> None:
    settings = Settings(openai_api_key="k", openai_base_url="http://h")
    assert settings.provider_settings("openai-responses") == settings.provider_settings("openai")
    assert settings.provider_settings("unheard-of") == ProviderSettings()


def test_a_named_model_is_for_the_chosen_provider_and_others_have_defaults() -> None:
    settings = Settings(provider="openai", model="gpt-4.1")
    assert settings.model_for("openai") == "gpt-4.1"
    assert settings.model_for("offline") == default_model("offline") == "offline"
    with pytest.raises(LLMConfigError, match=r"'azure' has no default model: pass model=.*'azure/MODEL'"):
        settings.model_for("azure")
