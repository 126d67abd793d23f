"""What time brings about: heartbeats, and the end of whoever is silent, stalled, late or not needed."""

from tests.unit.hub.kit import KEY, publish, replicas, until

from anypod.hub.housekeeping import TICK_S


async def test_a_reader_that_stays_full_is_told_to_resume_and_then_aborted() -> None:
    async with replicas() as (_, clock, (here,)):
        peer, _ = await here.attached()
        _, full = await here.attached("bob", fills_after=2)
        peer.receive(publish("a"))
        await until(lambda: bool(here.hub.stalled))
        clock.move(19)
        here.housekeeping.tick()
        assert full.subscriber in here.hub.stalled
        clock.move(2)
        here.housekeeping.tick()
        assert full.close_code == 4410
        clock.move(3)
        here.housekeeping.tick()
        assert full.is_aborted


async def test_heartbeats_reach_everybody_once_an_interval_and_silence_ends_a_connection() -> None:
    async with replicas() as (_, clock, (here,)):
        _, port = await here.attached()
        for _ in range(round(25 / TICK_S)):
            clock.move(TICK_S)
            here.housekeeping.tick()
        assert len(port.of("heartbeat")) == 1
        for _ in range(round(60 / TICK_S)):
            clock.move(TICK_S)
            here.housekeeping.tick()
        assert port.close_code == 4408


async def test_who_never_sends_session_init_is_sent_away() -> None:
    async with replicas() as (_, clock, (here,)):
        _, port = here.peer()
        clock.move(9)
        here.housekeeping.tick()
        assert here.attachments.opening
        clock.move(2)
        here.housekeeping.tick()
        assert port.refused is not None
        assert port.refused.row.close == 4400
        assert not here.attachments.opening


async def test_a_session_that_nobody_needs_is_unloaded_after_a_while() -> None:
    async with replicas(linger_s=30.0) as (_, clock, (here,)):
        peer, _ = await here.attached()
        peer.gone()
        for _ in range(round(25 / TICK_S)):
            clock.move(TICK_S)
            here.housekeeping.tick()
        assert KEY in here.hub.sessions
        for _ in range(round(35 / TICK_S)):
            clock.move(TICK_S)
            here.housekeeping.tick()
        assert KEY not in here.hub.sessions
        assert here.hub.tails.bytes == 0


async def test_a_connection_that_is_old_enough_is_asked_to_find_another_replica_and_no_two_together() -> None:
    async with replicas(max_connection_age_s=100.0, heartbeat_ms=1_000, silence_ms=1_000_000) as (_, clock, (here,)):
        ports = [(await here.attached(f"u{index}"))[1] for index in range(20)]
        ended: dict[int, float] = {}
        began = clock.now()
        while clock.now() < began + 160:
            clock.move(TICK_S)
            here.housekeeping.tick()
            for index, port in enumerate(ports):
                if port.closed is not None:
                    ended.setdefault(index, clock.now() - began)
        assert len(ended) == 20
        assert min(ended.values()) >= 80
        assert max(ended.values()) <= 120 + 1
        assert max(ended.values()) - min(ended.values()) > 20
        assert all(len(told := port.of("goaway")) == 1 and told[0]["reason"] == "aged" and port.close_code == 1012 for port in ports)
        assert here.metrics.sent_away["aged"] == 20


async def test_without_an_age_nobody_is_asked_to_go() -> None:
    async with replicas() as (_, clock, (here,)):
        peer, port = await here.attached()
        for _ in range(100):
            clock.move(3_600)
            peer.heard()
            here.housekeeping.tick()
        assert port.closed is None
