"""Settings: where values come from, what wins, what is refused, and what is never shown."""

import copy
import json
import os
import pickle
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcore._core import Config, Jitter, Period
from llmcore.config import PriceSettings, ProviderSettings, Settings, default_model
from llmcore.config_sources import VARIABLES
from llmcore.errors import LLMConfigError
from llmcore.types import BUDGET_KEYS

SECRET = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"
SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and an environment without any of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("LLM", "OPENAI_", "ANTHROPIC_", "LLAMA_")) or name.endswith(("_API_KEY", "_ENDPOINT")):
            monkeypatch.delenv(name)


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


# --- defaults and presets ---------------------------------------------------------------------------------------------


def test_unset_settings_are_the_engines_server_preset() -> None:
    assert plain(Settings().engine_config()) == plain(Config.server())
    assert Settings().cache.enabled is False


def test_the_game_preset_is_the_engines_and_turns_the_cache_on() -> None:
    settings = Settings(queue={"preset": "game"})
    assert plain(settings.engine_config()) == plain(Config.game())
    assert settings.cache.enabled is True
    assert Settings(queue={"preset": "game"}, cache={"enabled": False}).cache.enabled is False


def test_defaults_of_a_call_are_documented_values() -> None:
    defaults = Settings().defaults
    assert (defaults.temperature, defaults.max_tokens, defaults.deadline) == (1.0, 2800, 120.0)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().provider = "openai"


def test_every_setting_is_in_the_manual() -> None:
    manual = Path(__file__).parents[2] / "docs" / "configuration.md"
    if not manual.is_file():
        pytest.skip("the manual is not part of a source distribution")
    text = manual.read_text("utf-8")
    for name, kind in Settings.model_fields.items():
        assert f"`{name}" in text, name
        for field in getattr(kind.annotation, "model_fields", {}):
            assert f"`{name}.{field}" in text, f"{name}.{field}"
    for variable in VARIABLES:
        assert variable in text


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


# --- what is refused --------------------------------------------------------------------------------------------------


def test_all_problems_of_all_sources_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("llmcore.toml").write_text('[limits]\nrequests_per_minut = 5\n[[budgets]]\nscope = "user"\n')
    monkeypatch.setenv("LLMCORE_RETRY__JITTER", "wild")
    monkeypatch.setenv("LLMCORE_PRICES", "{")
    jitter = 'must be the part of the delay that is random, a number from 0 to 1, or "none" or "full"'
    scope = 'must be "global", "key=value" (user=alice), or "key=*" for an account per value'
    assert problems_of(cache={"enabled": "perhaps"}, defaults={"deadline": -1}).splitlines() == [
        "7 settings are wrong:",
        "- llmcore.toml: limits.requests_per_minut: no such setting; did you mean requests_per_minute?",
        "- argument cache.enabled is 'perhaps': must be true or false",
        f"- LLMCORE_RETRY__JITTER is 'wild': {jitter}",
        f"- llmcore.toml: budgets[0].scope is 'user': {scope}",
        "- llmcore.toml: budgets[0].limit_usd: must be given",
        "- LLMCORE_PRICES is not valid JSON (line 1, column 2)",
        "- argument defaults.deadline is -1: must be a time in seconds, a number from 0.000001 to 1,000,000,000",
    ]


@pytest.mark.parametrize(("field", "key"), BUDGET_KEYS.items())
def test_a_budget_by_the_name_of_a_context_field_is_refused_since_it_would_hold_nobody(field: str, key: str) -> None:
    complaint = problems_of(budgets=[{"scope": f"{field}=*", "limit_usd": 1}])
    assert f'must be "{key}=...": that is what budgets call the {field} of a call' in complaint
    assert Settings(budgets=[{"scope": f"{key}=*", "limit_usd": 1}]).budgets[0].scope == f"{key}=*"


NUMBERS = [
    *(("limits", name) for name in ("requests_per_minute", "tokens_per_minute", "max_in_flight")),
    *(("queue", name) for name in ("high", "medium", "low", "total")),
    *(("cache", name) for name in ("ttl_seconds", "max_entries", "max_bytes")),
    *(("retry", name) for name in ("max_attempts", "base_delay", "max_delay", "jitter", "retry_after_cap")),
    ("retry", "attempt_timeout"),
    *(("health", name) for name in ("breaker_errors", "cooldown")),
    *(("defaults", name) for name in ("temperature", "max_tokens", "deadline")),
]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -1,
        -0.5,
        1e300,
        10**30,
        pytest.param(10**5000, id="10^5000"),
        True,
        "x",
        "1e999999",
        "0x10",
        [1],
    ],
)
@pytest.mark.parametrize(("section", "name"), NUMBERS)
def test_no_number_may_be_unreal_negative_or_out_of_range(section: str, name: str, value: object) -> None:
    assert f"argument {section}.{name}" in problems_of(**{section: {name: value}})


