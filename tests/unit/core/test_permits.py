"""Whatever is charged is charged to a subject and to its tenant."""

from hypothesis import given
from hypothesis import strategies as st

from anypod.core.admission import Rate
from anypod.core.permits import COSTS, Account, Allowance, Party, limits_of


def account(subject_per_s: float, tenant: Party) -> Account:
    return Account(limits_of(Allowance(subject_per_s, 100, 2, 1_000), Rate(5, 10)), tenant, "ann")


def tenant(per_s: float = 1_000) -> Party:
    return Party(limits_of(Allowance(per_s, 1_000, 3, 10_000), Rate(12, 12)))


def test_who_has_used_up_its_permits_is_told_when_there_are_more() -> None:
    ann, bob = account(10, shared := tenant()), account(10, shared)
    assert ann.take(10, 5.0) == 0
    assert 0.09 < ann.take(1, 5.0) < 0.11
    assert bob.take(10, 5.0) == 0, "another subject has its own"
    assert ann.take(1, 5.11) == 0


def test_what_the_tenant_refuses_costs_the_subject_nothing() -> None:
    ann, bob = account(10, shared := tenant(10)), account(10, shared)
    assert ann.take(10, 5.0) == 0
    assert bob.take(10, 5.0) > 0
    assert bob.take(10, 6.001) == 0


def test_what_was_read_is_owed_and_waited_for() -> None:
    ann, bob = account(10, shared := tenant()), account(10, shared)
    assert ann.read_wait_s(5.0) == 0
    ann.read(350, 5.0)
    assert 2.4 < ann.read_wait_s(5.0) < 2.6, "a second's worth was there, and that of two and a half is missing"
    assert bob.read_wait_s(5.0) == 0
    assert ann.read_wait_s(7.6) == 0


def test_so_many_attachments_of_a_subject_and_of_its_tenant_are_let_in() -> None:
    ann, bob = account(10, shared := tenant()), account(10, shared)
    assert [ann.arrive(5.0) == 0 for _ in range(11)] == [True] * 10 + [False]
    assert [bob.arrive(5.0) == 0 for _ in range(3)] == [True, True, False], "the tenant has twelve"
    assert ann.arrive(5.25) == 0


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(1, 40)), min_size=1, max_size=200))
def test_no_more_is_given_in_any_time_than_the_bucket_held_and_gained(steps: list[tuple[float, int]]) -> None:
    ann, now, given_ = account(50, tenant()), 0.0, 0
    for wait_s, cost in steps:
        now += wait_s
        if ann.take(cost, now) == 0:
            given_ += cost
    assert given_ <= 50 + 50 * now + 1


def test_a_request_costs_more_than_a_frame() -> None:
    assert COSTS["publish"] == 1
    assert min(COSTS["request"], COSTS["write"], COSTS["create"], COSTS["delete"]) >= 10 * COSTS["frame"]
