"""The engine driven by hand: what goes in, what comes out, and when."""

import random
from typing import Any, TypeVar

import pytest

from llmcore._core import (
    Abort,
    AlertRecord,
    AttemptRecord,
    BudgetRule,
    Config,
    Engine,
    Finish,
    Jitter,
    Outcome,
    PriceCard,
    Priority,
    RateLimiterConfig,
    RateObservation,
    Rates,
    Send,
    Source,
    Target,
    Usage,
)

SECOND = 1_000_000_000
KEY = bytes(range(32))
PRICE = PriceCard(Rates(input=1_000_000, output=2_000_000), source="a list")  # 1 and 2 nano-USD per token

A = TypeVar("A")


def config_of(**fields: Any) -> Config:
    config = Config.server()
    config.backoff.jitter = Jitter.NONE
    for name, value in fields.items():
        part, _, field = name.partition("__")
        setattr(getattr(config, part) if field else config, field or part, value)
    return config


class Host:
    """Drives one engine and keeps what came out of it."""

    def __init__(self, config: Config | None = None) -> None:
        self.engine = Engine(config or config_of())
        self.at = 0
        self.log: list[object] = []

    def submit(self, *targets: Target, key: bytes | None = None, **fields: Any) -> int:
        scopes = list(fields.get("scopes", {}).items())
        return self.engine.submit(
            fields.get("tenant", "default"),
            "chat",
            fields.get("priority", Priority.MEDIUM),
            fields.get("deadline", 0),
            key,
            targets or [Target("openai", "m", 10, 20, price=PRICE)],
            scopes,
            self.at,
            self.at,
        )

    def reply(self, send: Send, usage: Usage | None = None, payload: bytes | None = b"answer") -> None:
        self.engine.replied(send.attempt, usage or Usage(10, output_text=5), None, payload, self.at, self.at)

    def fail(self, send: Send, outcome: Outcome, retry_after: int = 0, should_retry: bool | None = None) -> None:
        engine = self.engine
        engine.failed(send.attempt, outcome, should_retry, retry_after, Usage(), None, self.at, self.at)

    def tick(self, at: int) -> None:
        self.at = at
        self.engine.tick(at, at)

    def actions(self) -> list[object]:
        assert self.engine.check() == ""
        found: list[object] = list(self.engine.drain())
        self.log += found
        return found

    def only(self, kind: type[A]) -> A:
        """The one action there is, of this kind."""
        (action,) = self.actions()
        assert isinstance(action, kind)
        return action

    def finish(self) -> Finish:
        """The finish that the actions end with, right after the record of the attempt that brought it about."""
        *_, record, finish = self.actions()
        assert isinstance(finish, Finish)
        assert isinstance(record, AttemptRecord)
        assert record.call == finish.call
        return finish


def test_a_call_is_sent_at_once_recorded_and_then_finished() -> None:
    host = Host()
    call = host.submit()
    send = host.only(Send)
    assert (send.call, send.number, send.target, send.not_after) == (call, 1, 0, 60 * SECOND)
    host.at = 2 * SECOND
    host.reply(send)
    record, finish = host.actions()
    assert isinstance(record, AttemptRecord)
    assert isinstance(finish, Finish)
    assert (record.attempt, record.number, record.target) == (send.attempt, 1, 0)
    assert (record.provider, record.model, record.outcome) == ("openai", "m", Outcome.OK)
    assert (record.usage, record.cost) == (Usage(10, output_text=5), 20)
    assert (record.started, record.latency, record.retry_after) == (0, 2 * SECOND, 0)
    assert (finish.call, finish.outcome, finish.source) == (call, Outcome.OK, Source.PROVIDER)
    assert (finish.provider, finish.model, finish.target, finish.attempts) == ("openai", "m", 0, 1)
    assert (finish.usage, finish.cost, finish.saved, finish.fallback) == (Usage(10, output_text=5), 20, 0, False)
    assert (finish.latency, finish.queued, finish.first_token) == (2 * SECOND, 0, 0)
    assert finish.refusal is None
    assert host.engine.next_deadline() is None


def test_a_payload_comes_back_as_the_object_that_went_in() -> None:
    host = Host()
    payload = b"x" * 1000
    host.submit(key=KEY)
    host.reply(host.only(Send), payload=payload)
    assert host.finish().payload is payload
    host.submit(key=KEY)
    assert host.only(Finish).payload is payload


