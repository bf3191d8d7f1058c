"""Tasks that wait for a mailbox: one timer for a loop, and threads and tasks side by side."""

import asyncio
import threading
from typing import Any, cast

import pytest

from llmcore.call import Call
from support.parked import HOUR, PATIENCE, Parked, Taken, Toy, call_of, is_empty, until


async def parked_tasks(toy: Toy, count: int) -> tuple[list[Call], list[asyncio.Task[None]]]:
    calls = [call_of() for _ in range(count)]
    tasks = [asyncio.create_task(toy.parking.wait_async(call)) for call in calls]
    await asyncio.sleep(0)  # each runs to where it waits
    assert all(call.wake is not None for call in calls)
    return calls, tasks


def count_timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """Every timer that is set on the running loop from here."""
    loop = asyncio.get_running_loop()
    handles: list[asyncio.TimerHandle] = []
    call_later = loop.call_later

    def counted(delay: float, *arguments: Any, **more: Any) -> asyncio.TimerHandle:
        handles.append(call_later(delay, *arguments, **more))
        return handles[-1]

    monkeypatch.setattr(loop, "call_later", counted)
    return handles


async def test_a_message_wakes_its_own_task_and_no_other(toy: Toy) -> None:
    calls, tasks = await parked_tasks(toy, 20)
    toy.deliver(calls[7])
    await asyncio.wait_for(tasks[7], PATIENCE)
    assert [task.done() for task in tasks].count(True) == 1
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert is_empty(toy.parking)


async def test_a_message_from_another_thread_wakes_the_task(toy: Toy) -> None:
    calls, tasks = await parked_tasks(toy, 2)
    await asyncio.to_thread(toy.deliver, *calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert is_empty(toy.parking)


async def test_a_loop_has_one_timer_however_many_wait(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    handles = count_timers(monkeypatch)
    toy.deadline = HOUR
    calls, tasks = await parked_tasks(toy, 50)
    assert len(handles) == 1
    toy.due_at(2 * HOUR)  # later: it stays as it is
    assert len(handles) == 1
    toy.due_at(HOUR // 2)
    assert [handle.cancelled() for handle in handles] == [True, False]
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert handles[1].cancelled()


async def test_a_timer_that_fires_says_what_it_was_set_for(toy: Toy) -> None:
    """A loop's timer may be early by its resolution; the engine must see the deadline as come all the same."""
    toy.deadline = 1
    calls, tasks = await parked_tasks(toy, 3)
    await until(lambda: bool(toy.ticks))
    assert [at for _, at in toy.ticks] == [1]
    assert toy.clock.now()[0] == 0
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


async def test_a_timer_that_fired_is_set_for_the_next_deadline(toy: Toy) -> None:
    toy.deadline, toy.later = 1, [2, 3]
    calls, tasks = await parked_tasks(toy, 2)
    await until(lambda: len(toy.ticks) == 3)
    assert [at for _, at in toy.ticks] == [1, 2, 3]
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


async def test_a_deadline_moved_by_another_thread_rearms_the_timer(toy: Toy) -> None:
    toy.deadline = HOUR
    calls, tasks = await parked_tasks(toy, 3)
    await asyncio.to_thread(toy.due_at, 5)
    await until(lambda: bool(toy.ticks))
    assert [at for _, at in toy.ticks] == [5]
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


async def test_a_cancelled_task_leaves_nothing_behind(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    handles = count_timers(monkeypatch)
    toy.deadline = HOUR
    calls, tasks = await parked_tasks(toy, 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert is_empty(toy.parking)
    assert handles[0].cancelled()
    toy.deliver(*calls)  # nobody is there: nothing happens


async def test_threads_and_tasks_wait_side_by_side(toy: Toy) -> None:
    calls, tasks = await parked_tasks(toy, 2)
    for _ in calls:
        assert toy.entered.acquire(timeout=PATIENCE)
    parked = Parked(toy, 2)
    toy.deliver(*parked.calls)
    await asyncio.to_thread(parked.left, 0, 1)
    toy.due_at(0)  # the threads are gone, and with them their timer: the loop has its own
    await until(lambda: bool(toy.ticks))
    assert toy.ticks[0][0] == threading.current_thread().name
    toy.deliver(*calls)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


def test_a_loop_that_was_closed_under_its_tasks_harms_nobody_else(toy: Toy) -> None:
    loop = asyncio.new_event_loop()
    call = call_of()
    task = loop.create_task(toy.parking.wait_async(call))
    loop.run_until_complete(asyncio.sleep(0))
    assert call.wake is not None
    loop.close()
    parked = Parked(toy, 1)
    other = threading.Thread(target=toy.due_at, args=(0,))
    other.start()
    other.join(PATIENCE)
    assert toy.ticked.acquire(timeout=PATIENCE)
    assert toy.ticks[0] == ("0", 0)
    toy.deliver(call, *parked.calls)
    parked.left(0)
    cast("Any", task)._log_destroy_pending = False  # its complaint is what this test is about
    toy.lock = cast("threading.Lock", Taken())  # whoever collects the task may have it
    waiting = task.get_coro()
    assert waiting is not None
    waiting.close()
    assert is_empty(toy.parking)