@pytest.mark.parametrize("name", ["requests_per_minute", "max_in_flight"])
def test_whole_numbers_are_not_rounded_for_the_user(name: str) -> None:
    assert "a whole number from 0 to 1,000,000,000,000" in problems_of(limits={name: 1.5})
    assert getattr(Settings(limits={name: 2.0}).limits, name) == 2


@pytest.mark.parametrize("amount", ["NaN", "Infinity", -1, "0.0000000001", 10**10, "1e400", True, "$5"])
def test_an_amount_of_money_is_finite_not_negative_and_exact_in_nano_dollars(amount: object) -> None:
    assert "argument budgets[0].limit_usd" in problems_of(budgets=[{"limit_usd": amount}])
    assert "argument prices.m.input" in problems_of(prices={"m": {"input": amount, "output": 0}})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "//h",
        "h:80",
        "https://",
        "http://user:pw@h",
        "http://h#x",
        "http://h:0",
        "http://h:99999",
        "http://[::1",
        "http://a b",
    ],
)
def test_a_base_url_that_cannot_be_meant_is_refused(url: str) -> None:
    assert "must be the URL of the API" in problems_of(openai_base_url=url)


@pytest.mark.parametrize("url", ["http://h", "https://h:8443/v1", "http://[::1]:8080", "https://h/v1?api-version=1"])
def test_a_base_url_is_kept_as_it_is(url: str) -> None:
    assert Settings(openai_base_url=f" {url} ").provider_settings("openai").base_url == url


def test_an_unknown_variable_of_ours_is_refused_and_a_foreign_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCORE_RECORDED", "/elsewhere")
    Settings()
    monkeypatch.setenv("LLMCORE_BUDGET", "[]")
    monkeypatch.setenv("LLMCORE_CACHES__ENABLED", "1")
    told = problems_of()
    assert "LLMCORE_BUDGET: no such setting; did you mean budgets?" in told
    assert "LLMCORE_CACHES__ENABLED: no such setting; did you mean cache?" in told


def test_a_problem_is_told_by_the_name_that_the_user_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCORE_LIMITS__PROVIDERS__OPENAI_RESPONSES__MAX_IN_FLIGHT", "-1")
    assert problems_of().startswith("LLMCORE_LIMITS__PROVIDERS__OPENAI_RESPONSES__MAX_IN_FLIGHT is '-1': must be ")
    monkeypatch.setenv("LLMCORE_LIMITS__PROVIDERS__OPENAI_RESPONSES__MAX_IN_FLIGHT", "1")
    monkeypatch.setenv("LLMCORE_CACHE", '{"ttl_seconds": "long"}')
    assert problems_of().startswith("LLMCORE_CACHE: ttl_seconds is 'long': must be ")
    monkeypatch.delenv("LLMCORE_CACHE")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://")
    assert problems_of().startswith("OPENAI_BASE_URL is 'http://': must be ")
    assert problems_of(openai_base_url="x://y").startswith("argument openai_base_url is 'x://y': must be ")


def test_a_section_that_is_no_table_says_what_belongs_into_it() -> None:
    assert problems_of(health=3) == "argument health is 3: must be a table with breaker_errors, cooldown"
    assert problems_of(budgets="x") == "argument budgets is 'x': must be a list"
    assert problems_of(prices=["x"]) == "argument prices: must be a table"
    assert problems_of(queue={"preset": "fast"}) == "argument queue.preset is 'fast': must be 'server' or 'game'"


def test_delays_that_contradict_each_other_are_refused() -> None:
    assert "base_delay (3 s) must not be above max_delay (2 s)" in problems_of(retry={"base_delay": 3, "max_delay": 2})


@pytest.mark.parametrize("price", [{}, {"input": 1}, {"output": 1}, {"cache_read": 1, "input": 1}])
def test_a_price_must_be_complete(price: dict[str, Any]) -> None:
    assert "argument prices.m: must name input and output" in problems_of(prices={"m": price})


def test_a_price_per_piece_needs_no_tokens() -> None:
    assert Settings(prices={"m": {"per_image": 0.04}}).prices["m"] == PriceSettings(per_image=Decimal("0.04"))


