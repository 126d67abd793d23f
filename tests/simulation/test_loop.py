"""The loop is the ground that every world stands on: it is tested before it is believed."""

import asyncio
import random

import pytest
from tests.simulation.loop import FIFO_SHARE, RunFailedError, SimulatedLoop


def loop(seed: int = 1, **bounds: float) -> SimulatedLoop:
    return SimulatedLoop(random.Random(seed), **bounds)  # type: ignore[arg-type]


async def letters_in_the_order_they_ran() -> str:
    written: list[str] = []

    async def write(letter: str) -> None:
        written.append(letter)
        await asyncio.sleep(0)
        written.append(letter.upper())

    async with asyncio.TaskGroup() as group:
        for letter in "abcdef":
            group.create_task(write(letter))
    return "".join(written)


def test_one_seed_gives_one_order() -> None:
    assert {loop(7).run(letters_in_the_order_they_ran()) for _ in range(5)} == {loop(7).run(letters_in_the_order_they_ran())}


def test_seeds_give_many_orders_and_some_give_asyncios_own() -> None:
    orders = [loop(seed).run(letters_in_the_order_they_ran()) for seed in range(200)]
    assert len(set(orders)) > 100
    assert 0.5 * FIFO_SHARE < orders.count("abcdefABCDEF") / 200 < 2 * FIFO_SHARE


def test_time_jumps_to_the_next_timer_and_costs_nothing() -> None:
    async def main() -> tuple[float, float]:
        await asyncio.sleep(1_000)
        before = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(500):
                await asyncio.Event().wait()
        return before, asyncio.get_running_loop().time()

    assert loop().run(main()) == (1_000, 1_500)


def test_a_cancelled_timer_neither_fires_nor_moves_the_clock() -> None:
    async def main() -> float:
        asyncio.get_running_loop().call_later(50, pytest.fail).cancel()
        await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert loop().run(main()) == 1


@pytest.mark.parametrize("seed", range(20))
def test_primitives_of_asyncio_hold_in_any_order(seed: int) -> None:
    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
        lock, seen = asyncio.Lock(), list[int]()

        async def produce() -> None:
            for number in range(20):
                await queue.put(number)

        async def consume() -> None:
            while True:
                async with lock:  # get and note are one step: two consumers must not overtake each other
                    seen.append(await queue.get())

        consumers = [asyncio.create_task(consume()) for _ in range(3)]
        await produce()
        while len(seen) < 20:  # noqa: ASYNC110 (the condition is a list's)
            await asyncio.sleep(0)
        for consumer in consumers:
            consumer.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
        return seen

    assert loop(seed).run(main()) == list(range(20))


def test_a_deadlock_is_told_with_who_waits() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RunFailedError, match=r"deadlock at 0\.000 s(.|\n)*main"):
        loop().run(main())


def test_a_busy_loop_ends_at_the_bound_of_steps() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110 (the loop is the point)
            await asyncio.sleep(0)

    with pytest.raises(RunFailedError, match="no end after 1001 callbacks"):
        loop(steps_max=1_000).run(main())


def test_timers_without_end_end_at_the_bound_of_time() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110 (the loop is the point)
            await asyncio.sleep(1)

    with pytest.raises(RunFailedError, match="no end after 61 virtual seconds"):
        loop(seconds_max=60).run(main())


def test_an_exception_in_a_callback_fails_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 // 0)
        await asyncio.sleep(2)

    with pytest.raises(RunFailedError, match="ZeroDivisionError"):
        loop().run(main())


def test_an_exception_in_a_task_that_nobody_awaits_fails_the_run() -> None:
    async def fail() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        assert task.done()

    with pytest.raises(RunFailedError, match="unseen"):
        loop().run(main())


def test_what_is_left_running_is_cancelled_at_the_end() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")

    async def main() -> None:
        left = asyncio.create_task(forever())
        await asyncio.sleep(1)
        assert not left.done()

    loop().run(main())
    assert ended == ["forever"]


def test_a_thread_is_refused() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon_threadsafe(print)

    with pytest.raises(RunFailedError, match="one thread"):
        loop().run(main())
