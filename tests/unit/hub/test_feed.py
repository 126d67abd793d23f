"""A feed that was cut, is silent or lost its end: nobody misses anything without being told."""

from tests.unit.hub.kit import publish, replicas, until

from anypod.hub.hub import Hub


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
            there.housekeeping.tick()
        await until(lambda: other.seqs == [1])


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
