from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypod.core.identity import (
    PARTITIONS,
    SESSION_ID_BYTES,
    SessionId,
    SessionKey,
    TenantId,
    is_name,
    is_tenant,
    new_session_id,
    partition,
)

tenants = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True).map(TenantId)
names = st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True).map(SessionId)


@pytest.mark.parametrize("text", ["a", "A-1_b.c:d", "x" * 64])
def test_a_name_is_of_letters_digits_and_four_signs(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a/b", "a b", "a{b}", "a\n", "ä", '"', "a\0", "١"])
def test_whatever_could_leave_a_json_string_a_url_or_a_key_is_no_name(text: str) -> None:
    assert not is_name(text)
    assert not is_tenant(text)


def test_a_tenant_has_no_colon() -> None:
    assert is_name("a:b")
    assert not is_tenant("a:b")


@given(tenants, names)
def test_what_the_patterns_say_is_well_formed(tenant: TenantId, name: SessionId) -> None:
    assert is_tenant(tenant)
    assert is_name(name)


@given(st.lists(st.builds(SessionKey, tenants, names), unique=True, max_size=50))
def test_two_sessions_never_have_the_same_full_name(keys: list[SessionKey]) -> None:
    assert len({f"{key.tenant}/{key.session}" for key in keys}) == len(keys)


@given(st.builds(SessionKey, tenants, names))
def test_a_partition_is_a_matter_of_the_name_alone(key: SessionKey) -> None:
    assert 0 <= partition(key) < PARTITIONS
    assert partition(key) == partition(SessionKey(TenantId(str(key.tenant)), SessionId(str(key.session))))


def test_partitions_never_change_because_keys_hang_on_them() -> None:
    known = {("acme", "chat-1"): 132, ("acme", "chat-2"): 47, ("t", "s"): 191}
    assert {pair: partition(SessionKey(TenantId(pair[0]), SessionId(pair[1]))) for pair in known} == known


def test_sessions_numbered_in_a_row_spread_evenly_over_partitions() -> None:
    counts = Counter(partition(SessionKey(TenantId("acme"), SessionId(f"chat-{number}"))) for number in range(100 * PARTITIONS))
    assert len(counts) == PARTITIONS
    assert 50 < min(counts.values()) <= max(counts.values()) < 160


@given(st.lists(st.binary(min_size=SESSION_ID_BYTES, max_size=SESSION_ID_BYTES), unique=True))
def test_a_new_session_id_is_a_name_and_loses_nothing_of_its_entropy(entropies: list[bytes]) -> None:
    made = [new_session_id(entropy) for entropy in entropies]
    assert all(is_name(name) and len(name) == 32 for name in made)
    assert len(set(made)) == len(made)