def test_an_equal_call_is_answered_from_the_cache() -> None:
    host = Host(config_of(cache__ttl=10 * SECOND))
    host.submit(key=KEY)
    host.reply(host.only(Send))
    host.actions()
    host.submit(key=KEY)
    hit = host.only(Finish)
    assert (hit.source, hit.attempts, hit.cost, hit.saved, hit.usage) == (Source.CACHE, 0, 0, 20, Usage())
    host.at = 10 * SECOND
    host.submit(key=KEY)
    host.only(Send)


def test_an_equal_call_in_flight_is_joined_and_leads_when_the_first_gives_up() -> None:
    host = Host()
    first, second, third = (host.submit(key=KEY) for _ in range(3))
    send = host.only(Send)
    assert host.engine.stats()["following"] == 2
    host.engine.cancel(first, 0, 0)
    abort, record, finish, again = host.actions()
    assert isinstance(abort, Abort)
    assert (abort.call, abort.attempt) == (first, send.attempt)
    assert isinstance(record, AttemptRecord)
    assert isinstance(finish, Finish)
    assert record.outcome is finish.outcome is Outcome.CANCELLED
    assert isinstance(again, Send)
    assert again.call == second
    host.reply(again)
    ends = {action.call: action for action in host.actions() if isinstance(action, Finish)}
    assert {call: end.source for call, end in ends.items()} == {second: Source.PROVIDER, third: Source.JOINED}
    assert (ends[third].saved, ends[third].cost, ends[third].payload) == (20, 0, b"answer")


def test_a_failure_is_retried_when_its_delay_is_over_and_not_before() -> None:
    host = Host(config_of(backoff__base=4 * SECOND))
    host.submit()
    host.fail(host.only(Send), Outcome.SERVER_ERROR)
    host.only(AttemptRecord)
    assert host.engine.next_deadline() == 4 * SECOND
    assert host.engine.stats()["backing_off"] == 1
    host.tick(4 * SECOND - 1)
    assert host.actions() == []
    host.tick(4 * SECOND)
    again = host.only(Send)
    assert again.number == 2
    host.reply(again)
    finish = host.finish()
    assert (finish.outcome, finish.attempts, finish.queued) == (Outcome.OK, 2, 4 * SECOND)


def test_a_retry_waits_as_long_as_the_provider_asks_and_the_lane_with_it() -> None:
    host = Host()
    host.submit()
    host.fail(host.only(Send), Outcome.RATE_LIMITED, retry_after=7 * SECOND)
    host.only(AttemptRecord)
    (lane,) = host.engine.stats()["lanes"]
    assert lane["limiter"]["paused_until"] == 7 * SECOND
    host.submit()
    assert host.actions() == []
    host.tick(7 * SECOND)
    assert [type(action) for action in host.actions()] == [Send, Send]
    assert host.engine.stats()["lanes"][0]["queue"]["restored"] == 1


def test_a_chain_goes_on_where_the_first_cannot_help() -> None:
    host = Host()
    host.submit(Target("openai", "m"), Target("llama", "n", price=PRICE))
    host.fail(host.only(Send), Outcome.QUOTA_EXHAUSTED)
    record, send = host.actions()
    assert isinstance(record, AttemptRecord)
    assert isinstance(send, Send)
    assert (record.outcome, send.target, send.number) == (Outcome.QUOTA_EXHAUSTED, 1, 2)
    host.reply(send)
    finish = host.finish()
    assert (finish.provider, finish.model, finish.fallback, finish.attempts) == ("llama", "n", True, 2)
    assert host.engine.stats()["failovers"] == 1


def test_what_nothing_can_help_is_over_at_once() -> None:
    host = Host()
    host.submit(Target("openai", "m"), Target("llama", "n"))
    host.fail(host.only(Send), Outcome.BAD_REQUEST)
    finish = host.finish()
    assert (finish.outcome, finish.source, finish.payload, finish.target) == (Outcome.BAD_REQUEST, Source.NONE, None, 0)


def test_an_attempt_that_takes_too_long_is_called_off() -> None:
    host = Host(config_of(recovery__max_attempts=1))
    host.submit(deadline=5 * SECOND)
    send = host.only(Send)
    assert send.not_after == host.engine.next_deadline() == 5 * SECOND
    host.tick(5 * SECOND)
    abort, record, finish = host.actions()
    assert isinstance(abort, Abort)
    assert isinstance(record, AttemptRecord)
    assert isinstance(finish, Finish)
    assert record.outcome is finish.outcome is Outcome.TIMEOUT
    host.reply(send)
    assert host.actions() == []
    assert host.engine.stats()["late"] == 1


