"""An owner that has stored as many bytes as it may publishes nothing more, wherever it is published, until it deletes."""

import pytest
from tests.support.options import CONNECTIONS_MAX
from tests.unit.hub.kit import CHAT, KEY, TestReplica, replicas, until

from anypod.core.errors import AnypodError
from anypod.core.event import author_json, draft
from anypod.core.identity import SessionId, SessionKey, Subject, TenantId
from anypod.core.permits import Allowance, Allowances
from anypod.hub.publisher import FULL_S, TOUCH_S, Publication
from anypod.store import Creation, Patch

ANN = Subject("ann")
OTHER = SessionKey(TenantId("acme"), SessionId("s2"))
NARROW = Allowances(
    subject=Allowance(1_000, 1 << 20, 10, 10_000), tenant=Allowance(1_000, 1 << 20, 10, 1 << 30), connections_max=CONNECTIONS_MAX
)


async def publish(replica: TestReplica, key: SessionKey, name: str) -> None:
    drafts = (draft(name, "message", b'"%b"' % (b"x" * 1_000), author=author_json(ANN), ts_ms=1),)
    await replica.publisher.append(Publication(key, drafts))


async def fill(replica: TestReplica, key: SessionKey) -> int:
    """How many events went in before one was refused."""
    for number in range(20):
        try:
            await publish(replica, key, f"e{number}")
        except AnypodError:
            return number
    return 20


async def settled(replica: TestReplica) -> None:
    await until(lambda: not len(replica.hub.tasks))


async def test_a_subject_stores_so_much_and_what_it_deletes_makes_room() -> None:
    async with replicas(2, allowances=NARROW) as (_, clock, (one, two)):
        for key in (KEY, OTHER):
            await one.store.create(Creation(key, ANN, CHAT, "epoch001", 10))
        await publish(one, OTHER, "small")
        await settled(one)
        assert 7 <= await fill(one, KEY) <= 9
        with pytest.raises(AnypodError, match="stored as many bytes"):
            await publish(one, OTHER, "beside")
        await publish(two, OTHER, "unheard")  # another replica has not heard of it
        await settled(two)
        with pytest.raises(AnypodError, match="stored as many bytes"):
            await publish(two, OTHER, "heard")  # from its first touch on it has
        await two.store.delete(KEY, ANN)
        clock.move(TOUCH_S)
        with pytest.raises(AnypodError, match="stored as many bytes"):
            await publish(one, OTHER, "asks")
        await settled(one)
        await publish(one, OTHER, "room")  # there is room
        clock.move(FULL_S)
        await publish(one, OTHER, "stays")  # and stays


async def test_an_owner_that_is_full_may_go_on_reading_and_patching() -> None:
    async with replicas(1, allowances=NARROW) as (_, _, (one,)):
        await one.store.create(Creation(KEY, ANN, CHAT, "epoch001", 10))
        await fill(one, KEY)
        await one.publisher.append(Publication(KEY, (), patch=Patch(1, state=b"{}")))
