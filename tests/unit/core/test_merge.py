from hypothesis import given
from hypothesis import strategies as st

from anypod.core.merge import HELD_FRAMES_MAX, Frame, Lost, Merge, Step


def frames(*seqs: int) -> tuple[Frame, ...]:
    return tuple(Frame(seq, b"%d" % seq) for seq in seqs)


def test_frames_in_order_are_delivered_at_once() -> None:
    assert Merge(seq=4).offer(frames(5, 6)) == Step(deliver=frames(5, 6))


def test_a_frame_seen_twice_is_delivered_once() -> None:
    merge = Merge(seq=4)
    assert merge.offer(frames(5, 5)) == Step(deliver=frames(5))
    assert merge.offer(frames(4, 5)) == Step()


def test_a_hole_asks_for_the_log_and_what_was_held_follows_the_range() -> None:
    merge = Merge(seq=4)
    assert merge.offer(frames(5, 8)) == Step(deliver=frames(5), read_after=5)
    assert merge.is_behind
    assert merge.cover(frames(6, 7), 7, folded=0) == Step(deliver=frames(6, 7, 8))
    assert not merge.is_behind


def test_a_hole_that_the_feed_fills_itself_needs_no_read() -> None:
    merge = Merge(seq=4)
    merge.offer(frames(6, 7))
    assert merge.offer(frames(5)) == Step(deliver=frames(5, 6, 7))


def test_a_range_that_ends_short_of_what_is_held_asks_for_the_next_one() -> None:
    merge = Merge(seq=0)
    merge.offer(frames(9))
    assert merge.cover(frames(1, 2, 3), 3, folded=0) == Step(deliver=frames(1, 2, 3), read_after=3)


def test_a_range_that_comes_too_late_changes_nothing() -> None:
    merge = Merge(seq=0)
    merge.offer(frames(1, 2, 3))
    assert merge.cover(frames(1, 2), 2, folded=0) == Step()
    assert merge.seq == 3


def test_folded_deltas_may_be_missing_inside_a_range_and_at_its_end() -> None:
    merge = Merge(seq=0)
    assert merge.cover(frames(3, 6), 8, folded=8) == Step(deliver=frames(3, 6))
    assert merge.seq == 8


def test_a_folded_delta_that_the_feed_had_brought_is_delivered_in_its_place() -> None:
    merge = Merge(seq=0)
    merge.offer(frames(2))
    assert merge.cover(frames(1, 4), 4, folded=3) == Step(deliver=frames(1, 2, 4))


def test_a_hole_above_the_folded_seq_is_a_loss() -> None:
    merge = Merge(seq=0)
    assert merge.cover(frames(3, 6), 8, folded=4) == Lost(5)
    assert merge.seq == 0


def test_events_missing_at_the_end_of_a_range_are_a_loss() -> None:
    assert Merge(seq=2).cover(frames(3), 4, folded=0) == Lost(4)


def test_a_range_without_any_event_is_a_loss_unless_all_of_it_was_folded() -> None:
    assert Merge(seq=2).cover((), 4, folded=3) == Lost(4)
    assert Merge(seq=2).cover((), 4, folded=4) == Step()


def test_a_head_beyond_what_was_delivered_asks_for_the_log() -> None:
    merge = Merge(seq=4)
    assert merge.expect(4) == Step()
    assert merge.expect(6) == Step(read_after=4)
    assert merge.offer(frames(5, 6)) == Step(deliver=frames(5, 6))


def test_too_many_early_frames_are_forgotten_and_read_again_because_the_log_has_them() -> None:
    merge = Merge(seq=0)
    early = frames(*range(2, HELD_FRAMES_MAX + 4))
    assert merge.offer(early) == Step(read_after=0)
    # The read began before the forgotten frames were logged: it cannot have brought them.
    assert merge.cover(frames(1, 2), 2, folded=0) == Step(deliver=frames(1, 2), read_after=2)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[int, int, int, list[list[int]]]:
    """Where the merge starts, how long the log is, up to where deltas are folded, and what the feed brings."""
    start = draw(st.integers(0, 5))
    head = start + draw(st.integers(0, 30))
    folded = draw(st.integers(0, head))
    feed = st.lists(st.lists(st.integers(1, max(head, 1)), max_size=6), max_size=20) if head else st.just([])
    return start, head, folded, draw(feed)


@given(world=_worlds(), choices=st.data())
def test_any_mix_of_live_and_replay_is_applied_in_order_each_once(
    world: tuple[int, int, int, list[list[int]]], choices: st.DataObject
) -> None:
    start, head, folded, feed = world
    kept = [seq for seq in range(1, head + 1) if seq > folded or choices.draw(st.booleans())]
    merge, applied = Merge(seq=start), list[Frame]()

    def read(after: int) -> int | None:
        through = choices.draw(st.integers(min(after + 1, head), head))
        step = merge.cover(frames(*[seq for seq in kept if after < seq <= through]), through, folded=folded)
        assert isinstance(step, Step)
        applied.extend(step.deliver)
        return step.read_after

    for batch in [*(frames(*seqs) for seqs in feed)]:
        step = merge.offer(batch)
        applied += step.deliver
        if step.read_after is not None and choices.draw(st.booleans()):  # otherwise the read is still under way
            read(step.read_after)
    after = merge.expect(head).read_after
    while after is not None:
        after = read(after)

    seqs = [frame.seq for frame in applied]
    assert seqs == sorted(set(seqs)), "in order, each once"
    assert set(seqs) <= set(range(start + 1, head + 1))
    assert {seq for seq in kept if seq > start} <= set(seqs), "nothing that the log has is left out"
    assert all(frame.payload == b"%d" % frame.seq for frame in applied)
    assert merge.seq == max(head, start)


@given(start=st.integers(0, 10), head=st.integers(1, 40), folded=st.integers(0, 40), data=st.data())
def test_a_loss_is_found_exactly_when_an_event_above_the_folded_seq_is_missing(
    start: int, head: int, folded: int, data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.integers(start + 1, max(head, start + 1))))
    missing = [seq for seq in range(start + 1, head + 1) if seq not in kept and seq > folded]
    step = Merge(seq=start).cover(frames(*sorted(seq for seq in kept if seq <= head)), head, folded=folded)
    assert step == Lost(missing[0]) if missing else isinstance(step, Step)


@given(st.lists(st.lists(st.integers(1, 3 * HELD_FRAMES_MAX), max_size=HELD_FRAMES_MAX), max_size=4))
def test_the_frames_held_are_bounded(feed: list[list[int]]) -> None:
    merge = Merge(seq=0)
    for seqs in feed:
        merge.offer(frames(*seqs))
        assert len(merge._held or ()) <= HELD_FRAMES_MAX
