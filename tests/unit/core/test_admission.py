import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypod.core.admission import BURST_S, AdaptiveRate, Bucket, Budget, Rate


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


def test_a_budget_gives_its_burst_at_once_then_one_permit_after_the_other_and_then_none() -> None:
    budget = Budget(rate_per_s=100)
    at_once = int(100 * BURST_S) + 1  # and the one that is due
    waits = [budget.wait_s(100.0, 1.0, 0.1) for _ in range(at_once + 20)]
    assert waits[:at_once] == [0.0] * at_once
    assert waits[at_once : at_once + 10] == [pytest.approx(0.01 * index) for index in range(1, 11)]
    assert waits[at_once + 10 :] == [None] * 10


def test_who_is_sent_away_is_told_a_moment_behind_all_that_were_told_one_before() -> None:
    budget = Budget(rate_per_s=10)
    hints = [budget.hint_s(100.0, 1.0, 1.5) for _ in range(3)]
    assert hints == [pytest.approx(1.6), pytest.approx(1.7), pytest.approx(1.8)]
    assert budget.hint_s(200.0, 1.0, 1.5) == pytest.approx(1.6)


def test_half_a_pace_gives_half_the_permits() -> None:
    whole, half = Budget(rate_per_s=300), Budget(rate_per_s=300)
    given = [sum(budget.wait_s(100.0, share, 1.5) is not None for _ in range(1_000)) for budget, share in ((whole, 1.0), (half, 0.5))]
    assert given[0] == pytest.approx(2 * given[1], rel=0.05)


@given(arrivals=st.lists(st.floats(0, 0.2), min_size=1, max_size=300))
def test_no_second_sees_more_permits_begin_than_its_rate_and_one_burst(arrivals: list[float]) -> None:
    budget, now, begins = Budget(rate_per_s=20), 100.0, list[float]()
    for pause in arrivals:
        now += pause
        if (wait_s := budget.wait_s(now, 1.0, 1.5)) is not None:
            begins.append(now + wait_s)
    begins.sort()
    assert all(later - first > 1.0 - 1e-6 for first, later in zip(begins, begins[32:], strict=False))


def test_the_pace_falls_at_once_under_pressure_and_comes_back_little_by_little() -> None:
    pace = AdaptiveRate()
    pace.note(is_pressed=True)
    pressed = pace.share
    pace.note(is_pressed=False)
    assert pressed < pace.share < 1.0
    for _ in range(100):
        pace.note(is_pressed=True)
    assert pace.share > 0
    for _ in range(100):
        pace.note(is_pressed=False)
    assert pace.share == 1.0
