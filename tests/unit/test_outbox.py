from hypothesis import given
from hypothesis import strategies as st

from anypod.core.outbox import Outbox


def test_frames_come_out_in_the_order_in_which_they_went_in() -> None:
    outbox = Outbox()
    assert outbox.put([b"a", b"b"])
    assert outbox.put([b"c"])
    assert outbox.take_all() == [b"a", b"b", b"c"]
    assert outbox.take_all() == []


def test_the_size_is_that_of_the_frames_in_bytes() -> None:
    outbox = Outbox()
    outbox.put([b"abc", b"de"])
    assert (len(outbox), outbox.size) == (2, 5)
    outbox.clear()
    assert (len(outbox), outbox.size) == (0, 0)


def test_the_delivery_that_exceeds_the_bound_is_kept_and_the_last() -> None:
    outbox = Outbox(bytes_max=4)
    assert outbox.put([b"abcd"]) is not outbox.is_full
    assert outbox.put([b"e", b"f"]) is not outbox.is_full
    assert outbox.size == 6
    assert outbox.take_all() == [b"abcd", b"e", b"f"]


def test_an_emptied_outbox_has_room_again() -> None:
    outbox = Outbox(bytes_max=4)
    outbox.put([b"abcdefgh"])
    outbox.take_all()
    assert not outbox.is_full
    assert outbox.put([b"i"])


def test_what_was_taken_is_not_changed_by_later_frames() -> None:
    outbox = Outbox()
    outbox.put([b"a"])
    taken = outbox.take_all()
    outbox.put([b"b"])
    assert taken == [b"a"]


@given(st.lists(st.lists(st.binary(max_size=40), max_size=5)), st.integers(1, 100))
def test_nothing_is_lost_and_who_stops_when_told_exceeds_the_bound_by_one_delivery_at_most(
    deliveries: list[list[bytes]], bytes_max: int
) -> None:
    outbox, put, taken = Outbox(bytes_max), list[bytes](), list[bytes]()
    for frames in deliveries:
        before = outbox.size
        put += frames
        if not outbox.put(frames):
            assert before <= bytes_max < outbox.size == before + sum(map(len, frames))
            taken += outbox.take_all()
    assert taken + list(outbox.take_all()) == put
