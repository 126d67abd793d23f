import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypod.core.admission import Bucket, Buckets, Rate


def test_a_full_bucket_gives_its_burst_at_once_and_then_says_how_long_to_wait() -> None:
    bucket = Bucket(rate_per_s=10, burst=3)
    assert [bucket.take(100.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100.0) == pytest.approx(0.1)


def test_a_refusal_takes_nothing() -> None:
    bucket = Bucket(rate_per_s=10, burst=3)
    bucket.take(100.0, 3)
    assert bucket.take(100.0, 2) == bucket.take(100.0, 2) == pytest.approx(0.2)


def test_permits_come_back_at_the_rate_and_never_beyond_the_burst() -> None:
    bucket = Bucket(rate_per_s=10, burst=3)
    bucket.take(100.0, 3)
    assert not bucket.is_full(100.2)
    assert bucket.take(100.2, 2) == 0
    assert bucket.take(100.2) > 0
    assert bucket.is_full(1_000.0)
    assert bucket.take(1_000.0, 3) == 0
    assert bucket.take(1_000.0) > 0


def test_more_than_the_burst_is_given_from_a_full_bucket_which_then_owes_it() -> None:
    bucket = Bucket(rate_per_s=10, burst=3)
    assert bucket.take(100.0, 13) == 0
    assert bucket.take(100.0) == pytest.approx(1.1)
    assert bucket.take(101.0, 13) == pytest.approx(0.3)


def test_a_clock_that_stands_still_gives_nothing_for_free() -> None:
    bucket = Bucket(rate_per_s=1, burst=1)
    assert bucket.take(0.0) == 0
    assert bucket.take(0.0) == pytest.approx(1.0)


@given(rate=st.floats(0.01, 1e6), burst=st.floats(1, 1e6), asks=st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 1e6)), max_size=30))
def test_whoever_waits_as_long_as_told_is_not_refused_again(rate: float, burst: float, asks: list[tuple[float, float]]) -> None:
    bucket, now = Bucket(rate, burst), 1_000.0
    for pause_s, count in asks:
        now += pause_s
        if wait_s := bucket.take(now, count):
            now += wait_s
            assert bucket.take(now, count) == 0


@given(rate=st.integers(1, 1_000), burst=st.integers(1, 100), pauses=st.lists(st.floats(0, 0.1), min_size=1, max_size=200))
def test_over_any_time_no_more_than_burst_and_rate_allow_is_given(rate: int, burst: int, pauses: list[float]) -> None:
    bucket, now, given_out = Bucket(rate, burst), 50.0, 0
    for pause_s in pauses:
        now += pause_s
        given_out += bucket.take(now) == 0
    assert given_out <= burst + rate * (now - 50.0) + 0.01


def test_a_bucket_is_one_number_that_its_owner_keeps() -> None:
    rate, full_at, waits = Rate(rate_per_s=10, burst=3), 0.0, []
    for _ in range(4):
        wait_s, full_at = rate.take(full_at, 100.0)
        waits.append(wait_s)
    assert waits == [0, 0, 0, pytest.approx(0.1)]
    assert full_at == pytest.approx(100.3), "the refusal took nothing"


def test_each_key_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(rate_per_s=1, burst=1, keys_max=10)
    assert buckets.take("alice", 100.0) == 0
    assert buckets.take("alice", 100.0) > 0
    assert buckets.take("bob", 100.0) == 0


def test_the_bucket_unused_for_longest_is_forgotten_when_there_are_too_many_keys() -> None:
    buckets = Buckets(rate_per_s=1, burst=1, keys_max=2)
    for key in ("alice", "bob", "alice", "carol"):
        buckets.take(key, 100.0)
    assert len(buckets) == 2
    assert buckets.take("alice", 100.0) > 0, "used a moment ago"
    assert buckets.take("bob", 100.0) == 0, "forgotten, and so full again"
