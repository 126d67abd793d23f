from hypothesis import given
from hypothesis import strategies as st

from anypod.core.byte_budget import COUNTED_BYTES, ByteBudget

KIB = 1 << 10


def test_of_too_many_the_one_gives_way_that_has_held_something_for_longest() -> None:
    budget = ByteBudget[str](100 * KIB)
    assert budget.note("a", 40 * KIB) == budget.note("b", 40 * KIB) == budget.note("a", 50 * KIB) == []
    assert budget.note("c", 30 * KIB) == ["a"]
    assert budget.bytes == 70 * KIB


def test_a_little_is_not_counted() -> None:
    budget = ByteBudget[str](100 * KIB)
    budget.note("a", 40 * KIB)
    budget.note("a", COUNTED_BYTES)
    assert budget.bytes == 0


def test_whoever_asks_for_more_than_there_is_gives_way_itself() -> None:
    assert ByteBudget[str](100 * KIB).note("a", 101 * KIB) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60 * KIB))))
def test_the_budget_is_never_exceeded(notes: list[tuple[int, int]]) -> None:
    budget, held = ByteBudget[int](100 * KIB), dict[int, int]()
    for holder, size in notes:
        held[holder] = size if size > COUNTED_BYTES else 0
        for evicted in budget.note(holder, size):
            held[evicted] = 0
        assert budget.bytes == sum(held.values()) <= budget.bytes_max
