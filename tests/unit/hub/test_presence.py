"""Who is there, and a device that is there twice."""

import json
from collections.abc import Iterable, Mapping, Sequence

from tests.unit.hub.kit import KEY, RememberingPort, TestClock, TestReplica, replicas, settled, until

from anypod.hub.attach_request import AttachRequest
from anypod.memory_store import MemoryStore
from anypod.store import Lives

WATCHING = AttachRequest(KEY, features=("presence",))


async def test_a_device_that_attaches_again_replaces_itself_on_any_replica() -> None:
    async with replicas(2) as (_, _, (here, there)):
        ask = AttachRequest(KEY, device="phone")
        _, first = await here.attached("ann", ask)
        _, second = await there.attached("ann", ask)
        await until(lambda: first.close_code is not None)
        assert (first.close_code, second.close_code) == (4409, None)


async def test_of_two_attachments_of_a_device_at_once_exactly_one_survives() -> None:
    for _ in range(30):
        async with replicas(2) as (_, _, (here, there)):
            ask = AttachRequest(KEY, device="phone")
            await here.attached("ann")
            (one, first), (other, second) = here.peer("ann"), there.peer("ann")
            one.begin(ask)
            other.begin(ask)
            await settled()
            assert sorted([first.close_code or 0, second.close_code or 0]) == [0, 4409]


async def test_presence_is_told_to_those_who_ask_for_it_and_to_nobody_else() -> None:
    async with replicas(2) as (_, _, (here, there)):
        _, watcher = await here.attached("ann", AttachRequest(KEY, features=("presence",)))
        await until(lambda: len(watcher.of("presence")) == 1)
        _, silent = await here.attached("cat")
        other, _ = await there.attached("bob", AttachRequest(KEY, features=("presence",)))
        await until(lambda: len(watcher.of("presence")) == 2)
        assert watcher.of("presence")[1]["joined"][0]["author"] == "bob"
        other.receive(json.dumps({"type": "presence", "data": {"is": "typing"}}).encode())
        await until(lambda: len(watcher.of("presence")) == 3)
        other.gone()
        await until(lambda: len(watcher.of("presence")) == 4)
        assert watcher.of("presence")[3]["left"][0]["author"] == "bob"
        assert silent.of("presence") == []


async def a_while(clock: TestClock, made: Iterable[TestReplica], seconds: int) -> None:
    """The seconds pass one by one, and every replica does what comes round."""
    for _ in range(seconds):
        clock.move(1)
        for replica in made:
            replica.presence.every_second(clock.now())
        await settled()


def seen_by(port: RememberingPort) -> list[str]:
    """The authors that a client takes for present after all that it was told."""
    view = dict[str, str]()
    for frame in port.of("presence"):
        for entry in frame.get("left", ()):
            view.pop(entry["id"], None)
        view |= {entry["id"]: entry["author"] for entry in (*frame.get("joined", ()), *frame.get("updated", ()))}
    return sorted(view.values())


async def test_a_client_that_came_just_before_a_long_outage_of_the_store_is_present_again_afterwards() -> None:
    """The replica had said that it lives by nothing but this entry when its life ended, and others forgot the entry."""
    async with replicas(2) as (server, clock, (here, there)):
        _, watcher = await here.attached("ann", WATCHING)
        await a_while(clock, (here, there), 1)
        await there.attached("bob", WATCHING)
        await settled()
        server.stop()
        await a_while(clock, (here, there), 12)
        server.start()
        await a_while(clock, (here, there), 5)
        assert seen_by(watcher) == ["ann", "bob"]


async def test_an_entry_written_after_a_life_had_ended_does_not_hide_that_it_had() -> None:
    """It is written before the next sign of life, which then finds a life that holds: but others have forgotten all the entries."""
    async with replicas(2) as (_, clock, (here, there)):
        _, watcher = await here.attached("ann", WATCHING)
        await there.attached("bob", WATCHING)
        cat, _ = await there.attached("cat", WATCHING)
        await a_while(clock, (here, there), 4)
        await a_while(clock, (here,), 14)  # the other one stalls
        assert seen_by(watcher) == ["ann"]
        cat.receive(b'{"type":"presence","data":1}')
        await settled()
        await a_while(clock, (here, there), 5)
        assert seen_by(watcher) == ["ann", "bob", "cat"]


async def test_a_partition_whose_node_did_not_answer_is_not_forgotten() -> None:
    """The others were answered meanwhile, and the life ended in this one alone."""
    async with replicas() as (server, clock, (other,)):
        store = SilentAtTimes(server)
        here = TestReplica(store, clock, "silent")
        await here.hub.start()
        _, watcher = await other.attached("ann", WATCHING)
        await here.attached("bob", WATCHING)
        await a_while(clock, (here, other), 4)
        store.is_silent = True
        await a_while(clock, (here, other), 14)
        assert seen_by(watcher) == ["ann"]
        store.is_silent = False
        await a_while(clock, (here, other), 5)
        assert seen_by(watcher) == ["ann", "bob"]
        await here.hub.close()


async def test_a_replica_takes_another_life_once_for_an_end() -> None:
    async with replicas(2) as (server, clock, (here, there)):
        await here.attached("ann", WATCHING)
        await there.attached("bob", WATCHING)
        await a_while(clock, (here, there), 4)
        first = here.presence.life
        server.stop()
        await a_while(clock, (here, there), 12)
        server.start()
        await a_while(clock, (here, there), 4)
        second = here.presence.life
        await a_while(clock, (here, there), 40)
        assert first != second == here.presence.life


class SilentAtTimes(MemoryStore):
    """Signs of life get no answer while `is_silent`, as those for a node that is away while others answer."""

    is_silent = False

    async def keep_life(self, life: str, partitions: Sequence[int]) -> Mapping[int, Lives]:
        return {} if self.is_silent else await super().keep_life(life, partitions)
