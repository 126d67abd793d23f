"""A session's name may come to be another owner's while somebody is attached to it. Nobody is told by whom it does not reach."""

import asyncio
from collections.abc import Sequence

from tests.store.kit import event
from tests.unit.hub.kit import CHAT, KEY, RememberingPort, TestReplica, publish, replicas, until

from anypod.auth import Principal
from anypod.core.identity import Subject, TenantId
from anypod.hub.attach_request import AttachRequest
from anypod.hub.client_connection import ClientConnection
from anypod.hub.session import SessionPhase
from anypod.memory_store import MemoryServer
from anypod.store import Append, Creation


def own(subject: str) -> Principal:
    """Reaches what it has created."""
    return Principal(TenantId("acme"), Subject(subject), expires_at=2_000_000_000)


async def attached(
    replica: TestReplica, subject: str, features: Sequence[str] = (), ask: AttachRequest | None = None
) -> tuple[ClientConnection, RememberingPort]:
    port = RememberingPort(replica)
    peer = ClientConnection(replica.layer, port, own(subject), KEY)
    port.subscriber = peer.subscriber
    peer.begin(ask or AttachRequest(KEY, features=features))
    await until(lambda: bool(port.frames) or port.refused is not None or port.closed is not None)
    return peer, port


def passes_to(server: MemoryServer, owner: str) -> None:
    """Deleted, and made anew with one event by another subject, while no replica hears of it."""
    server.stop()
    server.delete(KEY, None)
    server.create(Creation(KEY, Subject(owner), CHAT, "epoch002", sessions_max=10))
    server.append(Append(KEY, [event("secret")]))
    server.start()


async def settled(replica: TestReplica) -> None:
    await until(lambda: not len(replica.hub.tasks))
    for _ in range(20):
        await asyncio.sleep(0)


async def test_who_is_attached_is_sent_away_before_anything_of_the_new_session_is_told() -> None:
    async with replicas() as (server, _, (here,)):
        peer, port = await attached(here, "ann")
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])
        passes_to(server, "bob")
        await until(lambda: port.closed is not None)
        await settled(here)
        assert port.close_code == 4404
        assert b"secret" not in b"".join(port.frames)
        assert b"epoch002" not in b"".join(port.frames)


async def test_who_reads_a_replay_meanwhile_gets_no_page_of_it() -> None:
    async with replicas() as (server, _, (here,)):
        peer, port = await attached(here, "ann")
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])
        peer.subscriber.pause()
        passes_to(server, "bob")
        peer.subscriber.resume()
        await until(lambda: port.closed is not None)
        await settled(here)
        assert port.close_code == 4404
        assert b"secret" not in b"".join(port.frames)


async def test_who_attaches_to_what_the_replica_still_knows_as_its_own_is_refused_by_the_log() -> None:
    async with replicas() as (server, _, (here,)):
        peer, port = await attached(here, "ann")
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])
        peer.gone()
        here.hub.sessions[KEY].move(SessionPhase.RESYNCING)  # the read that tells the replica of it is still on its way
        passes_to(server, "bob")
        _, again = await attached(here, "ann", ask=AttachRequest(KEY, after="start"))
        assert again.refused is not None or again.close_code == 4404, again.told
        assert b"secret" not in b"".join(again.frames)


async def test_who_hears_no_events_reads_and_signals_nothing_of_anothers_session() -> None:
    async with replicas() as (server, _, (here,)):
        peer, port = await attached(here, "ann", ("no_events",))
        passes_to(server, "bob")
        _, bob = await attached(here, "bob")
        for frame in (
            b'{"type":"history","ref":1}',
            b'{"type":"signal","name":"x","data":1,"ref":2}',
            b'{"type":"presence","data":1,"ref":3}',
        ):
            peer.receive(frame)
        peer.receive(publish("b", ref=4))
        await until(lambda: len(port.of("error")) == 4)
        await settled(here)
        told = {error["ref"]: error["code"] for error in port.of("error")}
        assert told == {1: "no_such_session", 2: "no_such_session", 3: "malformed", 4: "no_such_session"}
        assert port.of("history") == bob.of("signal") == bob.of("presence") == []
        assert bob.seqs == [1]
