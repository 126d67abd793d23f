"""The network is as cruel as TCP is, and no crueller."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import ROOM_BYTES, Bytes, End, Item, Line


class Ends:
    """A line and what came out of it."""

    def __init__(self, seed: int) -> None:
        self.client: list[Item] = []
        self.replica: list[Item] = []
        self.rooms = 0
        self.line = Line(random.Random(seed), self.client.append)
        self.line.to_replica = self.replica.append
        self.line.on_room = self.count_room

    def count_room(self) -> None:
        self.rooms += 1


def told(check: Callable[[Ends], Awaitable[None]], seed: int = 1) -> None:
    async def main() -> None:
        await check(Ends(seed))

    SimulatedLoop(random.Random(seed)).run(main())


def numbered(count: int) -> list[Item]:
    return [Bytes(b"%d" % number) for number in range(count)]


@pytest.mark.parametrize("seed", range(10))
def test_each_direction_keeps_its_order_and_takes_time(seed: int) -> None:
    async def check(ends: Ends) -> None:
        for item in numbered(50):
            ends.line.down.send(item)
            ends.line.up.send(item)
            await asyncio.sleep(0)
        assert ends.client == ends.replica == []
        await asyncio.sleep(1)
        assert ends.client == ends.replica == numbered(50)

    told(check, seed)


def test_a_close_comes_after_what_was_sent_before_it() -> None:
    async def check(ends: Ends) -> None:
        ends.line.down.send(Bytes(b"last"))
        ends.line.leave_replica(1012, "leaving")
        await asyncio.sleep(1)
        assert ends.client == [Bytes(b"last"), End(1012, "leaving")]
        assert not ends.line.is_up

    told(check)


def test_a_client_that_left_hears_nothing_and_the_replica_learns_of_it() -> None:
    async def check(ends: Ends) -> None:
        ends.line.up.send(Bytes(b"publish"))
        ends.line.down.send(Bytes(b"event"))
        ends.line.leave_client()
        await asyncio.sleep(1)
        assert ends.client == []
        assert ends.replica == [Bytes(b"publish"), End(1001)]

    told(check)


def test_a_reset_loses_what_is_on_its_way_and_both_ends_learn_of_it_once() -> None:
    async def check(ends: Ends) -> None:
        ends.line.down.send(Bytes(b"event"))
        ends.line.reset()
        ends.line.down.send(Bytes(b"later"))
        await asyncio.sleep(1)
        assert ends.client == ends.replica == [End(1006, "connection lost")]

    told(check)


def test_a_black_hole_tells_nobody() -> None:
    async def check(ends: Ends) -> None:
        ends.line.black_hole()
        ends.line.down.send(Bytes(b"event"))
        ends.line.up.send(Bytes(b"publish"))
        await asyncio.sleep(100)
        assert ends.client == ends.replica == []
        assert ends.line.is_up

    told(check)


def test_a_reader_that_stalls_fills_the_line_and_room_is_told_once_when_it_reads_again() -> None:
    async def check(ends: Ends) -> None:
        ends.line.down.stall()
        frames = [Bytes(b"x" * 1_000)] * (ROOM_BYTES // 1_000 + 1)
        for frame in frames:
            assert not ends.line.down.is_full
            ends.line.down.send(frame)
        assert ends.line.down.is_full
        await asyncio.sleep(10)
        assert ends.client == []
        assert ends.rooms == 0
        ends.line.down.flow()
        await asyncio.sleep(1)
        assert ends.client == frames
        assert ends.rooms == 1

    told(check)
