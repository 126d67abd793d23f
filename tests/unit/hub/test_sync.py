"""What a client asks for while it is still being served is not forgotten."""

import json

import pytest
from tests.unit.hub.kit import TestReplica, publish, replicas, until

from anypod.hub.client_connection import ClientConnection


def sync(after: str) -> bytes:
    return json.dumps({"type": "sync", "after": after, "ref": "s"}).encode()


async def fill(here: TestReplica, peer: ClientConnection, names: str) -> None:
    for name in names:
        peer.receive(publish(name))
    await until(lambda: here.publisher.in_flight == 0)


@pytest.mark.parametrize("after", ["start", "tail", "nobody's cursor"])
async def test_a_sentinel_that_is_asked_for_while_behind_is_gone_to_once_the_place_is_proven(after: str) -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached()
        slow, full = await here.attached("bob", fills_after=3)  # the opening, its end, and the first event
        await fill(here, peer, "a")
        await until(lambda: slow.subscriber in here.hub.stalled)
        await fill(here, peer, "bc")
        await until(lambda: port.seqs == [1, 2, 3])
        seen = list(full.seqs)
        slow.receive(sync(after))
        slow.subscriber.resume()
        await until(lambda: any(one.get("ref") == "s" for one in full.of("sync.done")))
        wanted = {"start": [1, 2, 3], "tail": [], "nobody's cursor": [1, 2, 3]}[after]
        assert full.seqs == seen + wanted
        assert [one["reason"] for one in full.of("session.reset")] == (["unknown"] if "cursor" in after else [])
        assert len([one for one in full.of("sync.done") if one.get("ref") == "s"]) == 1
        await fill(here, peer, "d")
        await until(lambda: full.seqs[-1] == 4)


async def test_a_cursor_that_is_asked_for_while_behind_is_served_from_where_the_replica_had_come_to() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached()
        slow, full = await here.attached("bob", fills_after=3)
        await fill(here, peer, "a")
        await until(lambda: slow.subscriber in here.hub.stalled)
        await fill(here, peer, "bc")
        await until(lambda: port.seqs == [1, 2, 3])
        slow.receive(sync(port.of("event")[0]["cursor"]))
        slow.subscriber.resume()
        await until(lambda: any(one.get("ref") == "s" for one in full.of("sync.done")))
        assert full.seqs == [1, 2, 3]


def beat(cursor: str) -> bytes:
    return json.dumps({"type": "heartbeat", "cursor": cursor}).encode()


async def test_a_heartbeat_that_names_a_lost_place_brings_no_second_reset_and_one_that_names_a_shared_place_what_follows() -> None:
    """Its client has not read yet that the place is lost."""
    async with replicas() as (server, _, (here,)):
        peer, port = await here.attached()
        await fill(here, peer, "ab")
        kept = server.snapshot()
        await fill(here, peer, "cd")
        await until(lambda: port.seqs == [1, 2, 3, 4])
        shared, lost = port.of("event")[1]["cursor"], port.of("event")[2]["cursor"]
        server.fail_over(kept)
        await until(lambda: len(port.of("session.reset")) == 1)
        await fill(here, peer, "ef")
        await until(lambda: port.seqs == [1, 2, 3, 4, 3, 4])
        for _ in range(2):  # what was sent before the first is a whole interval old at the second
            peer.receive(beat(lost))
        peer.receive(beat(shared))
        await until(lambda: port.seqs == [1, 2, 3, 4, 3, 4, 3, 4])
        assert len(port.of("session.reset")) == 1
