"""Whatever Python hands to the compiled core, it is taken or refused by an exception, and nothing breaks."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from llmcore import _core
from llmcore._core import (
    Backoff,
    Budget,
    BudgetRule,
    Config,
    Engine,
    ErrorRecovery,
    LatencySketch,
    OfflineGenerator,
    Outcome,
    Period,
    PriceCard,
    Priority,
    RateLimiter,
    RateLimiterConfig,
    RateObservation,
    Rates,
    RequestQueue,
    ResponseCache,
    Target,
    TokenTracker,
    Usage,
)

KEY = bytes(32)
NAN = float("nan")


def target() -> Target:
    return Target("p", "m", 1, 1)


def engine_at_work() -> tuple[Engine, int]:
    """An engine with an attempt in flight, one call that waits and one that follows."""
    config = Config.game()
    config.limits.max_in_flight = 1
    config.budgets = [BudgetRule("user=*", Period.DAY, 10**9)]
    engine = Engine(config)
    for key in (KEY, None, KEY):
        engine.submit("t", "chat", Priority.MEDIUM, 0, key, [target()], [], 0, 0)
    return engine, engine.drain()[0].attempt  # type: ignore[union-attr]


# Calls that work: what makes the object, its method (None: the object is itself what is called) and the arguments.
CALLS: list[tuple[str, Callable[[], Any], str | None, dict[str, Any]]] = [
    ("Usage", lambda: Usage, None, {"input_uncached": 1, "images": 1, "estimated": False}),
    ("Rates", lambda: Rates, None, {"input": 1, "per_request": 1}),
    ("PriceCard", lambda: PriceCard, None, {"base": Rates(), "tiers": [(5, Rates())], "source": "s"}),
    ("cost", lambda: PriceCard(Rates(input=10**12)), "cost", {"usage": Usage(1), "requests": 1}),
    ("worst_case", lambda: PriceCard(Rates(1)), "worst_case", {"input_tokens": 1, "output_tokens": 1, "images": 1}),
    ("Backoff", lambda: Backoff, None, {"config": _core.BackoffConfig(), "seed": 1}),
    ("delay", Backoff, "delay", {"attempt": 1}),
    ("RateLimiterConfig", lambda: RateLimiterConfig, None, {"requests_per_minute": 1, "minute_burst": True}),
    ("RateObservation", lambda: RateObservation, None, {"remaining_requests": 1, "requests_reset": 1}),
    ("RateLimiter", lambda: RateLimiter, None, {"config": RateLimiterConfig(), "now": 0}),
    ("try_acquire", lambda: RateLimiter(now=0), "try_acquire", {"n": 1, "now": 0}),
    ("time_until", lambda: RateLimiter(now=0), "time_until", {"n": 1, "now": 0}),
    ("reserve", lambda: RateLimiter(now=0), "reserve", {"tokens": 1, "now": 0}),
    ("refund", lambda: RateLimiter(now=0), "refund", {"reservation": RateLimiter().reserve(), "now": 0}),
    ("settle", lambda: RateLimiter(now=0), "settle", {"reservation": None, "actual_tokens": 1, "now": 0}),
    ("pause_until", lambda: RateLimiter(now=0), "pause_until", {"until": 1}),
    ("observe", lambda: RateLimiter(now=0), "observe", {"observation": RateObservation(1, 1, 1, 1), "now": 0}),
    ("push", RequestQueue, "push", {"id": 1, "priority": Priority.LOW, "deadline": 1, "now": 0}),
    ("remove", RequestQueue, "remove", {"id": 1}),
    ("expire", RequestQueue, "expire", {"now": 1}),
    ("in", RequestQueue, "__contains__", {"id": 1}),
    ("get", ResponseCache, "get", {"key": KEY, "now": 0}),
    ("put", ResponseCache, "put", {"key": KEY, "value": b"x", "now": 0}),
    ("erase", ResponseCache, "erase", {"key": KEY}),
    ("ErrorRecovery", lambda: ErrorRecovery, None, {"config": _core.ErrorRecoveryConfig(), "now": 0}),
    ("sent", ErrorRecovery, "sent", {"now": 0}),
    ("failed", ErrorRecovery, "failed", {"probe": True, "now": 0}),
    ("advise", ErrorRecovery, "advise", {"outcome": Outcome.TIMEOUT, "attempts": 1, "retry_after": 1, "now": 0}),
    ("BudgetRule", lambda: BudgetRule, None, {"scope": "global", "limit": 1, "alert_percent": [1]}),
    ("Budget", lambda: Budget, None, {"rules": [BudgetRule()]}),
    ("budget", lambda: Budget([BudgetRule()]), "reserve", {"scopes": [("a", "b")], "worst_case": 0, "wall": 0}),
    ("refusal", lambda: Budget([BudgetRule()]), "refusal", {"scopes": [("a", "b")], "worst_case": 0, "wall": 0}),
    ("quantile", LatencySketch, "quantile", {"p": 0.5}),
    ("add", LatencySketch, "add", {"ns": 5}),
    ("merge", LatencySketch, "merge", {"other": LatencySketch()}),
    ("TokenTracker", lambda: TokenTracker, None, {"hours_kept": 1}),
    ("record", TokenTracker, "record", {"model": "m", "call_type": "c", "usage": Usage(), "cost": 1, "wall": 0}),
    (
        "record2",
        TokenTracker,
        "record",
        {"model": "m", "call_type": "c", "usage": Usage(), "latency": 1, "attempts": 1},
    ),
    ("generate", OfflineGenerator, "generate", {"problem": "general", "severity": 1, "seed": 1, "placeholders": {}}),
    ("offline_problem", lambda: _core.offline_problem, None, {"call_type": "x"}),
    ("sha256", lambda: _core.sha256, None, {"data": b""}),
    (
        "fingerprint",
        lambda: _core.fingerprint,
        None,
        {"tenant": "t", "provider": "p", "model": "m", "canonical_request": b""},
    ),
    ("uuid7_milliseconds", lambda: _core.uuid7_milliseconds, None, {"text": "x"}),
    ("to_micro_usd", lambda: _core.to_micro_usd, None, {"nano_usd": 1}),
    ("outcome_of_status", lambda: _core.outcome_of_status, None, {"http_status": 200}),
    ("verdict_of", lambda: _core.verdict_of, None, {"outcome": Outcome.OK, "should_retry": True}),
    ("Target", lambda: Target, None, {"provider": "p", "model": "m", "input_tokens": 1, "price": PriceCard(Rates())}),
    ("Engine", lambda: Engine, None, {"config": Config()}),
]

ANYTHING: list[Any] = [
    *(None, True, 0, 1, -1, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**200), 1.5, NAN, float("inf")),
    *("", "x", "\ud800", b"", b"x", KEY, bytearray(32), memoryview(KEY)),
    *(
        [],
        [None],
        [()],
        [("a", b"\xff")],
        [(1, 2)],
        [target()] * 20,
        {},
        {"topic": "\ud800"},
        {1: 2},
        set(),
        object(),
        int,
    ),
    *(Priority.LOW, Outcome.OK, Usage(2**53), Rates(2**63 - 1), Config(), RateObservation(-1, -1, -1, 2**63 - 1)),
]


def try_everything(call: Callable[..., object], valid: dict[str, Any]) -> None:
    for name in valid:
        for value in ANYTHING:
            with suppress(TypeError, ValueError, OverflowError):
                call(**{**valid, name: value})


@pytest.mark.parametrize(("make", "method", "valid"), [pytest.param(*call, id=name) for name, *call in CALLS])
def test_anything_is_taken_or_refused(make: Callable[[], Any], method: str | None, valid: dict[str, Any]) -> None:
    made = make()
    try_everything(made if method is None else getattr(made, method), valid)
    for look in ("stats", "totals", "by_hour", "accounts"):
        if method is not None and hasattr(made, look):
            assert getattr(made, look)() is not None


def engine_calls(attempt: int) -> dict[str, dict[str, Any]]:
    time = {"mono": 1, "wall": 1}
    answer = {"attempt": attempt, "usage": Usage(1), "price": None, **time}
    return {
        "submit": {
            "tenant": "t",
            "call_type": "c",
            "priority": Priority.LOW,
            "deadline": 1,
            "key": KEY,
            "targets": [target()],
            "scopes": [("user", "ada")],
            **time,
        },
        "streaming": {"attempt": attempt, **time},
        "replied": {**answer, "payload": b"x"},
        "failed": {**answer, "outcome": Outcome.TIMEOUT, "should_retry": True, "retry_after": 1},
        "observed": {"tenant": "t", "provider": "p", "limits": RateObservation(5, 5, 1, 1), **time},
        "cancel": {"call": 1, **time},
        "tick": time,
    }


@pytest.mark.parametrize("method", list(engine_calls(0)))
def test_an_engine_stands_whatever_it_is_handed(method: str) -> None:
    engine, attempt = engine_at_work()
    try_everything(getattr(engine, method), engine_calls(attempt)[method])
    assert engine.check() == ""
    assert engine.stats()["submitted"] >= 3
    assert engine.tracker().totals()["calls"] == engine.stats()["finished"]
    assert all(str(action) for action in engine.drain())


NEGATIVE: list[tuple[str, Callable[[], object]]] = [
    ("n", lambda: RateLimiter().try_acquire(-1)),
    ("n", lambda: RateLimiter().time_until(-1)),
    ("tokens", lambda: RateLimiter().reserve(-1)),
    ("attempt", lambda: Backoff().delay(-1)),
    ("attempts", lambda: ErrorRecovery().advise(Outcome.TIMEOUT, -1)),
    ("retry_after", lambda: ErrorRecovery().advise(Outcome.TIMEOUT, 1, retry_after=-1)),
    ("worst_case", lambda: Budget([]).reserve([], -1)),
    ("worst_case", lambda: Budget([]).refusal([], -1)),
    ("cost", lambda: TokenTracker().record("m", "c", Usage(), cost=-1)),
    ("attempts", lambda: TokenTracker().record("m", "c", Usage(), attempts=-1)),
    ("saved", lambda: TokenTracker().record("m", "c", Usage(), saved=-1)),
    ("requests", lambda: PriceCard(Rates()).cost(Usage(), -1)),
    ("input_tokens", lambda: Target("p", "m", input_tokens=-1)),
    ("output_tokens", lambda: Target("p", "m", output_tokens=-1)),
    ("images", lambda: Target("p", "m", images=-1)),
    ("mono", lambda: Engine(Config()).tick(-1, 0)),
]


@pytest.mark.parametrize(("name", "call"), NEGATIVE)
def test_less_than_nothing_is_a_value_error_that_names_it(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be 0 or more, not -1$"):
        call()


def test_a_settlement_of_less_than_nothing_leaves_the_reservation_open() -> None:
    limiter, budget = RateLimiter(now=0), Budget([BudgetRule(limit=5)])
    held, money = limiter.reserve(now=0), budget.reserve([], 5, wall=0)
    assert held is not None
    assert money is not None
    with pytest.raises(ValueError, match=r"^actual_tokens must"):
        limiter.settle(held, -1, now=0)
    with pytest.raises(ValueError, match=r"^actual must"):
        budget.settle(money, -1, wall=0)
    limiter.settle(held, 0, now=0)
    budget.settle(money, 0, wall=0)
    assert limiter.stats()["in_flight"] == budget.reserved() == 0


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_a_value_error(key: bytes) -> None:
    for call in (ResponseCache().get, ResponseCache().erase, lambda key: ResponseCache().put(key, b"")):
        with pytest.raises(ValueError, match="32 bytes"):
            call(key)
    with pytest.raises(ValueError, match="32 bytes"):
        Engine(Config()).submit("t", "c", Priority.LOW, 0, key, [target()], [], 0, 0)


def wrong(call: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    return lambda: call(*arguments)


TYPES: list[Callable[[], object]] = [
    *(wrong(RateLimiter().try_acquire, value) for value in (1.0, NAN, "1", None, 2**63, -(2**64))),
    *(wrong(RequestQueue().push, value) for value in (-1, 2**64, 0.5, "1")),
    wrong(RequestQueue().push, 1, 0),  # a number is no Priority
    wrong(Backoff, None, 0),
    wrong(Backoff, _core.BackoffConfig(), -1),
    wrong(ResponseCache().get, "x" * 32),
    wrong(ResponseCache().put, KEY, "text"),
    wrong(ResponseCache().put, KEY, bytearray(b"x")),
    wrong(Budget, [None]),
    wrong(Budget, None),
    wrong(Budget([]).reserve, [("user", b"ada")], 1),
    wrong(Budget([]).reserve, [("user",)], 1),
    wrong(BudgetRule, b"global"),
    wrong(TokenTracker().record, b"m", "c", Usage()),
    wrong(TokenTracker().record, "m", "c", None),
    wrong(Target, b"p", "m"),
    wrong(PriceCard, None),
    wrong(Usage, 1.0),
    wrong(Engine, None),
    wrong(Config().set_provider_limits, b"p", RateLimiterConfig()),
    *(wrong(setattr, Config(), "seed", value) for value in (-1, 2**64, 1.5)),
    *(wrong(setattr, Config().queue, "class_capacity", value) for value in ([1, 2], [1, 2, 3, 4], [1, 2, None], 5)),
    wrong(setattr, Config(), "limits", None),
    wrong(setattr, Usage(), "images", 1.5),
]


@pytest.mark.parametrize("call", TYPES)
def test_another_type_is_a_type_error(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        call()


def test_half_a_character_is_an_error_that_says_so() -> None:
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        Target("p", "\ud800")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        TokenTracker().record("m", "c\udfff", Usage())
