import asyncio
import json
import random
from itertools import pairwise

import pytest
from tests.unit.hub.kit import KEY, publish, replicas, until

from anypod.core.frames import Init
from anypod.core.identity import Subject
from anypod.hub.ask import Ask
from anypod.hub.drain import Drain, plan_drain
from anypod.hub.hub import Hub
from anypod.hub.requests import ask_of


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


async def test_a_resume_from_the_tail_is_one_delivery_that_everybody_from_there_shares() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached()
        for name in "abc":
            peer.receive(publish(name))
        await until(lambda: port.seqs == [1, 2, 3])
        after = port.of("event")[0]["cursor"]
        reads = here.metrics.replays
        ports = [(await here.attached("bob", Ask(KEY, after=after, resume=True)))[1] for _ in range(3)]
        assert here.metrics.replays == reads
        assert [one["type"] for one in ports[0].told] == ["session.restored", "event", "event", "sync.done"]
        assert all(one.frames[0] is ports[0].frames[0] for one in ports)


async def test_a_cold_session_is_read_once_for_all_who_come_together() -> None:
    async with replicas(2) as (_, _, (here, there)):
        peer, port = await here.attached()
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])
        ask = Ask(KEY, after=port.of("event")[0]["cursor"], resume=True)
        pairs = [there.peer("bob") for _ in range(20)]
        for late, _ in pairs:
            late.begin(ask)
        await until(lambda: all(one.of("sync.done") for _, one in pairs))
        assert there.metrics.replays <= 1


async def test_a_reader_that_takes_no_more_reads_on_from_the_log_without_gap_or_duplicate() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached()
        slow, full = await here.attached("bob", fills_after=3)
        for index in range(700):  # more than a tail holds
            peer.receive(publish(f"e{index}"))
            if index % 50 == 0:
                await until(lambda: here.publisher.in_flight == 0)
                here.clock.move(10)  # permits
        await until(lambda: len(port.seqs) == 700)
        assert full.seqs == list(range(1, len(full.seqs) + 1))
        assert len(full.seqs) < 700
        here.hub.catch_up.writable(slow.subscriber)
        await until(lambda: len(full.seqs) >= 700)
        assert full.seqs == list(range(1, 701))


async def test_a_reader_that_stays_full_is_told_to_resume_and_then_aborted() -> None:
    async with replicas() as (_, clock, (here,)):
        peer, _ = await here.attached()
        _, full = await here.attached("bob", fills_after=2)
        peer.receive(publish("a"))
        await until(lambda: bool(here.hub.stalled))
        clock.move(19)
        here.wheel.tick()
        assert full.subscriber in here.hub.stalled
        clock.move(2)
        here.wheel.tick()
        assert full.close_code == 4410
        clock.move(3)
        here.wheel.tick()
        assert full.is_aborted


async def test_a_cut_feed_is_a_barrier_after_which_nothing_is_missing() -> None:
    async with replicas(2) as (server, _, (here, there)):
        peer, _ = await here.attached()
        _, other = await there.attached("bob")
        peer.receive(publish("a"))
        server.cut_feeds()
        peer.receive(publish("b"))
        await until(lambda: other.seqs == [1, 2])
        assert there.metrics.barriers > 0


class _DeafHub(Hub):
    """Misses what the feed brings: only the heartbeat's question can find out."""

    def on_batch(self, batch: object) -> None:
        return


async def test_a_quiet_feed_is_checked_against_the_log_at_every_heartbeat() -> None:
    async with replicas(2) as (_, clock, (here, there)):
        peer, port = await here.attached()
        _, other = await there.attached("bob")
        there.hub.__class__ = _DeafHub  # the feed is silent from now on
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])
        assert other.seqs == []
        for _ in range(260):
            clock.move(0.1)
            there.wheel.tick()
        await until(lambda: other.seqs == [1])


async def test_heartbeats_reach_everybody_once_an_interval_and_silence_ends_a_connection() -> None:
    async with replicas() as (_, clock, (here,)):
        _, port = await here.attached()
        for _ in range(250):
            clock.move(0.1)
            here.wheel.tick()
        assert len(port.of("heartbeat")) == 1
        for _ in range(600):
            clock.move(0.1)
            here.wheel.tick()
        assert port.close_code == 4408


async def test_who_never_sends_session_init_is_sent_away() -> None:
    async with replicas() as (_, clock, (here,)):
        _, port = here.peer()
        clock.move(9)
        here.wheel.tick()
        assert here.attachments.opening
        clock.move(2)
        here.wheel.tick()
        assert port.refused is not None
        assert port.refused.row.close == 4400
        assert not here.attachments.opening


async def test_a_session_that_nobody_needs_is_unloaded_after_a_while() -> None:
    async with replicas(linger_s=30.0) as (_, clock, (here,)):
        peer, _ = await here.attached()
        peer.gone()
        for _ in range(250):
            clock.move(0.1)
            here.wheel.tick()
        assert KEY in here.hub.sessions
        for _ in range(350):
            clock.move(0.1)
            here.wheel.tick()
        assert KEY not in here.hub.sessions
        assert here.hub.tails.bytes == 0


