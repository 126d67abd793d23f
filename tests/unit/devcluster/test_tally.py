from anypod.core.statistics import percentile
from anypod.devcluster.tally import Tally


def tally_of(acknowledged: str, received: str) -> Tally:
    """One letter an event; its seq is its place in the alphabet."""
    tally = Tally(acknowledged=set(acknowledged))
    for event in received:
        tally.receive(event, ord(event) - ord("a") + 1)
    return tally


def test_everything_acknowledged_and_received_once_in_order_is_clean() -> None:
    assert tally_of("abc", "abc").is_clean


def test_an_event_that_was_received_but_not_acknowledged_is_no_fault() -> None:
    assert tally_of("ab", "abc").is_clean


def test_an_acknowledged_event_that_never_arrived_is_lost() -> None:
    tally = tally_of("abc", "ac")
    assert (tally.lost, tally.is_clean) == (1, False)


def test_an_event_that_arrived_thrice_is_duplicated_twice() -> None:
    tally = tally_of("ab", "abbb")
    assert (tally.duplicated, tally.is_clean) == (2, False)


def test_an_event_before_its_predecessor_is_out_of_order() -> None:
    tally = tally_of("abc", "acb")
    assert (tally.reordered, tally.lost, tally.duplicated, tally.is_clean) == (1, 0, 0, False)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert [percentile(values, percent) for percent in (1, 20, 50, 95, 100)] == [1.0, 1.0, 3.0, 5.0, 5.0]
