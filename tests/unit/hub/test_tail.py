from anypod.core.event import author_json, complete, draft
from anypod.hub.tail import TAIL_EVENTS_MAX, Tail, TailBudget


def frame(seq: int, size: int = 10) -> bytes:
    item = draft(f"e{seq}", "message", b'"%b"' % (b"x" * size), author=author_json("ann"), ts_ms=1)
    return complete(item, seq, cursor(seq))


def cursor(seq: int) -> str:
    return f"life-1abcdef-{seq}-{1_000_000_000 + seq}"


def tail(*seqs: int, floor: int = 0) -> Tail:
    return Tail(floor, cursor(floor), [frame(seq) for seq in seqs])


def test_what_follows_a_place_is_served_in_order() -> None:
    assert tail(1, 2, 3).after(1) == [frame(2), frame(3)]


def test_a_place_between_folded_deltas_is_served_from_the_next_frame() -> None:
    assert tail(1, 5, 6).after(3) == [frame(5), frame(6)]


def test_only_the_logs_own_cursor_is_proven() -> None:
    kept = tail(4, 5, floor=3)
    assert kept.proves(5, cursor(5))
    assert kept.proves(3, cursor(3))
    assert not kept.proves(5, cursor(4))
    assert not kept.proves(2, cursor(2))
    assert not kept.proves(4, "life-2fedcba-4-1000000004")


def test_the_oldest_half_gives_way_and_the_rest_still_proves_its_floor() -> None:
    kept = tail()
    for seq in range(1, TAIL_EVENTS_MAX + 2):
        kept.extend([seq], [frame(seq)])
    assert not kept.reaches(1)
    assert kept.proves(kept.floor, cursor(kept.floor))
    assert len(kept.after(kept.floor)) == TAIL_EVENTS_MAX + 1 - kept.floor


def test_the_tail_used_least_recently_gives_way_when_all_together_are_too_large() -> None:
    first, second = Tail(0, cursor(0)), Tail(0, cursor(0))
    budget = TailBudget(bytes_max=3 * len(frame(1, 100)))
    for kept in (first, second):
        kept.extend([1], [frame(1, 100)])
        budget.note(kept)
    budget.note(first)
    second.extend([2], [frame(2, 100)])
    budget.note(first)
    first.extend([2], [frame(2, 100)])
    budget.note(second)
    budget.note(first)
    assert (first.bytes, second.bytes) == (2 * len(frame(1, 100)), 0)
    assert second.proves(2, cursor(2))
    assert budget.bytes == first.bytes


def test_an_empty_tail_is_not_worth_remembering() -> None:
    empty, budget = tail(floor=7), TailBudget(bytes_max=1 << 20)
    budget.note(empty)
    empty.extend([8], [frame(8)])
    budget.note(empty)
    empty.clear()
    budget.note(empty)
    assert budget.bytes == 0
    assert empty.after(8) == ()
    assert empty.proves(8, cursor(8))


def test_a_dropped_tail_frees_its_share() -> None:
    kept = tail(1, 2)
    budget = TailBudget(bytes_max=1 << 20)
    budget.note(kept)
    budget.drop(kept)
    assert budget.bytes == 0
