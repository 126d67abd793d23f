"""A replica keeps its share of the subscribers, and knows what is too many."""

from hypothesis import given
from hypothesis import strategies as st

from anypod.core.balance import SHARE_MAX, WORTH_MIN, surplus


def test_only_what_exceeds_the_share_is_too_many() -> None:
    assert surplus(300, 300, 3) == 300 - 120
    assert surplus(120, 300, 3) == 0
    assert surplus(121, 300, 3) == 1


def test_alone_or_small_or_told_not_to_a_replica_keeps_everybody() -> None:
    assert surplus(1_000, 1_000, 1) == 0
    assert surplus(WORTH_MIN - 1, WORTH_MIN - 1, 2) == 0
    assert surplus(1_000, 1_000, 2, share_max=0) == 0


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=50))
def test_whoever_sends_its_surplus_away_is_left_with_its_share_and_never_with_less(held: list[int]) -> None:
    mean = sum(held) / len(held)
    for own in held:
        left = own - surplus(own, sum(held), len(held))
        assert left == own or left >= SHARE_MAX * mean
        assert left < SHARE_MAX * mean + 1 or own < WORTH_MIN or len(held) < 2


@given(st.lists(st.integers(0, 50_000), min_size=2, max_size=50))
def test_never_does_everybody_have_too_many(held: list[int]) -> None:
    assert any(surplus(own, sum(held), len(held)) == 0 for own in held)