async def test_a_device_that_attaches_again_replaces_itself_on_any_replica() -> None:
    async with replicas(2) as (_, _, (here, there)):
        ask = Ask(KEY, device="phone")
        _, first = await here.attached("ann", ask)
        _, second = await there.attached("ann", ask)
        await until(lambda: first.close_code is not None)
        assert (first.close_code, second.close_code) == (4409, None)


async def test_presence_is_told_to_those_who_ask_for_it_and_to_nobody_else() -> None:
    async with replicas(2) as (_, _, (here, there)):
        _, watcher = await here.attached("ann", Ask(KEY, features=("presence",)))
        await until(lambda: len(watcher.of("presence")) == 1)
        _, silent = await here.attached("cat")
        other, _ = await there.attached("bob", Ask(KEY, features=("presence",)))
        await until(lambda: len(watcher.of("presence")) == 2)
        assert watcher.of("presence")[1]["joined"][0]["author"] == "bob"
        other.receive(json.dumps({"type": "presence", "data": {"is": "typing"}}).encode())
        await until(lambda: len(watcher.of("presence")) == 3)
        other.gone()
        await until(lambda: len(watcher.of("presence")) == 4)
        assert watcher.of("presence")[3]["left"][0]["author"] == "bob"
        assert silent.of("presence") == []


async def test_who_only_publishes_gets_answers_and_no_events() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached("ann", Ask(KEY, features=("no_events",)))
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


async def test_after_a_lost_tail_everybody_is_told_where_the_histories_part() -> None:
    async with replicas(2) as (server, _, (here, there)):
        peer, mine = await here.attached()
        _, other = await there.attached("bob")
        peer.receive(publish("a"))
        await until(lambda: mine.seqs == other.seqs == [1])
        replicated = server.snapshot()
        peer.receive(publish("b"))
        await until(lambda: mine.seqs == other.seqs == [1, 2])
        server.fail_over(replicated)
        await until(lambda: bool(mine.of("session.reset")) and bool(other.of("session.reset")))
        for port in (mine, other):
            reset = port.of("session.reset")[0]
            assert reset["reason"] == "rolled_back"
            assert reset["common"] == port.of("event")[0]["cursor"]
        peer.receive(publish("c"))
        await until(lambda: all(port.of("event")[-1]["id"] == "c" for port in (mine, other)))
        assert mine.seqs == other.seqs == [1, 2, 2]


async def test_to_others_than_its_owner_a_deleted_session_was_never_there() -> None:
    async with replicas() as (_, _, (here,)):
        peer, _ = await here.attached("ann")
        await here.store.delete(KEY, Subject("ann"))
        await until(lambda: KEY not in here.hub.sessions)
        _, other = await here.attached("bob", Ask(KEY, resume=True))
        assert other.of("session.reset")[0]["reason"] == "unknown"
        await here.store.delete(KEY, Subject("bob"))
        await until(lambda: KEY not in here.hub.sessions)
        _, owner = await here.attached("bob", Ask(KEY, resume=True))
        assert owner.of("session.reset")[0]["reason"] == "deleted"
        peer.gone()


@pytest.mark.parametrize(("count", "window_s"), [(1, 10.0), (7, 3.0), (200, 20.0)])
def test_a_drain_is_spread_evenly_over_its_window(count: int, window_s: float) -> None:
    plan = plan_drain(count, window_s, random.Random(1))
    gaps = [after.at_s - before.at_s for before, after in pairwise(plan)]
    assert all(abs(gap - window_s / count) < 1e-9 for gap in gaps)
    assert plan[-1].at_s < window_s


async def test_a_drain_says_goodbye_to_everybody_and_aborts_who_does_not_read() -> None:
    async with replicas() as (_, clock, (here,)):
        pairs = [await here.attached(f"u{index}") for index in range(5)]
        stalled_peer, stalled = await here.attached("slow", fills_after=2)
        pairs[0][0].receive(publish("a"))
        await until(lambda: bool(here.hub.stalled))
        drain = asyncio.create_task(Drain(here.attachments, clock, random.Random(3)).run(6.0))
        gone: list[float] = []
        for _ in range(80):
            await asyncio.sleep(0)
            for peer, port in pairs:
                if port.close_code is not None and peer.subscriber in here.attachments.everybody:
                    gone.append(clock.now())
                    peer.gone()
            if stalled.is_aborted and stalled_peer.subscriber in here.attachments.everybody:
                stalled_peer.gone()
            clock.move(0.1)
        assert await drain == 6
        assert [port.close_code for _, port in pairs] == [1012] * 5
        assert all(port.of("goaway") for _, port in pairs)
        assert stalled.is_aborted
        assert max(gone) - min(gone) >= 3.0


def test_another_version_of_the_protocol_is_malformed() -> None:
    with pytest.raises(Exception, match="protocol 1"):
        ask_of(KEY, Init(protocol=2))
