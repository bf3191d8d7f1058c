"""Threads that wait for a mailbox: who is woken, who holds the timer, what happens to those who go away."""

import pytest

from support.parked import HOUR, PATIENCE, Parked, Toy, Wakeups, call_of, is_empty


def test_a_message_that_is_there_is_not_waited_for(toy: Toy) -> None:
    call = call_of()
    toy.deliver(call)
    toy.parking.wait(call)
    assert is_empty(toy.parking)


def test_a_message_wakes_its_own_thread_and_no_other(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    wakeups = Wakeups(monkeypatch)
    parked = Parked(toy, 20)
    toy.deliver(parked.calls[7])
    parked.left(7)
    assert parked.alive() == 19
    assert wakeups.of == {"7": 1}
    toy.deliver(*parked.calls)
    parked.left(*range(20))
    assert is_empty(toy.parking)


def test_the_holder_hands_the_timer_to_one_other_thread(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    wakeups = Wakeups(monkeypatch)
    toy.deadline = HOUR
    parked = Parked(toy, 20)
    toy.time.set(HOUR - 10_000_000)  # the holder went to sleep for an hour; whoever follows it, for 10 ms
    toy.deliver(parked.calls[0])
    parked.left(0)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert toy.ticks == [("1", 0)]
    assert set(wakeups.of) <= {"0", "1"}  # the heir may have taken over before it slept
    toy.deliver(*parked.calls)
    parked.left(*range(20))
    assert is_empty(toy.parking)


def test_a_deadline_that_moves_earlier_wakes_the_holder_alone(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    wakeups = Wakeups(monkeypatch)
    toy.deadline = 2 * HOUR
    parked = Parked(toy, 10)
    toy.due_at(3 * HOUR)
    assert toy.parking._holder is not None
    assert not toy.parking._holder._nudged  # later: nobody need know
    toy.due_at(HOUR)
    toy.time.set(HOUR)
    toy.due_at(HOUR - 1)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert [name for name, _ in toy.ticks] == ["0"]
    assert set(wakeups.of) <= {"0"}
    toy.deliver(*parked.calls)
    parked.left(*range(10))


def test_a_thread_that_parked_without_a_deadline_learns_of_one(toy: Toy) -> None:
    parked = Parked(toy, 1)
    toy.later = [0, 0]
    toy.due_at(0)
    for _ in range(3):
        assert toy.ticked.acquire(timeout=PATIENCE)
    toy.deliver(*parked.calls)
    parked.left(0)


def test_a_timer_that_runs_out_ticks_without_anybodys_help(toy: Toy) -> None:
    toy.deadline = 20_000_000  # 20 ms of real time: the toy's clock shows 0 all along
    parked = Parked(toy, 3)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert toy.ticks == [("0", 0)]
    toy.deliver(*parked.calls)
    parked.left(0, 1, 2)


def test_an_interrupt_while_parking_leaves_no_ghost_with_the_timer(toy: Toy) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    toy.on_enter = interrupt
    call = call_of()
    with pytest.raises(KeyboardInterrupt):
        toy.parking.wait(call)
    assert is_empty(toy.parking)
    assert call.wake is None
    toy.on_enter = lambda: None
    toy.deadline = 0
    parked = Parked(toy, 1)  # the next one gets the timer
    assert toy.ticked.acquire(timeout=PATIENCE)
    toy.deliver(*parked.calls)
    parked.left(0)
