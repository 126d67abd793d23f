"""What was missed is read as seldom as can be, and a slow reader reads on from the log."""

from tests.support.options import arrivals as arrivals_of
from tests.unit.hub.kit import KEY, publish, replicas, until

from anypod.hub.attach_request import AttachRequest


async def test_a_resume_from_the_tail_is_one_delivery_that_everybody_from_there_shares() -> None:
    async with replicas() as (_, _, (here,)):
        peer, port = await here.attached()
        for name in "abc":
            peer.receive(publish(name))
        await until(lambda: port.seqs == [1, 2, 3])
        after = port.of("event")[0]["cursor"]
        reads = here.metrics.replays
        ports = [(await here.attached("bob", AttachRequest(KEY, after=after, resume=True)))[1] for _ in range(3)]
        assert here.metrics.replays == reads
        assert [one["type"] for one in ports[0].told] == ["session.restored", "event", "event", "sync.done"]
        assert all(one.frames[0] is ports[0].frames[0] for one in ports)


async def test_a_recovery_is_measured_from_the_arrival_to_the_end_of_the_replay() -> None:
    async with replicas(arrivals=arrivals_of(resumes_per_s=1)) as (_, clock, (here,)):
        recoveries = here.metrics.recovery_seconds
        peer, port = await here.attached()
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])
        assert not sum(recoveries.counts), "who begins recovers from nothing"
        served_from_log, served_from_tail = "start", port.of("event")[0]["cursor"]
        await here.attached("bob", AttachRequest(KEY, after=served_from_tail, resume=True))
        assert (sum(recoveries.counts), recoveries.sum) == (1, 0.0)
        here.peer("bob")[0].begin(AttachRequest(KEY, after=served_from_log, resume=True))
        clock.move(1.0)  # until there is a permit
        await until(lambda: sum(recoveries.counts) == 2)
        assert recoveries.sum == 1.0


async def test_a_cold_session_is_read_once_for_all_who_come_together() -> None:
    async with replicas(2) as (_, _, (here, there)):
        peer, port = await here.attached()
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])
        ask = AttachRequest(KEY, after=port.of("event")[0]["cursor"], resume=True)
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
        slow.subscriber.resume()
        await until(lambda: len(full.seqs) >= 700)
        assert full.seqs == list(range(1, 701))
