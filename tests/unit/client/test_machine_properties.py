"""Whatever happens on the way, the application has the log and every publish is settled once."""

import random
from collections import Counter

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from tests.unit.client.small_world import SmallWorld, Wire

from anypod.client.machine.options import Options
from anypod.client.machine.transport_fallback import Wanted
from anypod.core.event import Receipt
from anypod.core.frames import Event, GoawayFrame, HeartbeatFrame

MOVES = (
    "open", "open", "take", "take", "take", "bring", "bring", "bring", "publish", "publish", "publish", "other", "sleep", "calm",
    "cut", "cut while opening", "lose a frame", "repeat a frame", "refuse", "goaway", "heartbeat", "post", "lost post", "be away",
)  # fmt: skip
CLOSE_CODES = (1001, 1006, 1012, 1013, 4408, 4410, 4429)
Script = list[tuple[str, int]]
scripts = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 7)), min_size=60, max_size=160)


def one_of(world: SmallWorld, choice: int, *, is_open: bool) -> int | None:
    numbers = [number for number, wire in world.connections.items() if wire.is_open is is_open]
    return numbers[choice % len(numbers)] if numbers else None


def move(world: SmallWorld, name: str, choice: int) -> None:
    """Do one thing, if it can be done."""
    number = one_of(world, choice, is_open=name not in ("open", "cut while opening"))
    wire = world.connections[number] if number is not None else None
    match name:
        case "publish":
            world.publish(f"mine{len(world.offered)}")
        case "other":
            world.append(f"other{len(world.log)}.{world.term}")
        case "sleep":
            world.sleep()
        case "refuse":
            world.refuse_next += 1
        case "be away" if not world.posts:  # no request takes as long
            world.be_away()
        case "calm":
            world.settle_down()
        case "fail over":
            world.fail_over(choice)
        case "post" | "lost post" if world.posts:
            world.answer_post(is_lost=name == "lost post")
        case _ if number is not None and wire is not None:
            move_link(world, number, wire, (name, choice))


def move_link(world: SmallWorld, number: int, wire: Wire, act: tuple[str, int]) -> None:
    name, choice = act
    match name:
        case "open":
            world.open(number)
        case "cut" | "cut while opening":
            world.cut(number, CLOSE_CODES[choice % len(CLOSE_CODES)])
        case "take" if wire.up:
            world.replica_takes(wire)
        case "bring" if wire.down:
            world.bring(number)
        case "goaway":
            wire.down.append(GoawayFrame(reason="draining", reconnect_after_ms=100 * choice))
        case "heartbeat" if wire.sent is not None:
            wire.down.append(HeartbeatFrame(cursor=world.log[wire.sent - 1].cursor if wire.sent else "0-0", ts=1))
        case "lose a frame" if wire.down and isinstance(wire.down[0], Event):
            wire.down.popleft()
        case "repeat a frame" if wire.down and isinstance(wire.down[0], Event):
            wire.down.appendleft(wire.down[0])
        case _:
            pass


def play(script: Script, transport: Wanted, in_flight_max: int, seed: int) -> SmallWorld:
    note(f"seed {seed}")
    world = SmallWorld(Options(transport=transport, in_flight_max=in_flight_max), random.Random(seed).random)
    world.append("first")
    world.settle_down()  # a session in use is the interesting one
    for name, choice in script:
        move(world, name, choice)
    world.refuse_next = 0
    world.append("last")
    world.settle_down()
    return world


@pytest.mark.parametrize("transport", ["auto", "websocket", "sse"])
@settings(max_examples=100, deadline=None)
@given(script=scripts, in_flight_max=st.sampled_from([1, 4]), seed=st.integers(0, 1 << 16))
def test_the_application_has_the_log_and_each_publish_is_in_it_once(
    transport: Wanted, script: Script, in_flight_max: int, seed: int
) -> None:
    world = play(script, transport, in_flight_max, seed)

    assert world.applied == world.log
    assert set(world.settled) == set(world.offered)
    by_id = {event.id: event for event in world.log}
    for event_id, outcome in world.settled.items():
        assert isinstance(outcome, Receipt)
        assert (outcome.seq, outcome.cursor) == (by_id[event_id].seq, by_id[event_id].cursor)
    assert max(Counter(event.id for event in world.log).values()) == 1


@settings(max_examples=100, deadline=None)
@given(script=scripts, seed=st.integers(0, 1 << 16))
def test_with_one_publish_in_flight_at_a_time_their_order_is_kept_whatever_is_refused(script: Script, seed: int) -> None:
    world = play(script, "websocket", 1, seed)
    assert [event.id for event in world.log if event.id.startswith("mine")] == world.offered


@settings(max_examples=100, deadline=None)
@given(
    script=st.lists(st.tuples(st.sampled_from((*MOVES, "fail over", "fail over")), st.integers(0, 7)), min_size=60, max_size=160),
    seed=st.integers(0, 1 << 16),
)
def test_after_failovers_that_lose_the_tail_the_application_has_the_log_that_is_left(script: Script, seed: int) -> None:
    script = [(name, choice) for name, choice in script if name != "lose a frame"]
    world = play(script, "websocket", 4, seed)
    assert world.applied == world.log
    assert set(world.settled) == set(world.offered)
