"""A replica leaves: its clients go evenly, and nobody holds it up."""

import asyncio
import random
from itertools import pairwise

import pytest
from tests.unit.hub.kit import publish, replicas, until

from anypod.hub.drain import Drain, plan_drain


@pytest.mark.parametrize(("count", "window_s"), [(1, 10.0), (7, 3.0), (200, 20.0)])
def test_a_drain_is_spread_evenly_over_its_window(count: int, window_s: float) -> None:
    plan = plan_drain(count, window_s)
    gaps = [after - before for before, after in pairwise(plan)]
    assert all(abs(gap - window_s / count) < 1e-9 for gap in gaps)
    assert plan[-1] < window_s


async def test_a_drain_says_goodbye_to_everybody_and_aborts_who_does_not_read() -> None:
    async with replicas() as (_, clock, (here,)):
        pairs = [await here.attached(f"u{index}") for index in range(5)]
        stalled_peer, stalled = await here.attached("slow", fills_after=2)
        pairs[0][0].receive(publish("a"))
        await until(lambda: bool(here.hub.stalled))
        drain = asyncio.create_task(Drain(here.attachments, here.layer.goaway, clock, random.Random(3)).run(6.0))
        gone: list[float] = []
        for _ in range(80):
            await asyncio.sleep(0)
            for peer, port in pairs:
                if port.close_code is not None and peer.subscriber in here.attachments.schedule:
                    gone.append(clock.now())
                    peer.gone()
            if stalled.is_aborted and stalled_peer.subscriber in here.attachments.schedule:
                stalled_peer.gone()
            clock.move(0.1)
        assert await drain == 6
        assert [port.close_code for _, port in pairs] == [1012] * 5
        assert all(port.of("goaway") for _, port in pairs)
        assert stalled.is_aborted
        assert max(gone) - min(gone) >= 3.0
