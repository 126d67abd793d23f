"""What one subject uses up, no other subject lacks; and who has used it up is refused, waits, or is not read from."""

import asyncio
import json

import pytest
from tests.support.options import CONNECTIONS_MAX
from tests.support.options import arrivals as arrivals_of
from tests.unit.hub.kit import KEY, TestClock, publish, replicas, until, who

from anypod.core.errors import AnypodError
from anypod.core.permits import REFUSAL_S_MAX, Allowance, Allowances
from anypod.hub.accounts import REQUESTS_AT_ONCE, REQUESTS_WAITING_MAX, Accounts
from anypod.hub.attach_request import AttachRequest

PLENTY = Allowance(1_000_000, 1 << 30, 1_000, 1 << 30)


def of_subject(**narrow: int) -> Allowances:
    fields = {"permits_per_s": 1_000_000, "read_bytes_per_s": 1 << 30, "connections_max": 1_000, "stored_bytes_max": 1 << 30} | narrow
    return Allowances(subject=Allowance(**fields), tenant=PLENTY, connections_max=CONNECTIONS_MAX)


async def test_a_subject_without_permits_is_refused_and_not_read_from() -> None:
    async with replicas(allowances=of_subject(permits_per_s=10)) as (_, clock, (here,)):
        ann, port = await here.attached("ann")
        more, second = await here.attached("ann")
        bob, other = await here.attached("bob")
        for peer in (ann, more):
            for number in range(6):
                peer.receive(publish(f"{id(peer)}.{number}"))
        await until(lambda: len(port.of("published")) == 6 and len(second.of("published")) == 4)
        assert [frame["code"] for frame in second.of("error")] == ["rate_limited"] * 2
        assert second.of("error")[0]["retry_after_ms"] > 0
        assert (port.held_s, second.held_s) == (0.0, REFUSAL_S_MAX)
        bob.receive(publish("bob"))
        await until(lambda: len(other.of("published")) == 1)
        clock.move(1.0)
        more.receive(publish("later"))
        await until(lambda: len(second.of("published")) == 5)


