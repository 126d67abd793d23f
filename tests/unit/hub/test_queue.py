"""Those who wait for their permit: in order, a few in each turn of the loop."""

import asyncio
import logging

import pytest
from tests.unit.hub.kit import TestClock, until

from anypod.hub.queue import AT_ONCE_MAX, Queue
from anypod.hub.tasks import Tasks
from anypod.telemetry import Metrics


async def test_each_is_called_when_it_is_due_and_not_before() -> None:
    clock, called = TestClock(), list[str]()
    queue = Queue(clock, Tasks(Metrics()))
    queue.join(clock.now() + 1, lambda: called.append("first"))
    queue.join(clock.now() + 2, lambda: called.append("second"))
    await asyncio.sleep(0)
    assert called == []
    clock.move(1)
    await until(lambda: called == ["first"])
    assert len(queue) == 1
    clock.move(1)
    await until(lambda: called == ["first", "second"])


async def test_of_a_crowd_that_is_due_at_once_a_few_are_called_in_each_turn_of_the_loop() -> None:
    clock, called = TestClock(), list[int]()
    queue = Queue(clock, Tasks(Metrics()))
    for number in range(10 * AT_ONCE_MAX):
        queue.join(clock.now(), lambda number=number: called.append(number))  # type: ignore[misc]
    most = 0
    while len(called) < 10 * AT_ONCE_MAX:
        before = len(called)
        await asyncio.sleep(0)
        most = max(most, len(called) - before)
    assert most <= AT_ONCE_MAX
    assert called == sorted(called)


async def test_one_that_fails_is_counted_and_keeps_nobody_behind_it_waiting(caplog: pytest.LogCaptureFixture) -> None:
    clock, called, metrics = TestClock(), list[str](), Metrics()
    queue = Queue(clock, Tasks(metrics))

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
    queue = Queue(clock, tasks)
    queue.join(clock.now(), lambda: called.append("first"))
    await until(lambda: called == ["first"] and len(tasks) == 0)
    queue.join(clock.now(), lambda: called.append("second"))
    await until(lambda: called == ["first", "second"])
