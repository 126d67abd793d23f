"""Of several attachments of a device the newest survives, whatever became of what the replicas told each other."""

from tests.unit.hub.kit import KEY, RememberingPort, TestClock, TestReplica, replicas, settled, until

from anypod.core.notices import DeviceNotice, encode_notice
from anypod.hub.attach_request import AttachRequest
from anypod.hub.housekeeping import TICK_S
from anypod.memory_store import MemoryServer

PHONE = AttachRequest(KEY, device="phone")


def number_of(replica: TestReplica) -> int:
    """Of the claim by which somebody holds the place there; 0: it is not settled, or nobody does."""
    session = replica.hub.sessions.get(KEY)
    place = (session.devices or {}).get(("ann", "phone")) if session is not None else None
    return place.number if place is not None else 0


async def attached_unheard(server: MemoryServer, there: TestReplica) -> RememberingPort:
    """An attachment of whose claim no replica hears: the feeds break in the moment in which it is told."""
    peer, port = there.peer("ann")
    peer.begin(PHONE)
    await until(lambda: number_of(there) > 0)
    server.cut_feeds()
    await settled()
    return port


async def a_round(clock: TestClock, *there: TestReplica) -> None:
    """An interval of heartbeats, in which every replica asks what it has missed."""
    for _ in range(round(25 / TICK_S)):
        clock.move(TICK_S)
        for replica in there:
            for subscriber in replica.attachments.schedule:
                subscriber.heard_at = clock.now()  # its client is there
            replica.housekeeping.tick()
        await settled(10)


async def test_a_lost_notice_is_made_up_for_within_an_interval_and_the_newest_survives() -> None:
    async with replicas(2) as (server, clock, (here, there)):
        _, old = await here.attached("ann", PHONE)
        await settled()
        clock.move(60)
        new = await attached_unheard(server, there)
        assert (old.close_code, new.close_code) == (None, None)
        await a_round(clock, here, there)
        assert (old.close_code, new.close_code) == (4409, None)


async def test_after_a_lost_notice_of_a_claim_made_just_before_the_older_one_is_told_to_come_again() -> None:
    async with replicas(2) as (server, clock, (here, there)):
        _, old = await here.attached("ann", PHONE)
        await settled()
        clock.move(1)
        new = await attached_unheard(server, there)
        await a_round(clock, here, there)
        assert (old.close_code, new.close_code) == (1012, None)
        assert here.metrics.claims_uncertain == 1
        _, again = await here.attached("ann", PHONE)
        await until(lambda: new.close_code is not None)
        assert (new.close_code, again.close_code) == (4409, None)


async def test_late_and_repeated_notices_of_older_claims_do_no_harm() -> None:
    async with replicas(2) as (server, _, (here, there)):
        _, old = await here.attached("ann", PHONE)
        await until(lambda: number_of(here) > 0)
        notice = DeviceNotice(device="phone", author="ann", attachment=here_id(old), claim=number_of(here))
        _, new = await there.attached("ann", PHONE)
        await until(lambda: old.close_code is not None)
        for _ in range(3):
            server.publish(KEY, encode_notice(notice))
        await settled()
        assert (old.close_code, new.close_code) == (4409, None)


async def test_while_the_store_is_away_everybody_stays_and_the_claims_settle_later() -> None:
    async with replicas(2) as (server, clock, (here, there)):
        for replica in (here, there):
            await replica.attached("bob")  # the session is loaded, so that one can attach from the tail
        server.stop()
        tail = AttachRequest(KEY, after="tail", device="phone")
        (_, first), (_, second) = await here.attached("ann", tail), await there.attached("ann", tail)
        await settled()
        assert (first.close_code, second.close_code) == (None, None)
        clock.move(2)
        server.start()
        for _ in range(5):
            clock.move(TICK_S)
            here.housekeeping.tick()
            there.housekeeping.tick()
            await settled()
        # Each was claimed before the other's claim was over: the one that lost comes again, and then there is no doubt.
        assert sorted([first.close_code or 0, second.close_code or 0]) == [0, 1012]
        left = first if first.close_code is None else second
        _, again = await here.attached("ann", tail)
        await until(lambda: left.close_code is not None)
        assert (left.close_code, again.close_code) == (4409, None)


async def test_an_attachment_that_was_gone_before_its_claim_came_ends_nobody() -> None:
    async with replicas(2) as (server, _, (here, there)):
        await here.attached("bob")
        _, real = await there.attached("ann", PHONE)
        await until(lambda: number_of(there) > 0)
        ghost, _ = here.peer("ann")
        ghost.begin(PHONE)
        await until(lambda: (head := server.heads([KEY])[KEY]) is not None and head.claim > number_of(there))
        ghost.gone()
        await settled()
        assert real.close_code is None
        assert await here.store.claims([(KEY, "phone/ann")]) == [0]


async def test_an_older_version_tells_no_number_and_replaces_what_was_there_before() -> None:
    async with replicas() as (server, clock, (here,)):
        _, old = await here.attached("ann", PHONE)
        await until(lambda: number_of(here) > 0)
        clock.move(3)
        server.publish(KEY, encode_notice(DeviceNotice(device="phone", author="ann", attachment="elsewhere")))
        await until(lambda: old.close_code == 4409)


async def test_an_older_version_at_the_same_moment_is_told_again_and_does_not_end_what_has_just_come() -> None:
    async with replicas() as (server, _, (here,)):
        _, port = await here.attached("ann", PHONE)
        await until(lambda: number_of(here) > 0)
        before = number_of(here)
        server.publish(KEY, encode_notice(DeviceNotice(device="phone", author="ann", attachment="elsewhere")))
        await until(lambda: number_of(here) > before)
        assert port.close_code is None


def here_id(port: RememberingPort) -> str:
    assert port.subscriber is not None
    return port.subscriber.id
