"""A question is put once for all who ask it at about the same time, and again for whoever cannot do with an earlier answer."""

import asyncio

from tests.unit.hub.kit import TestClock

from anypod.redis_store.topology.discovery import Singleflight

FRESH_S = 0.2


class Asked:
    """`takes_s`: how long an answer takes."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.clock = TestClock()
        self.times = 0
        self._takes_s = takes_s
        self.question = Singleflight(self._put, self.clock, FRESH_S)

    async def _put(self) -> None:
        self.times += 1
        await asyncio.sleep(0)
        self.clock.move(self._takes_s)


async def test_an_answer_serves_for_a_while() -> None:
    asked = Asked()
    await asyncio.gather(*(asked.question.recent() for _ in range(3)))
    assert asked.times == 1
    asked.clock.move(FRESH_S / 2)
    await asked.question.recent()
    assert asked.times == 1
    asked.clock.move(FRESH_S)
    await asked.question.recent()
    assert asked.times == 2


async def test_an_answer_that_took_long_serves_whoever_has_waited_for_it() -> None:
    asked = Asked(takes_s=1.0)
    await asyncio.gather(*(asked.question.recent() for _ in range(3)))
    assert asked.times == 1


async def test_whoever_wants_it_renewed_shares_no_answer_to_an_earlier_question() -> None:
    asked = Asked(takes_s=0.01)
    earlier = asyncio.create_task(asked.question.recent())
    await asyncio.sleep(0)
    later = [asyncio.create_task(asked.question.renewed()) for _ in range(3)]
    await asyncio.gather(earlier, *later)
    assert asked.times == 2, "all of the later ones share one"
