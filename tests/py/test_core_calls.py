"""How the hottest methods take their arguments: bound without pybind11's dispatch, and as if they were not."""

import inspect
import types
from collections.abc import Callable
from typing import Any

import pytest

from llmcore._core import (
    Backoff,
    Config,
    Engine,
    ErrorRecovery,
    Outcome,
    PriceCard,
    Priority,
    RateLimiter,
    RateLimiterConfig,
    Rates,
    Target,
    Usage,
    Verdict,
)


class Five:
    """An integer as NumPy's are: by __index__."""

    def __index__(self) -> int:
        return 5


def limiter() -> RateLimiter:
    return RateLimiter(RateLimiterConfig(requests_per_minute=60), now=0)


def test_arguments_go_by_place_by_name_or_are_left_out() -> None:
    one = limiter()
    assert one.try_acquire(10, 0)
    assert one.try_acquire(10, now=0)
    assert one.try_acquire(now=0, n=10)
    assert one.try_acquire(n=10, now=None)
    assert one.try_acquire(20, None)  # time has passed on the system's clock, and the bucket is full again
    assert one.try_acquire()
    assert one.stats()["admitted"] == 6


def test_a_method_taken_off_its_object_or_its_class_is_the_same() -> None:
    one = limiter()
    acquire = one.try_acquire
    assert acquire(1, 0)
    assert RateLimiter.try_acquire(one, 1, now=0)
    assert one.stats()["admitted"] == 2


@pytest.mark.parametrize("n", [5, True, Five(), 2**40])
def test_what_is_an_index_is_a_number(n: Any) -> None:
    assert RateLimiter(RateLimiterConfig(0), now=0).try_acquire(n, 0)


