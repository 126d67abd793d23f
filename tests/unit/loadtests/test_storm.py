"""How a storm is judged."""

from collections.abc import Sequence

import pytest
from loadtests.storm.__main__ import is_good
from loadtests.storm.crowd import Back
from loadtests.storm.publishers import Noticed
from loadtests.storm.storm import CONNECT_S, P99_FLOOR_MS, SLACK, Storm

PROMISED_S = 1.0


def noticed(p99_ms: float) -> Noticed:
    return Noticed(p50_ms=p99_ms / 2, p99_ms=p99_ms, worst_ms=2 * p99_ms, late_ms=0.0, events=500)


def storm(calm_ms: float, during_ms: float, took_s: float = PROMISED_S) -> Storm:
    return Storm(PROMISED_S, Back(took_s, told=0), noticed(calm_ms), noticed(during_ms))


@pytest.mark.parametrize(("calm_ms", "during_ms", "is_served"), [(0.8, 1.5, True), (0.8, 1.7, False), (3.0, 5.9, True), (3.0, 6.1, False)])
def test_publishers_are_served_while_they_wait_at_most_twice_as_long_as_before(calm_ms: float, during_ms: float, is_served: bool) -> None:
    assert storm(calm_ms, during_ms).is_served() is is_served


def test_of_waits_that_nobody_notices_twice_as_much_is_no_failure() -> None:
    assert storm(0.1, P99_FLOOR_MS).is_served()
    assert not storm(0.1, 1.01 * P99_FLOOR_MS).is_served()


def test_a_crowd_is_late_when_the_limits_and_its_own_connecting_do_not_explain_it() -> None:
    latest_s = SLACK * PROMISED_S + CONNECT_S
    assert storm(1, 1, took_s=latest_s).is_back
    assert not storm(1, 1, took_s=latest_s + 0.01).is_back


@pytest.mark.parametrize(("found", "verdict"), [((1, 1, 1, 9, 9), True), ((1, 1, 9, 9, 9), False)])
def test_of_all_storms_the_median_counts(found: Sequence[float], verdict: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_good([storm(1, during_ms) for during_ms in found]) is verdict
    assert ("2 times as long" in capsys.readouterr().out) is not verdict


def test_where_others_have_the_machine_too_publishers_may_wait_three_times_as_long_and_no_longer() -> None:
    assert is_good([storm(3.0, 8.9)], ratio_max=3.0)
    assert not is_good([storm(3.0, 9.1)], ratio_max=3.0)
    assert not is_good([storm(3.0, 8.9)])


def test_a_storm_tells_how_many_times_as_long_publishers_waited() -> None:
    assert "1.5 times as much" in str(storm(0.4, 0.6))
