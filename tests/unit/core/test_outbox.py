from hypothesis import given
from hypothesis import strategies as st

from anypod.core.outbox import Outbox


def test_frames_come_out_in_the_order_in_which_they_went_in() -> None:
    outbox = Outbox()
    outbox.put([b"a", b"b"])
    outbox.put([b"c"])
    assert outbox.take(99) == [b"a", b"b", b"c"]
    assert outbox.take(99) == []


def test_what_was_taken_counts_until_it_is_written() -> None:
    outbox = Outbox()
    outbox.put([b"abc", b"de"])
    assert (len(outbox), outbox.size) == (2, 5)
    outbox.take(1)
    assert (len(outbox), outbox.size) == (1, 5)
    outbox.written()
    assert (len(outbox), outbox.size) == (1, 2)


def test_what_is_given_up_waits_no_more() -> None:
    outbox = Outbox()
    outbox.put([b"abc", b"de"])
    outbox.take(1)
    outbox.clear()
    assert (len(outbox), outbox.size) == (0, 3)
    outbox.written()
    assert outbox.size == 0


def test_what_was_taken_is_not_changed_by_later_frames() -> None:
    outbox = Outbox()
    outbox.put([b"a"])
    taken = outbox.take(99)
    outbox.put([b"b"])
    assert taken == [b"a"]


@given(st.lists(st.lists(st.binary(min_size=1, max_size=40), max_size=5)), st.integers(1, 100))
def test_nothing_is_lost_and_what_is_taken_at_once_exceeds_its_bound_by_less_than_a_frame(
    deliveries: list[list[bytes]], bytes_max: int
) -> None:
    outbox, put, taken = Outbox(), list[bytes](), list[bytes]()
    for frames in deliveries:
        put += frames
        outbox.put(frames)
        some = outbox.take(bytes_max)
        assert sum(map(len, some[:-1])) < bytes_max
        taken += some
        outbox.written()
        assert outbox.size == sum(map(len, put)) - sum(map(len, taken))
    while some := outbox.take(bytes_max):
        taken += some
    assert taken == put