def test_nothing_is_repeated_once_the_user_has_seen_a_part() -> None:
    host = Host()
    host.submit(Target("openai", "m"), Target("llama", "n"))
    send = host.only(Send)
    host.at = SECOND
    host.engine.streaming(send.attempt, host.at, host.at)
    host.fail(send, Outcome.CONNECTION)
    finish = host.finish()
    assert (finish.outcome, finish.attempts, finish.first_token) == (Outcome.CONNECTION, 1, SECOND)


def test_calls_wait_for_a_free_slot_in_the_order_of_their_urgency() -> None:
    host = Host(config_of(limits=RateLimiterConfig(0, max_in_flight=1)))
    host.submit()
    send = host.only(Send)
    waiting = [host.submit(priority=priority) for priority in (Priority.LOW, Priority.MEDIUM, Priority.HIGH)]
    assert host.actions() == []
    order = []
    for _ in waiting:
        host.reply(send)
        send = next(action for action in host.actions() if isinstance(action, Send))
        order.append(send.call)
    assert order == waiting[::-1]


def test_a_full_queue_refuses_with_a_hint() -> None:
    config = Config.game()
    config.limits.requests_per_minute = 1
    host = Host(config)
    for _ in range(6):
        host.submit(priority=Priority.HIGH)
    assert [type(action) for action in host.actions()] == [Send]
    call = host.submit(priority=Priority.HIGH)
    refused = host.only(Finish)
    assert (refused.call, refused.outcome, refused.retry_hint) == (call, Outcome.QUEUE_FULL, 60 * SECOND)
    host.tick(3 * SECOND)
    assert {action.outcome for action in host.actions() if isinstance(action, Finish)} == {Outcome.QUEUE_TIMEOUT}


def test_a_call_that_could_overshoot_a_budget_is_refused_and_says_why() -> None:
    host = Host(config_of(budgets=[BudgetRule("user=*", limit=100, alert_percent=[20])]))
    host.submit(scopes={"user": "ada"})
    send = host.only(Send)  # 10 tokens in, at most 20 out: 50 nano-USD
    assert host.engine.stats()["reserved"] == {"requests": 1, "tokens": 30, "nano_usd": 50}
    host.submit(Target("openai", "m", 11, 20, price=PRICE), scopes={"user": "ada"})
    refused = host.only(Finish)
    assert refused.outcome is Outcome.OVER_BUDGET
    why = refused.refusal
    assert why is not None
    assert (why.scope, why.limit, why.spent, why.reserved, why.needed) == ("user=ada", 100, 0, 50, 51)
    host.reply(send)
    record, alert, finish = host.actions()
    assert isinstance(record, AttemptRecord)
    assert isinstance(alert, AlertRecord)
    assert isinstance(finish, Finish)
    assert (alert.scope, alert.percent, alert.spent, alert.limit) == ("user=ada", 20, 20, 100)
    host.submit(Target("openai", "unpriced"), scopes={"user": "ada"})
    why = host.only(Finish).refusal
    assert why is not None
    assert why.price_unknown


def test_three_errors_close_a_provider_to_everyone_until_a_probe_went_well() -> None:
    host = Host(config_of(recovery__max_attempts=1))
    for _ in range(3):
        host.submit()
        host.fail(host.only(Send), Outcome.SERVER_ERROR)
        host.finish()
    provider = host.engine.stats()["providers"]["openai"]
    assert (provider["health"], provider["open_until"], provider["breaker_opened"]) == ("degraded", 10 * SECOND, 1)
    host.submit()
    assert host.actions() == []
    host.tick(10 * SECOND)
    probe = host.only(Send)
    assert host.engine.stats()["providers"]["openai"]["health"] == "probing"
    host.reply(probe)
    host.finish()
    provider = host.engine.stats()["providers"]["openai"]
    assert (provider["health"], provider["open_until"]) == ("healthy", None)


def test_what_a_provider_says_is_left_is_all_that_goes() -> None:
    host = Host()
    host.engine.observed("default", "openai", RateObservation(1, None, 9 * SECOND, 0), 0, 0)
    host.submit()
    host.submit()
    assert len(host.actions()) == 1
    assert host.engine.next_deadline() == 9 * SECOND


def test_a_clock_that_goes_back_stands_still_and_is_counted() -> None:
    host = Host()
    host.tick(5 * SECOND)
    host.at = SECOND
    host.submit(deadline=10 * SECOND)
    assert host.only(Send).not_after == 15 * SECOND
    assert host.engine.stats()["clock_regressions"] == 1


