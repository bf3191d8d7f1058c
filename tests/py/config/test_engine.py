"""What the engine gets of the settings: whole nanoseconds, nano-dollars, rules."""

from pathlib import Path

import pytest

from llmcore._core import Jitter, Period
from llmcore.config import Settings

SECOND = 1_000_000_000


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
