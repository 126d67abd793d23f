"""Those who wait for their permit: in order, a few in each turn of the loop."""

import asyncio
import logging

import pytest
import uvloop
from tests.unit.hub.kit import TestClock, until

from anypod.clock import SystemClock
from anypod.hub.admission import AT_ONCE_MAX, TICK_S, PacedQueue
from anypod.hub.background import Tasks
from anypod.telemetry import Metrics


async def test_each_is_called_when_it_is_due_and_not_before() -> None:
    clock, called = TestClock(), list[str]()
    queue = PacedQueue(clock, Tasks(Metrics()))
    queue.join(clock.now() + 1, lambda: called.append("first"))
    queue.join(clock.now() + 2, lambda: called.append("second"))
    await asyncio.sleep(0)
    assert called == []
    clock.move(1)
    await until(lambda: called == ["first"])
    assert len(queue) == 1
    clock.move(1)
    await until(lambda: called == ["first", "second"])


@pytest.mark.parametrize(("late_ticks", "at_once"), [(0, 1), (3, 4), (10 * AT_ONCE_MAX, AT_ONCE_MAX)])
async def test_of_a_crowd_that_is_due_each_turn_of_the_loop_calls_more_the_later_they_are(late_ticks: int, at_once: int) -> None:
    clock, called = TestClock(), list[int]()
    queue = PacedQueue(clock, Tasks(Metrics()))
    due_at = clock.now()
    clock.move((late_ticks + 0.5) * TICK_S)
    for number in range(10 * AT_ONCE_MAX):
        queue.join(due_at, lambda number=number: called.append(number))  # type: ignore[misc]
    most = 0
    while len(called) < 10 * AT_ONCE_MAX:
        before = len(called)
        await asyncio.sleep(0)
        most = max(most, len(called) - before)
    assert most == at_once
    assert called == sorted(called)


class CountingClock(SystemClock):
    sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


def test_who_is_due_in_less_than_a_tick_is_waited_for_asleep() -> None:
    """The loop that serves takes so short a sleep for none: it would turn thousands of times instead."""
    clock = CountingClock()

    async def wait_for_the_last() -> None:
        queue, is_over = PacedQueue(clock, Tasks(Metrics())), asyncio.Event()
        for number in range(1, 20):
            queue.join(clock.now() + number * TICK_S / 3, lambda: None)
        queue.join(clock.now() + 20 * TICK_S / 3, is_over.set)
        await is_over.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(wait_for_the_last())
    assert clock.sleeps <= 20


async def test_one_that_fails_is_counted_and_keeps_nobody_behind_it_waiting(caplog: pytest.LogCaptureFixture) -> None:
    clock, called, metrics = TestClock(), list[str](), Metrics()
    queue = PacedQueue(clock, Tasks(metrics))

    def fail() -> None:
        raise ValueError("as planned")

    queue.join(clock.now(), fail)
    queue.join(clock.now(), lambda: called.append("second"))
    with caplog.at_level(logging.CRITICAL):
        await until(lambda: called == ["second"])
    assert metrics.errors["internal"] == 1


async def test_who_joins_after_all_were_called_is_called_too() -> None:
    clock, called = TestClock(), list[str]()
    tasks = Tasks(Metrics())
    queue = PacedQueue(clock, tasks)
    queue.join(clock.now(), lambda: called.append("first"))
    await until(lambda: called == ["first"] and len(tasks) == 0)
    queue.join(clock.now(), lambda: called.append("second"))
    await until(lambda: called == ["first", "second"])