def wrong(call: Callable[..., object], *arguments: Any, **named: Any) -> Callable[[], object]:
    return lambda: call(*arguments, **named)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (wrong(limiter().try_acquire, 1, 0, 0), r"^try_acquire\(\) takes at most 2 arguments \(3 given\)$"),
        (wrong(limiter().try_acquire, 1, n=1), r"^try_acquire\(\) got multiple values for argument 'n'$"),
        (wrong(limiter().try_acquire, m=1), r"^try_acquire\(\) got an unexpected keyword argument 'm'$"),
        (wrong(limiter().try_acquire, 1.0), r"^try_acquire\(\): n must be an integer, not float$"),
        (wrong(limiter().try_acquire, 1, "now"), r"^try_acquire\(\): now must be an integer, not str$"),
        (wrong(limiter().try_acquire, 2**63), r"^try_acquire\(\): n does not fit in 64 bits$"),
        (wrong(limiter().settle), r"^settle\(\) missing required argument 'reservation'$"),
        (wrong(limiter().settle, None, 1), r"^settle\(\): reservation must be llmcore._core.RateReservation, not None"),
        (wrong(Backoff().delay), r"^delay\(\) missing required argument 'attempt'$"),
        (wrong(PriceCard(Rates()).cost, 5), r"^cost\(\): usage must be llmcore._core.Usage, not int$"),
        (wrong(ErrorRecovery().sent, 1, 2), r"^sent\(\) takes at most 1 arguments \(2 given\)$"),
        (wrong(ErrorRecovery().failed, 1), r"^failed\(\): probe must be a bool, not int$"),
        (wrong(ErrorRecovery().advise, 1, 1), r"^advise\(\): outcome must be Outcome, not int$"),
        (wrong(ErrorRecovery().call_arrived, 1), r"^call_arrived\(\) takes at most 0 arguments \(1 given\)$"),
        (wrong(Engine(Config()).cancel, -1, 0, 0), r"^cancel\(\): call must be between 0 and 2\*\*64 - 1$"),
        (wrong(Engine(Config()).cancel, 2**64, 0, 0), r"^cancel\(\): call must be between 0 and 2\*\*64 - 1$"),
        (
            wrong(Engine(Config()).submit, "t", "c", Priority.LOW, 0, None, "targets", [], 0, 0),
            r"^submit\(\): targets must be a sequence of Target, not str$",
        ),
        (
            wrong(Engine(Config()).submit, "t", "c", Priority.LOW, 0, None, [], [("user", 1)], 0, 0),
            r"^submit\(\): scopes must be a str, not int$",
        ),
        (
            wrong(Engine(Config()).submit, "t", "c", Priority.LOW, 0, None, [], [("user",)], 0, 0),
            r"^submit\(\): scopes must be a sequence of pairs of str, not tuple$",
        ),
        (wrong(Engine(Config()).tick, 0), r"^tick\(\) missing required argument 'wall'$"),
    ],
)
def test_a_wrong_call_is_a_type_error_that_names_the_argument(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        call()


def test_what_an_index_raises_comes_through() -> None:
    class Broken:
        def __index__(self) -> int:
            raise RuntimeError("no number today")

    with pytest.raises(RuntimeError, match="no number today"):
        limiter().try_acquire(Broken())


@pytest.mark.parametrize(
    ("method", "arguments"),
    [(RateLimiter.try_acquire, ()), (Backoff.delay, (1,)), (PriceCard.cost, (Usage(),)), (Engine.drain, ())],
)
def test_an_object_whose_init_never_ran_is_refused(method: Any, arguments: tuple[object, ...]) -> None:
    empty = method.__objclass__.__new__(method.__objclass__)
    with pytest.raises(TypeError, match=r"__init__\(\) must be called first$"):
        method(empty, *arguments)
    with pytest.raises(TypeError):
        method(object(), *arguments)


def test_an_argument_whose_init_never_ran_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^cost\(\): .*Usage.__init__\(\) must be called first$"):
        PriceCard(Rates()).cost(Usage.__new__(Usage))


def test_a_class_derived_in_python_works_alone_and_with_another_base() -> None:
    class Named(RateLimiter):
        name = "mine"

    def init(self: Any) -> None:
        RateLimiter.__init__(self, RateLimiterConfig(requests_per_minute=60), now=0)
        Backoff.__init__(self, seed=3)

    assert Named(now=0).try_acquire(now=0)
    for bases in ((RateLimiter, Backoff), (Backoff, RateLimiter)):
        both: Any = types.new_class("Both", bases, exec_body=lambda names: names.update(__init__=init))()
        assert both.try_acquire(60, 0)
        assert not both.try_acquire(1, 0)
        assert both.delay(2) == Backoff(seed=3).delay(2)
        assert RateLimiter.stats(both)["admitted"] == 1


def test_a_reservation_keeps_its_limiter_alive() -> None:
    held = limiter().reserve(now=0)
    assert held is not None
    assert held.requests == 1


def test_signatures_can_be_read() -> None:
    assert str(inspect.signature(RateLimiter.try_acquire)) == "(self, /, n=1, now=None)"
    assert list(inspect.signature(Engine.submit).parameters)[:3] == ["self", "tenant", "call_type"]


def test_actions_are_objects_of_their_own() -> None:
    engine = Engine(Config.server())
    scopes: Any = (["user", "ada"],)
    engine.submit("t", "c", Priority.LOW, 0, None, (Target("p", "m"),), scopes, 1, 2)
    send: Any
    record: Any
    finish: Any
    (send,) = engine.drain()
    assert (send.call, send.number, send.target, send.worst_case) == (1, 1, 0, None)
    with pytest.raises(AttributeError):
        send.call = 5
    engine.replied(attempt=send.attempt, usage=Usage(1), price=None, payload=b"x", mono=5, wall=6)
    record, finish = engine.drain()
    del send
    assert record.usage == finish.usage == Usage(1)
    usage = finish.usage
    del record, finish, engine
    assert usage.input_uncached == 1  # it keeps the object alive that it is a part of


def test_enum_results_are_members() -> None:
    verdict = ErrorRecovery(now=0).advise(Outcome.AUTH, 1, now=0)
    assert verdict is Verdict.FAIL_OVER
