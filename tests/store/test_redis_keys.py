"""Names of keys: apart for every session, together for each, and even over a cluster."""

from binascii import crc_hqx
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.redis_servers import free_port, running

from anypod.core.identity import PARTITIONS, SessionId, SessionKey, Subject, TenantId
from anypod.redis_store.keys import NAMES_MAX, SLOTS, Keyspace, hash_tag

tenants = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True).map(TenantId)
names = st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True).map(SessionId)
keys = st.builds(SessionKey, tenants, names)
subjects = st.text(max_size=256).map(Subject)


def slot(name: bytes) -> int:
    """Of the hash tag, as Redis Cluster counts it."""
    return crc_hqx(name[name.index(b"{") + 1 : name.index(b"}")], 0) % SLOTS


def all_names(keyspace: Keyspace, key: SessionKey) -> list[bytes]:
    names = keyspace.session(key)
    return [names.meta, names.log, names.deltas, names.live, names.presence, names.channel]


@given(st.lists(keys, unique=True, max_size=30), st.lists(st.tuples(tenants, subjects), unique=True, max_size=10))
def test_two_sessions_never_share_a_key_nor_does_an_index(sessions: list[SessionKey], owners: list[tuple[TenantId, Subject]]) -> None:
    keyspace = Keyspace("anypod")
    made = [name for key in sessions for name in all_names(keyspace, key)]
    made += [name for owner in owners for name in keyspace.index(*owner)]
    assert len(set(made)) == len(made)


@given(keys)
def test_everything_of_a_session_is_in_one_slot(key: SessionKey) -> None:
    assert len({slot(name) for name in all_names(Keyspace("anypod"), key)}) == 1


@given(tenants, subjects)
def test_both_halves_of_an_index_are_in_one_slot(tenant: TenantId, owner: Subject) -> None:
    assert len({slot(name) for name in Keyspace("anypod").index(tenant, owner)}) == 1


def test_each_partition_has_a_band_of_slots_of_its_own() -> None:
    bands = Counter(slot(f"{{{hash_tag(number)}}}".encode()) // (SLOTS // PARTITIONS) for number in range(PARTITIONS))
    assert bands == Counter(range(PARTITIONS)), "so that any number of nodes has as many partitions as any other, give or take one"


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_the_slots_are_those_that_the_server_counts(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        for number in (0, 100, 255):
            name = f"anypod:{{{hash_tag(number)}}}/acme/chat/m"
            assert server.command("CLUSTER", "KEYSLOT", name) == slot(name.encode())


def test_names_are_kept_for_so_many_sessions_and_made_anew_for_others() -> None:
    keyspace = Keyspace("anypod")
    first = SessionKey(TenantId("acme"), SessionId("first"))
    made = keyspace.session(first)
    assert keyspace.session(first) is made
    for number in range(NAMES_MAX):
        keyspace.session(SessionKey(TenantId("acme"), SessionId(f"s{number}")))
    assert keyspace.session(first) is not made
    assert all_names(keyspace, first) == [made.meta, made.log, made.deltas, made.live, made.presence, made.channel]


@given(keys)
def test_the_one_name_that_is_asked_for_often_is_the_sessions_own(key: SessionKey) -> None:
    keyspace = Keyspace("anypod")
    assert keyspace.meta(key) == keyspace.session(key).meta