def test_tiers_of_a_price_must_ascend() -> None:
    tiers = [{"above_input_tokens": 10}, {"above_input_tokens": 10}]
    assert "by above_input_tokens, ascending" in problems_of(prices={"m": {"input": 1, "output": 1, "tiers": tiers}})


def test_what_only_the_engine_can_see_is_told_too() -> None:
    settings = Settings()
    broken = settings.model_copy(update={"defaults": settings.defaults.model_copy(update={"deadline": 0.0})})
    with pytest.raises(LLMConfigError, match="deadline: must be above 0"):
        broken.engine_config()


SECTIONS = ["limits", "queue", "cache", "retry", "budgets", "prices", "ledger", "providers", "openai", "seed", "other"]
NAMES = st.one_of(
    st.sampled_from(["LLM_PROVIDER", "LLM_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "LLMCORE_CONFIG"]),
    st.lists(st.sampled_from(SECTIONS), min_size=1, max_size=4).map(lambda path: "LLMCORE_" + "__".join(path).upper()),
)
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    st.sampled_from(
        ["{}", "[]", "{", "null", "NaN", "-0", "1e309", "http://h", "[[{}]]", '{"a": {"input": 1}}', '{"openai": 5}']
    ),
    st.sampled_from(
        ['{"api_key": [1]}', '[{"limit_usd": NaN}]', '{"url": {}}', '{"providers": {"": {}}}', "openai", "1"]
    ),
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, TEXTS, max_size=6))
def test_any_environment_gives_settings_or_one_clear_error(variables: dict[str, str]) -> None:
    with mock.patch.dict(os.environ, {**variables, "ANTHROPIC_API_KEY": SECRET}):
        told = ""
        try:
            Settings().engine_config()
        except LLMConfigError as error:
            told = str(error)
        assert SECRET not in told


# --- what the engine gets ---------------------------------------------------------------------------------------------


