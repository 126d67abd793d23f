"""The rules by which the drivers apply a history catch what breaks guarantee 1."""

import pytest
from tests.protocol.applied import Applied, Frame


def event(seq: int) -> Frame:
    return {"type": "event", "seq": seq, "cursor": f"c{seq}", "id": f"m{seq}"}


def begun(after_seq: int) -> Applied:
    applied = Applied()
    applied.begin(after_seq)
    return applied


def test_events_in_order_are_applied_each_once() -> None:
    applied = begun(4)
    for seq in (5, 6, 6, 5, 7):
        applied.event(event(seq))
    assert [item["seq"] for item in applied.items] == [5, 6, 7]
    assert (applied.cursor, applied.repeated) == ("c7", 2)


def test_a_hole_is_found_at_the_beginning_and_in_the_middle() -> None:
    with pytest.raises(AssertionError, match="a hole: after 4 came 6"):
        begun(4).event(event(6))
    applied = begun(0)
    applied.event(event(1))
    with pytest.raises(AssertionError, match="a hole: after 1 came 3"):
        applied.event(event(3))


def test_a_hole_among_folded_deltas_is_none_and_above_them_it_is() -> None:
    applied = begun(0)
    applied.fold(3)
    applied.event(event(4))
    with pytest.raises(AssertionError, match="a hole"):
        applied.event(event(6))


def test_a_reset_with_a_common_place_goes_on_after_it_and_without_one_from_the_oldest() -> None:
    applied = begun(0)
    applied.event(event(1))
    applied.reset({"type": "session.reset", "common": "c9", "common_seq": 9, "folded": 0, "oldest": 1})
    applied.event(event(10))
    applied.reset({"type": "session.reset", "folded": 0, "oldest": 3})
    with pytest.raises(AssertionError, match="a hole: after 2 came 4"):
        applied.event(event(4))
