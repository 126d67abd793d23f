"""The judgement of a drain finds what it is for; it needs no cluster."""

from typing import Any

import pytest
from tests.kubernetes.politeness import SPREAD_FROM, Departure, departures, superfluous
from tests.kubernetes.release import merged
from tests.slo.crowd import Member

from anypod.client import Session


def member(*attached: tuple[float, str], closed: tuple[float, ...] = ()) -> Member:
    made = Member(Session("http://127.0.0.1:1", "s", credential=""), "websocket")
    made.attached = list(attached)
    made.closed = [(at, 1012) for at in closed]
    return made


def test_one_move_from_each_replica_that_left_is_what_was_to_be() -> None:
    assert not superfluous([member((0, "a"), (5, "b"), (9, "c")), member((0, "c"))], {"a", "b"})


@pytest.mark.parametrize(
    ("attached", "found"),
    [
        (((0, "a"), (5, "c"), (9, "d")), "client 0 (websocket) left c 1 times"),
        (((0, "a"), (5, "a"), (9, "c")), "client 0 (websocket) left a 2 times"),
        (((0, "a"), (5, "b"), (6, "a"), (9, "c")), "client 0 (websocket) left a 2 times"),
    ],
)
def test_a_move_in_vain_is_found(attached: tuple[tuple[float, str], ...], found: str) -> None:
    (told,) = superfluous([member(*attached)], {"a", "b"})
    assert told.startswith(found)


def test_closes_are_counted_for_the_replica_that_the_client_was_at() -> None:
    crowd = [member((0, "a"), (5, "b"), closed=(4.5, 8.0)), member((1, "b"), closed=(7.0,)), member((0, "c"), closed=(3.0,))]
    assert departures(crowd, {"a", "b"}) == [Departure("a", (4.5,)), Departure("b", (7.0, 8.0))]


def test_an_even_drain_is_told_from_one_that_sends_everybody_at_once() -> None:
    even = Departure("a", tuple(index * 20 / 100 for index in range(100)))
    burst = Departure("a", (*(index / 100 for index in range(90)), 10.0, 15.0, 20.0))
    few = Departure("a", tuple(index / 100 for index in range(SPREAD_FROM - 1)))
    assert even.is_even
    assert even.spread < 1.2
    assert not burst.is_even
    assert few.is_even


def test_later_values_count_before_earlier_ones_object_by_object() -> None:
    layers: list[dict[str, Any]] = [{"image": {"tag": "one", "name": "x"}, "n": 1}, {"image": {"tag": "two"}}, {"n": 3}]
    assert merged(*layers) == {"image": {"tag": "two", "name": "x"}, "n": 3}
