"""Who hears what, and who does not: events, answers, signals and patches, over several replicas."""

import json

from tests.unit.hub.kit import KEY, publish, replicas, until

from anypod.hub.attach_request import AttachRequest


async def test_whoever_is_attached_hears_an_event_once_on_every_replica() -> None:
    async with replicas(2) as (_, _, (here, there)):
        peer, mine = await here.attached()
        _, other = await there.attached("bob")
        peer.receive(publish("a"))
        await until(lambda: mine.seqs == other.seqs == [1] and bool(mine.of("published")))


async def test_every_subscriber_gets_the_same_bytes() -> None:
    async with replicas(2) as (_, _, (here, there)):
        peer, mine = await here.attached()
        _, other = await there.attached("bob")
        peer.receive(publish("a"))
        await until(lambda: bool(mine.seqs) and bool(other.seqs))
        assert next(f for f in mine.frames if b'"event"' in f) == next(f for f in other.frames if b'"event"' in f)


async def test_publishes_of_one_read_are_judged_each_by_itself() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached()
        peer.receive(publish("a"))
        await until(lambda: bool(port.of("published")))
        for frame in (publish("a", data="other"), publish("b"), publish("b"), publish("c")):
            peer.take(frame)
        peer.flush()
        await until(lambda: len(port.of("published")) == 4 and len(port.of("error")) == 1)
        assert port.of("error")[0]["code"] == "conflict"
        assert [(one["id"], one["duplicate"]) for one in port.of("published")] == [("a", False), ("b", False), ("b", True), ("c", False)]
        assert port.seqs == [1, 2, 3]


async def test_who_only_publishes_gets_answers_and_no_events() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached("ann", AttachRequest(KEY, features=("no_events",)))
        _, other = await here.attached("bob")
        peer.receive(publish("a"))
        await until(lambda: bool(port.of("published")) and other.seqs == [1])
        assert port.seqs == []


async def test_a_signal_reaches_only_whom_it_is_for_and_is_not_logged() -> None:
    async with replicas(2) as (_, _, (here, there)):
        peer, mine = await here.attached()
        _, bob = await there.attached("bob")
        _, cat = await there.attached("cat")
        peer.receive(b'{"type":"signal","name":"nudge","data":1,"to":"bob"}')
        await until(lambda: bool(bob.of("signal")))
        assert bob.of("signal")[0]["from"] == {"author": "ann"}
        assert mine.of("signal") == cat.of("signal") == []
        page = await here.store.read(KEY, 0, limit=10)
        assert page.frames == []  # type: ignore[union-attr]


async def test_patches_of_the_same_state_at_the_same_time_are_all_kept() -> None:
    async with replicas(2) as (_, _, (here, there)):
        pairs = [await replica.attached() for replica in (here, there, here, there)]
        for index, (peer, _) in enumerate(pairs):
            peer.receive(json.dumps({"type": "state.patch", "state": {f"k{index}": index}}).encode())
        await until(lambda: all(port.of("published") for _, port in pairs))
        page = await here.store.read(KEY, None, limit=0)
        assert json.loads(page.snapshot.state) == {"k0": 0, "k1": 1, "k2": 2, "k3": 3}  # type: ignore[union-attr]
