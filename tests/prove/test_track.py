"""What one reader's proof makes of the frames that it gets."""

import pytest

from anypod.client.machine.inputs import PageReceived
from anypod.core import frames
from anypod.core.frames import Event
from anypod.prove.history_checker import HistoryChecker, body_digest


class Told:
    """A track, and what it has told so far."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str, int | None]] = []
        self.track = HistoryChecker(lambda guarantee, what, seq, cursor: self.found.append((guarantee, what.partition(":")[0], seq)))

    def events(self, *seqs: int) -> None:
        for seq in seqs:
            self.track.take(event(seq))

    @property
    def applied(self) -> list[int]:
        return sorted(self.track.by_seq)


def event(seq: int, *, life: str = "a", data: object = None) -> Event:
    return Event(seq=seq, cursor=f"{life}{seq}", id=f"{life}.m{seq}", kind="message", author="me", ts=seq, data=data)


def done(seq: int, folded: int = 0) -> frames.SyncDoneFrame:
    return frames.SyncDoneFrame(cursor=f"a{seq}", seq=seq, folded=folded)


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_whole_log_over_two_connections_is_nothing_to_tell(told: Told) -> None:
    told.events(1, 2)
    told.track.take(done(2))
    told.track.disconnected()
    told.events(3)
    told.track.take(done(3))
    assert told.found == []
    assert (told.applied, told.track.cursor) == ([1, 2, 3], "a3")


def test_an_event_that_never_comes_is_lost_once_its_connection_has_ended(told: Told) -> None:
    told.events(1, 3)
    assert told.found == []
    told.track.disconnected()
    told.track.disconnected()
    assert told.found == [(1, "lost", 2)]


def test_an_event_that_comes_late_is_out_of_order_and_not_lost(told: Told) -> None:
    told.events(1, 3, 2, 4)
    told.track.disconnected()
    assert told.found == [(1, "out of order", 2)]
    assert (told.applied, told.track.cursor) == ([1, 2, 3, 4], "a4")


def test_an_event_that_comes_again_is_a_duplicate_on_the_next_connection_too(told: Told) -> None:
    told.events(1, 2, 2)
    told.track.disconnected()
    told.events(1)
    assert told.found == [(1, "duplicate", 2), (1, "duplicate", 1)]


def test_another_event_at_a_known_seq_is_named_as_such(told: Told) -> None:
    told.events(1)
    told.track.take(event(1, life="b"))
    assert told.found == [(1, "another event than before stands at this seq", 1)]


def test_the_end_of_a_replay_that_was_cut_off_is_lost(told: Told) -> None:
    told.events(1)
    told.track.take(done(2))
    assert told.found == [(1, "lost", 2)]


def test_a_hole_of_folded_deltas_is_no_loss(told: Told) -> None:
    told.track.turn(PageReceived(1, (event(1), event(5)), "a5", folded=4, more=False))
    told.track.take(done(7, folded=7))
    told.track.disconnected()
    assert told.found == []


def test_a_reset_with_a_common_position_keeps_what_is_before_it(told: Told) -> None:
    told.events(1, 2, 3)
    told.track.take(frames.ResetFrame(reason="rolled_back", common="a1", common_seq=1, cursor="b2", oldest=1))
    assert (told.applied, told.track.cursor) == ([1], "a1")
    told.track.take(event(2, life="b"))
    assert told.found == []
    assert [(reset.reason, reset.last and reset.last.seq, reset.common_seq) for reset in told.track.resets] == [("rolled_back", 3, 1)]


def test_a_reset_that_tells_no_seq_of_the_common_cursor_is_understood(told: Told) -> None:
    told.events(1, 2, 3)
    told.track.take(frames.ResetFrame(reason="rolled_back", common="a2", cursor="b3", oldest=1))
    assert told.applied == [1, 2]


def test_a_reset_without_a_common_position_starts_over_from_the_oldest_event(told: Told) -> None:
    told.events(1, 2)
    told.track.take(frames.ResetFrame(reason="expired", cursor="b9", oldest=8))
    assert (told.applied, told.track.cursor) == ([], "start")
    told.track.take(event(8, life="b"))
    told.track.disconnected()
    assert told.found == []


def test_bodies_differ_by_kind_by_value_and_by_being_binary() -> None:
    digests = {body_digest("message", "a"), body_digest("x.a", "a"), body_digest("message", b"a"), body_digest("message", {"b": 1, "a": 2})}
    assert len(digests) == 4
    assert body_digest("message", {"a": 2, "b": 1}) in digests
