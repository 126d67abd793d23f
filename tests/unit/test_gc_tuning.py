"""The collector's larger looks come after a rush and not in it."""

import gc
from collections.abc import Iterator
from typing import Any, Final

import pytest

from anypod.gc_tuning import LOOKS_BEFORE_ALL, LOOKS_MIN, NEW_OBJECTS, GcTuner

RUSH: Final = 33  # looks at new objects in a second: two thousand connections


@pytest.fixture
def larger() -> Iterator[list[int]]:
    """The generations of the larger looks so far."""
    thresholds, seen = gc.get_threshold(), list[int]()

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "stop" and info["generation"] > 0:
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture
def collector(larger: list[int]) -> GcTuner:
    made = GcTuner()
    gc.set_threshold(0)  # none comes by itself from here on
    larger.clear()
    return made


def second(collector: GcTuner, looks: int) -> None:
    for _ in range(looks):
        gc.collect(0)
    collector.look()


def test_the_interpreter_takes_none_by_itself(larger: list[int]) -> None:
    GcTuner()
    larger.clear()
    young = gc.get_stats()[0]["collections"]
    kept = [[i] for i in range(400 * NEW_OBJECTS)]
    assert gc.get_stats()[0]["collections"] - young >= 300, "it still looks at what is new"
    assert not larger
    assert len(kept) == 400 * NEW_OBJECTS


def test_a_rush_is_waited_for(collector: GcTuner, larger: list[int]) -> None:
    for _ in range(8):
        second(collector, RUSH)
    assert not larger
    second(collector, 0)
    assert larger == [1]
    second(collector, 0)
    assert larger == [1], "nothing new since"


def test_an_even_load_is_looked_at_every_ten_seconds(collector: GcTuner, larger: list[int]) -> None:
    for _ in range(60):
        second(collector, 4)
    assert larger == [1] * 6


def test_a_few_new_objects_are_left_alone(collector: GcTuner, larger: list[int]) -> None:
    for _ in range(LOOKS_MIN - 1):
        second(collector, 1)
        second(collector, 0)
    assert not larger
    second(collector, 1)
    assert larger == [1]


def test_everything_is_looked_at_once_in_a_long_while(collector: GcTuner, larger: list[int]) -> None:
    second(collector, LOOKS_BEFORE_ALL - 1)
    second(collector, 0)
    assert larger == [1]
    second(collector, LOOKS_MIN)
    second(collector, 0)
    assert larger == [1, 2]


def test_it_finds_a_cycle_that_outlived_the_looks_at_what_is_new(collector: GcTuner) -> None:
    class Node:
        other: "Node"

    one, two = Node(), Node()
    one.other, two.other = two, one
    gc.collect(0)  # older now
    del one, two
    second(collector, LOOKS_MIN)
    second(collector, 0)
    assert not [found for found in gc.get_objects() if isinstance(found, Node)]