def test_durations_become_whole_nanoseconds() -> None:
    config = Settings(
        cache={"ttl_seconds": 0.1},
        retry={"base_delay": "0.25", "max_delay": 7, "retry_after_cap": 0.000000001, "attempt_timeout": 33.3},
        health={"cooldown": 1e9},
        defaults={"deadline": 0.3},
    ).engine_config()
    assert config.cache.ttl == SECOND // 10
    assert (config.backoff.base, config.backoff.cap) == (SECOND // 4, 7 * SECOND)
    assert (config.recovery.retry_after_cap, config.recovery.cooldown) == (1, 10**9 * SECOND)
    assert (config.attempt_timeout, config.deadline) == (33_300_000_000, 300_000_000)


@pytest.mark.parametrize(
    ("given", "kind", "permille"),
    [
        ("none", Jitter.NONE, None),
        (0, Jitter.NONE, None),
        (0.1, Jitter.PROPORTIONAL, 100),
        ("1", Jitter.PROPORTIONAL, 1000),
        ("Full", Jitter.FULL, None),
    ],
)
def test_jitter_is_a_part_or_none_or_full(given: object, kind: Jitter, permille: int | None) -> None:
    backoff = Settings(retry={"jitter": given}).engine_config().backoff
    assert backoff.jitter == kind
    assert permille is None or backoff.jitter_permille == permille


def test_limits_of_one_provider_stand_over_those_of_all() -> None:
    limits = {
        "requests_per_minute": 100,
        "max_in_flight": 8,
        "providers": {"openai": {"requests_per_minute": 0, "tokens_per_minute": 9}},
    }
    settings = Settings(limits=limits)
    own, common = settings.lane_limits("openai"), settings.lane_limits("anthropic")
    assert (own.requests_per_minute, own.tokens_per_minute, own.max_in_flight, own.minute_burst) == (0, 9, 8, False)
    assert (common.requests_per_minute, common.tokens_per_minute, common.max_in_flight) == (100, 0, 8)
    assert settings.engine_config().limits.requests_per_minute == 100
    assert Settings(limits=limits, queue={"preset": "game"}).lane_limits("openai").minute_burst is True


def test_the_queues_total_lifts_the_classes_of_the_server_preset_only() -> None:
    server = Settings(queue={"total": 50_000, "low": 7}).engine_config().queue
    assert (list(server.class_capacity), server.total_capacity) == ([50_000, 50_000, 7], 50_000)
    game = Settings(queue={"preset": "game", "total": 30, "high": 20}).engine_config().queue
    assert (list(game.class_capacity), game.total_capacity) == ([20, 3, 10], 30)


def test_budgets_become_rules_in_nano_dollars() -> None:
    rules = (
        Settings(
            budgets=[
                {"limit_usd": 0.1},
                {"scope": "user=*", "period": "day", "limit_usd": "9e9", "alerts": [100, 50, 50]},
            ]
        )
        .engine_config()
        .budgets
    )
    assert [(rule.scope, rule.period, rule.limit, list(rule.alert_percent)) for rule in rules] == [
        ("global", Period.TOTAL, 100_000_000, [50, 80, 100]),
        ("user=*", Period.DAY, 9 * 10**18, [50, 100]),
    ]


def test_an_amount_keeps_every_digit_from_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.toml").write_text("[[budgets]]\nlimit_usd = 8999999999.123456789\n")
    Path("x.json").write_text('{"budgets": [{"limit_usd": 8999999999.123456789}]}')
    found = [Settings(config_file=name) for name in ("x.toml", "x.json")]
    monkeypatch.setenv("LLMCORE_BUDGETS", '[{"limit_usd": 8999999999.123456789}]')
    for each in (*found, Settings()):
        assert each.engine_config().budgets[0].limit == 8_999_999_999_123_456_789


def test_a_seed_is_passed_on_and_left_alone_when_unset() -> None:
    assert Settings(seed=2**64 - 1).engine_config().seed == 2**64 - 1
    assert Settings().seed is None


# --- secrets ----------------------------------------------------------------------------------------------------------

DATABASE = "postgresql+psycopg://me:pass%40word@db.example/calls"


@pytest.fixture
def secretive() -> Settings:
    return Settings(openai_api_key=SECRET, openai_base_url="https://h", ledger={"url": DATABASE})


def test_no_secret_is_shown_or_dumped_or_pickled(secretive: Settings) -> None:
    shown = [
        repr(secretive),
        str(secretive),
        str(secretive.model_dump()),
        secretive.model_dump_json(),
        str(vars(secretive)),
    ]
    shown += [repr(pickle.dumps(secretive, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    shown += [repr(pickle.dumps(secretive.provider_settings("openai"))), repr(pickle.dumps(secretive.ledger))]
    for text in shown:
        assert SECRET not in text
        assert "pass%40word" not in text
    assert "db.example" in repr(secretive)


def test_copies_keep_the_secrets(secretive: Settings) -> None:
    for copied in (copy.copy(secretive), copy.deepcopy(secretive), secretive.model_copy()):
        assert copied == secretive
        assert copied.ledger.url == DATABASE


def test_unpickling_takes_secrets_from_the_environment_for_the_same_hosts_only(
    secretive: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(secretive)
    monkeypatch.setenv("OPENAI_API_KEY", "from-here")
    monkeypatch.setenv("LLMCORE_DATABASE_URL", DATABASE)
    elsewhere = pickle.loads(data)
    assert elsewhere.provider_settings("openai").api_key is None
    assert elsewhere.ledger.url == DATABASE
    monkeypatch.setenv("OPENAI_BASE_URL", "https://h")
    monkeypatch.setenv("LLMCORE_DATABASE_URL", DATABASE.replace("db.", "other."))
    same_host = pickle.loads(data)
    assert same_host.provider_settings("openai").api_key.get_secret_value() == "from-here"
    assert same_host.ledger.url == "postgresql+psycopg://me:***@db.example/calls"


@pytest.mark.parametrize(
    "arguments",
    [
        {"openai_api_key": SECRET + "\nX-Injected: 1"},
        {"openai_api_key": {"key": SECRET}},
        {"openai_api_key": [SECRET]},
        {"providers": {"openai": SECRET}},
        {"providers": SECRET},
        {"openai_base_url": SECRET},
        {"openai_base_url": f"https://me:{SECRET}@h"},
        {"openai_key": SECRET},
        {"provider": f"{SECRET} {SECRET}"},
        {"model": SECRET * 9},
        {"retry": {"jitter": SECRET}},
        {"ledger": {"url": f"postgres//me:{SECRET}@h"}},
        {"ledger": SECRET},
        {"ledger": {"url": "postgres//me:tiger"}},
        {"openai_api_key": "https://scott tiger"},
    ],
)
def test_an_error_never_tells_a_secret(arguments: dict[str, Any]) -> None:
    with pytest.raises(LLMConfigError) as caught:
        Settings(**arguments)
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert "tiger" not in told
    assert caught.value.__context__ is None