@pytest.mark.parametrize(
    ("frame", "cost"),
    [
        ({"type": "history", "limit": 1}, 10),
        ({"type": "sync", "after": "tail"}, 10),
        ({"type": "state.patch", "state": {}}, 10),
        ({"type": "auth", "token": "ann"}, 10),
        ({"type": "signal", "name": "x", "data": 1}, 2),
        ({"type": "presence", "data": 1}, 2),
        ({"type": "heartbeat"}, 1),
    ],
)
async def test_every_frame_takes_permits(frame: dict[str, object], cost: int) -> None:
    async with replicas(allowances=of_subject(permits_per_s=20)) as (_, _, (here,)):
        ann, port = await here.attached("ann")
        for _ in range(20 // cost):
            ann.receive(json.dumps(frame).encode())
            await until(lambda: not len(here.hub.tasks))
        assert not port.of("error")
        ann.receive(json.dumps(frame).encode())
        assert [told["code"] for told in port.of("error")] == ["rate_limited"]


async def test_a_tenant_is_limited_whatever_its_subjects_are_called() -> None:
    narrow = Allowances(subject=PLENTY, tenant=Allowance(10, 1 << 30, 100, 1 << 30), connections_max=CONNECTIONS_MAX)
    async with replicas(allowances=narrow) as (_, _, (here,)):
        ports = []
        for number in range(12):
            peer, port = await here.attached(f"subject-{number}")
            peer.receive(publish(f"e{number}"))
            ports.append(port)
        await until(lambda: sum(len(port.of("published")) for port in ports) == 10)
        assert sum(len(port.of("error")) for port in ports) == 2


async def test_a_subject_has_so_many_connections_and_a_place_is_free_when_one_goes() -> None:
    async with replicas(allowances=of_subject(connections_max=2)) as (_, _, (here,)):
        first, _ = await here.attached("ann")
        await here.attached("ann")
        with pytest.raises(AnypodError, match="subject has as many") as refusal:
            here.attachments.check_room(who("ann"))
        assert (refusal.value.row.close, refusal.value.retry_after_ms) == (1013, 2_000)
        here.attachments.check_room(who("bob"))
        first.gone()
        first.gone()
        here.attachments.check_room(who("ann"))
        assert here.hub.accounts.of(who("ann")).connections == 1


async def test_a_replica_has_so_many_connections() -> None:
    async with replicas(allowances=Allowances(subject=PLENTY, tenant=PLENTY, connections_max=1)) as (_, _, (here,)):
        await here.attached("ann")
        with pytest.raises(AnypodError) as refusal:
            here.attachments.check_room(who("bob"))
        assert refusal.value.code == "overloaded"


async def test_a_reader_whose_bytes_are_used_up_waits_for_its_next_page_and_misses_nothing() -> None:
    async with replicas(allowances=of_subject(read_bytes_per_s=20_000)) as (_, clock, (here,)):
        writer, port = await here.attached("writer")
        for number in range(60):
            writer.receive(publish(f"e{number}", data="x" * 1_000))
        await until(lambda: len(port.of("published")) == 60)
        peer, greedy = here.peer("ann")
        peer.begin(AttachRequest(KEY, after="start"))
        await until(lambda: bool(greedy.of("sync.done")))
        peer, again = here.peer("ann")
        peer.begin(AttachRequest(KEY, after="start"))
        for _ in range(50):
            await until(lambda: True)
        assert not again.seqs, "it waits: three seconds' worth was read"
        peer, modest = here.peer("bob")
        peer.begin(AttachRequest(KEY, after="start"))
        await until(lambda: bool(modest.of("sync.done")))
        clock.move(4.0)
        await until(lambda: bool(again.of("sync.done")))
        assert again.seqs == greedy.seqs == list(range(1, 61))


async def test_few_requests_of_a_subject_are_worked_on_at_once_and_few_more_wait() -> None:
    async with replicas() as (_, _, (here,)):
        bulkhead = here.hub.accounts.bulkhead(here.hub.accounts.of(who("ann")))
        waiting = [asyncio.ensure_future(bulkhead.enter()) for _ in range(REQUESTS_AT_ONCE + REQUESTS_WAITING_MAX)]
        await asyncio.sleep(0)
        assert sum(one.done() for one in waiting) == REQUESTS_AT_ONCE
        with pytest.raises(AnypodError, match="at once"):
            await bulkhead.enter()
        for _ in waiting:
            bulkhead.leave()
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)


def accounts_of(subject_per_s: float, recent_max: int = 10) -> Accounts:
    arrivals = arrivals_of(tenant_per_s=1_000_000, subject_per_s=subject_per_s)
    return Accounts(
        Allowances(subject=PLENTY, tenant=PLENTY, connections_max=CONNECTIONS_MAX), TestClock(), arrivals, recent_max=recent_max
    )


def test_each_subject_has_an_account_of_its_own_and_keeps_it() -> None:
    accounts = accounts_of(1)
    ann = accounts.of(who("ann"))
    assert [ann.arrive(100.0) == 0 for _ in range(3)] == [True, True, False]
    assert accounts.of(who("bob")).arrive(100.0) == 0
    assert accounts.of(who("ann")) is ann


def test_the_account_unused_for_longest_begins_anew_when_there_are_too_many_and_a_connected_one_never() -> None:
    accounts = accounts_of(1, recent_max=2)
    kept = {"eve": accounts.of(who("eve"))}
    accounts.enter(kept["eve"])
    kept |= {name: accounts.of(who(name)) for name in ("alice", "bob")}
    accounts.of(who("alice"))
    accounts.of(who("carol"))
    assert accounts.of(who("eve")) is kept["eve"], "it is connected"
    assert accounts.of(who("alice")) is kept["alice"], "used a moment ago"
    assert accounts.of(who("bob")) is not kept["bob"], "forgotten"
    accounts.leave(kept["eve"])
    for name in ("dan", "fay"):
        accounts.of(who(name))
    assert accounts.of(who("eve")) is not kept["eve"], "without a connection it is one of the others"
