import gc
import weakref

import pytest
from tests.unit.hub.kit import RememberingPort, TestReplica, replicas, who

from anypod.hub.heartbeat_schedule import HeartbeatSchedule
from anypod.hub.session import Subscriber


def someone(replica: TestReplica, name: str) -> Subscriber:
    return Subscriber(
        RememberingPort(replica), who(name), name, 0.0, account=replica.hub.accounts.of(who(name)), flow=replica.layer.recovery
    )


async def test_each_has_one_turn_in_a_round() -> None:
    async with replicas() as (_, _, (here,)):
        roster = HeartbeatSchedule(slots=4)
        roster.turn()
        ann = someone(here, "ann")
        roster.add(ann)
        turns = [ann in roster.turn() for _ in range(8)]
        assert sum(turns[:4]) == 1
        assert turns[:4] == turns[4:]


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_whoever_comes_is_spread_over_the_round_all_at_once_or_over_time(turns: int) -> None:
    async with replicas() as (_, _, (here,)):
        roster = HeartbeatSchedule(slots=4)
        for number in range(8):
            roster.add(someone(here, f"s{number}"))
            for _ in range(turns):
                roster.turn()
        assert [len(roster.turn()) for _ in range(4)] == [2, 2, 2, 2]
        assert len(roster) == len(list(roster)) == 8


async def test_who_has_left_is_held_by_nothing_not_even_until_its_next_turn() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached()
        here.housekeeping.tick()
        held = weakref.ref(port)
        assert len(here.attachments.schedule) == 1
        peer.gone()
        assert not here.attachments.schedule
        del peer, port
        gc.collect()
        assert held() is None


async def test_leaving_twice_is_the_same_as_once() -> None:
    async with replicas() as (_, _, (here,)):
        roster, ann, bob = HeartbeatSchedule(slots=2), someone(here, "ann"), someone(here, "bob")
        roster.add(ann)
        roster.add(bob)
        roster.discard(ann)
        roster.discard(ann)
        assert list(roster) == [bob]
        assert ann not in roster
