"""Arrivals in a storm: who comes in, who waits, who is told when to come again."""

import asyncio

import pytest
from tests.support.options import arrivals as arrivals_of
from tests.unit.hub.kit import KEY, RememberingPort, TestReplica, publish, replicas, until, who

from anypod.core.errors import AnypodError
from anypod.hub.admission import HINT_S_MAX, LAG_S_MAX, SLOW_APPEND_S
from anypod.hub.attach_request import AttachRequest

FEW = arrivals_of(resumes_per_s=10)
AT_ONCE = 1
WAITING = 15  # those of the next second and a half


async def storm(here: TestReplica, count: int) -> list[RememberingPort]:
    """That many come back at the same moment."""
    await here.attached()  # a fresh one: another budget
    ports = []
    for index in range(count):
        peer, port = here.peer(f"guest-{index}")
        peer.begin(AttachRequest(KEY, after="tail"))
        ports.append(port)
    await asyncio.sleep(0)
    return ports


async def test_a_storm_comes_in_one_after_the_other_and_the_rest_is_told_when_to_come_again() -> None:
    async with replicas(arrivals=FEW) as (_, clock, (here,)):
        ports = await storm(here, AT_ONCE + WAITING + 10)
        assert sum(bool(port.of("session.restored")) for port in ports) == AT_ONCE
        clock.move(1.01)
        await until(lambda: sum(bool(port.of("session.restored")) for port in ports) == AT_ONCE + WAITING - 5)
        clock.move(0.5)
        await until(lambda: sum(bool(port.of("session.restored")) for port in ports) == AT_ONCE + WAITING)
        refusals = [port.refused for port in ports if port.refused is not None]
        assert len(refusals) == 10
        assert {(error.code, error.row.close) for error in refusals} == {("overloaded", 1013)}
        hints = [error.retry_after_ms or 0 for error in refusals]
        assert len(set(hints)) == 10, "each is told another moment"
        assert 1_000 < min(hints) < max(hints) < HINT_S_MAX * 1_100
        assert here.metrics.arrivals_waited["resume"] == WAITING
        assert here.metrics.arrivals_refused["resume"] == 10


async def test_who_is_told_a_time_and_comes_then_is_let_in() -> None:
    async with replicas(arrivals=FEW) as (_, clock, (here,)):
        ports = await storm(here, AT_ONCE + WAITING + 1)
        (refused,) = [port.refused for port in ports if port.refused is not None]
        clock.move((refused.retry_after_ms or 0) / 1_000)
        peer, port = here.peer("guest-again")
        peer.begin(AttachRequest(KEY, after="tail"))
        await asyncio.sleep(0)
        clock.move(0.2)  # the hint is a little different for each: those before it may not all be in
        await until(lambda: bool(port.of("session.restored")))


async def test_who_leaves_while_waiting_is_not_attached() -> None:
    async with replicas(arrivals=FEW) as (_, clock, (here,)):
        await storm(here, AT_ONCE)
        peer, port = here.peer("impatient")
        peer.begin(AttachRequest(KEY, after="tail"))
        peer.gone()
        clock.move(2)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not port.frames
        assert peer.subscriber not in here.hub.sessions[KEY].members


async def test_one_subject_does_not_use_up_what_all_have() -> None:
    async with replicas(arrivals=arrivals_of(subject_per_s=2)) as (_, _, (here,)):
        for _ in range(4):
            here.attachments.check_room(who("bob"))
        with pytest.raises(AnypodError) as refusal:
            here.attachments.check_room(who("bob"))  # two seconds' worth came in
        assert refusal.value.code == "overloaded"
        assert refusal.value.retry_after_ms
        here.attachments.check_room(who("cid"))


async def test_refusals_have_a_budget_of_their_own_and_beyond_it_connections_are_cut_late() -> None:
    async with replicas(arrivals=arrivals_of(refused_per_s=2)) as (_, clock, (here,)):
        told, cut = [], []
        for number in range(8):
            here.attachments.admission.refuse(lambda number=number: told.append(number), lambda number=number: cut.append(number))  # type: ignore[misc]
        assert (told, cut) == ([0], [])
        assert here.attachments.admission.wait_s("accept") == 0, "nothing is taken from those who may come in"
        for _ in range(4):
            await asyncio.sleep(0)
            clock.move(0.5)
        await until(lambda: len(told) + len(cut) == 8)
        assert (told, cut) == ([0, 1, 2, 3], [4, 5, 6, 7])


async def test_fewer_come_in_while_the_loop_is_late_or_the_store_is_slow() -> None:
    async with replicas() as (_, _, (here,)):
        waiting = here.attachments.admission
        waiting.note_lag(2 * LAG_S_MAX)
        after_lag = here.metrics.gauges["admission_pace"]()
        assert after_lag < 1
        here.metrics.append_seconds.observe(10 * SLOW_APPEND_S)
        waiting.note_lag(0.0)
        after_slow = here.metrics.gauges["admission_pace"]()
        assert after_slow < after_lag
        waiting.note_lag(0.0)
        assert here.metrics.gauges["admission_pace"]() > after_slow


async def test_publishers_are_served_while_arrivals_wait() -> None:
    async with replicas(arrivals=FEW) as (_, _, (here,)):
        peer, port = await here.attached()
        await storm(here, 100)
        peer.receive(publish("a"))
        await until(lambda: bool(port.of("published")))


async def test_a_row_of_polls_needs_no_permits() -> None:
    async with replicas(arrivals=arrivals_of(resumes_per_s=1, fresh_per_s=1, subject_per_s=1)) as (_, _, (here,)):
        await here.attached()
        for _ in range(20):
            polling, port = here.peer("bob")
            await here.attachments.open_again(polling.subscriber, AttachRequest(KEY, after="tail", may_create=False))
            assert port.of("session.restored")
            polling.gone()