def test_statistics_show_every_part() -> None:
    host = Host(config_of(budgets=[BudgetRule()]))
    host.submit(Target("openai", "m", price=PriceCard(Rates())))
    stats = host.engine.stats()
    assert set(stats) >= {"submitted", "finished", "outcomes", "in_flight", "queued", "reserved", "late", "joined"}
    assert set(stats["outcomes"]) == {outcome.name.lower() for outcome in Outcome}
    (lane,) = stats["lanes"]
    assert (lane["tenant"], lane["provider"], lane["limiter"]["in_flight"]) == ("default", "openai", 1)
    assert {"ghosts", "hits", "bytes"} <= set(stats["cache"])
    assert {"restored", "refused_class", "refused_total"} <= set(lane["queue"])
    host.reply(host.only(Send), Usage())
    host.finish()
    before = host.engine.tracker()
    host.submit(Target("offline", "offline", always_answers=True))
    host.reply(host.only(Send))
    host.actions()
    assert before.totals()["calls"] == 1, "a copy"
    assert [row["model"] for row in host.engine.tracker().by_model_and_type()] == ["m", "offline"]


@pytest.mark.parametrize(
    "fields",
    [
        {"targets": []},
        {"targets": [Target("p", "m")] * 17},
        {"targets": [Target("", "m")]},
        {"targets": [Target("p", "m", input_tokens=2**53 + 1)]},
        {"deadline": -1},
    ],
    ids=str,
)
def test_a_call_that_makes_no_sense_is_finished_as_a_bad_request(fields: dict[str, Any]) -> None:
    engine = Engine(Config())
    call = {"tenant": "t", "call_type": "c", "priority": Priority.LOW, "deadline": 0, "key": None, "scopes": []}
    number = engine.submit(**{**call, "targets": [Target("p", "m")], "mono": 0, "wall": 0, **fields})
    (finish,) = engine.drain()
    assert isinstance(finish, Finish)
    assert (finish.call, finish.outcome, finish.source) == (number, Outcome.BAD_REQUEST, Source.NONE)
    assert engine.check() == ""


def test_a_configuration_with_problems_is_refused_with_all_of_them() -> None:
    config = Config()
    config.deadline = 0
    config.limits.tokens_per_minute = -1
    config.set_provider_limits("llama", RateLimiterConfig(max_in_flight=-1))
    config.budgets = [BudgetRule("user")]
    assert len(config.problems()) == 4
    with pytest.raises(ValueError, match=r"tokens_per_minute.*llama.*budgets\[0\].*deadline") as caught:
        Engine(config)
    assert all(problem in str(caught.value) for problem in config.problems())


def random_run(seed: int) -> tuple[list[str], int]:
    """What an engine did in 300 random inputs, in words, and its state after them."""
    rng = random.Random(seed)
    config = Config.game()
    config.seed = 99
    config.limits.max_in_flight = 3
    engine, at, flying, lines = Engine(config), 0, dict[int, int](), []
    for _ in range(300):
        at += rng.randrange(SECOND)
        kind = rng.randrange(4)
        attempt = rng.choice([*flying, 0])
        if kind == 0:
            key = bytes([rng.randrange(5)]) * 32 if rng.random() < 0.5 else None
            targets = [Target(name, "m", 5, 5) for name in rng.sample(["a", "b", "c"], 2)]
            engine.submit("t", "c", Priority(rng.randrange(3)), 20 * SECOND, key, targets, [], at, at)
        elif kind == 1:
            engine.replied(attempt, Usage(3), None, b"x", at, at)
        elif kind == 2:
            engine.failed(attempt, Outcome(rng.randrange(1, 12)), None, rng.randrange(SECOND), Usage(), None, at, at)
        else:
            engine.cancel(flying.get(attempt, 0), at, at)
        if rng.random() < 0.5:
            engine.tick(at, at)
        for action in engine.drain():
            if isinstance(action, Send):
                flying[action.attempt] = action.call
            elif isinstance(action, AttemptRecord):
                del flying[action.attempt]
            names = (name for name in dir(action) if not name.startswith("_"))
            values = {name: getattr(action, name) for name in names}
            lines.append(f"{type(action).__name__} {values}")
        assert engine.check() == ""
    return lines, engine.state_hash()


@pytest.mark.parametrize("seed", range(5))
def test_the_same_inputs_bring_about_the_same_actions(seed: int) -> None:
    first, again = random_run(seed), random_run(seed)
    assert first == again
    assert first != random_run(seed + 100)
    assert len(first[0]) > 50
