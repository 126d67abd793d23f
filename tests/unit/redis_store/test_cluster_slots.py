"""What the nodes of a cluster say of its slots, and which word holds."""

from binascii import crc_hqx
from typing import Any

from tests.support.options import redis_options_of

from anypod.clock import SystemClock
from anypod.core.identity import PARTITIONS, SessionId, SessionKey, TenantId, partition
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.topology.cluster import Claim, ClusterTopology, newest, partition_of, partition_slots, read_view
from anypod.redis_store.url import Deployment, Endpoint

ASKED = Endpoint("seed", 1)
A, B = Endpoint("a", 1), Endpoint("b", 2)


def slots(*ranges: tuple[int, int, bytes | None, int, bytes]) -> Any:
    return [[first, last, [host, port, name, []], [b"replica", 9, b"r", []]] for first, last, host, port, name in ranges]


def nodes(own: bytes, **epochs: int) -> bytes:
    lines = [
        f"{name} 10.0.0.1:1@2 {'myself,' if name == own.decode() else ''}master - 0 0 {epoch} connected" for name, epoch in epochs.items()
    ]
    return "\n".join(lines).encode()


def test_each_partition_has_the_claim_of_the_range_that_its_slot_is_in() -> None:
    view = read_view(slots((0, 8_191, b"a", 1, b"x"), (8_192, 16_383, b"b", 2, b"y")), nodes(b"x", x=3, y=4), ASKED)
    assert len(view) == PARTITIONS
    assert {(slot < 8_192, claim) for slot, claim in zip(partition_slots(), view, strict=True)} == {
        (True, Claim(True, 3, A)),
        (False, Claim(False, 4, B)),
    }


def test_a_node_that_does_not_tell_where_it_is_is_where_it_was_asked() -> None:
    for host in (None, b"", b"?"):
        view = read_view(slots((0, 16_383, host, 7, b"x")), nodes(b"x", x=1), ASKED)
        assert set(view) == {Claim(True, 1, Endpoint("seed", 7))}


def test_slots_that_nobody_serves_have_no_claim() -> None:
    assert set(read_view(slots(), nodes(b"x", x=1), ASKED)) == {None}


def test_what_a_node_says_of_itself_holds_against_what_is_said_of_others() -> None:
    said, own = Claim(False, 9, A), Claim(True, 4, B)
    for views in ([[said], [own]], [[own], [said]]):
        assert newest(views) == [own]


def test_of_two_that_speak_of_themselves_or_of_others_the_newer_holds() -> None:
    for is_own in (True, False):
        old, new = Claim(is_own, 4, B), Claim(is_own, 5, A)
        assert newest([[old], [new]]) == newest([[new], [old]]) == [new]


def test_where_nobody_claims_there_is_none() -> None:
    claim = Claim(False, 1, A)
    assert newest([[None, None], [None, claim], [None, None]]) == [None, claim]


def test_the_partition_of_a_name_is_that_of_its_session() -> None:
    keyspace = Keyspace("any.pod-1")
    for number in range(300):
        key = SessionKey(TenantId("acme"), SessionId(f"s{number}"))
        names = keyspace.session(key)
        assert {partition_of(name) for name in (names.meta, names.log, names.channel)} == {partition(key)}
        assert partition_slots()[partition(key)] == crc_hqx(names.meta[names.meta.index(b"{") + 1 : names.meta.index(b"}")], 0) % 16_384


async def test_when_no_node_answers_the_owners_stay_who_they_were() -> None:
    options = redis_options_of("redis+cluster://a:1,b:2")
    topology = ClusterTopology(Deployment.parse(options), options, SystemClock())
    topology._take([[Claim(True, 1, A)] * PARTITIONS])
    topology._take([])
    assert topology._owners == [A] * PARTITIONS
