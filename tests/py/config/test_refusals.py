"""What is refused, by the name that the user gave it, and all at once."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcore.config import PriceSettings, Settings
from llmcore.errors import LLMConfigError
from llmcore.types import BUDGET_KEYS
from support.settings import SECRET, problems_of


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
