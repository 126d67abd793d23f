"""What the comparison at the end makes of a log, of receipts, and of what readers applied."""

import pytest

from anypod.core import frames
from anypod.core.event import Receipt
from anypod.core.frames import Event
from anypod.prove.final_check import compare
from anypod.prove.history_checker import HistoryChecker
from anypod.prove.record import EventToPublish, Evidence, ProofRecord


def event(seq: int, event_id: str, *, data: object = "hello", cursor: str = "") -> Event:
    return Event(seq=seq, cursor=cursor or f"c{seq}", id=event_id, kind="message", author="me", ts=seq, data=data)


def track_of(ledger: ProofRecord, *events: Event) -> HistoryChecker:
    track = HistoryChecker(ledger.teller("pages"))
    for each in events:
        track.take(each)
    return track


@pytest.fixture
def ledger() -> ProofRecord:
    """Two events, sent and acknowledged; one reader has both."""
    ledger = ProofRecord("s", Evidence())
    for seq, name in ((1, "m1"), (2, "m2")):
        ledger.drafts[name] = EventToPublish(name, "message", "hello", 0.0)
        ledger.acknowledged(Receipt(name, seq, f"c{seq}", False), attempts=1)
    reader = ledger.track("reader")
    for each in LOG:
        reader.take(each)
    return ledger


LOG = (event(1, "m1"), event(2, "m2"))


def found(ledger: ProofRecord) -> list[tuple[int, str]]:
    return [(violation.guarantee, violation.what) for violation in ledger.evidence.violations]


def only(ledger: ProofRecord) -> tuple[int, str]:
    (one,) = found(ledger)
    return one


def test_a_log_that_is_what_everybody_was_told_is_nothing_to_tell(ledger: ProofRecord) -> None:
    compare(ledger, track_of(ledger, *LOG))
    assert found(ledger) == []
    assert ledger.evidence.counts["compared"] == 2


def test_an_acknowledged_event_that_is_not_in_the_log_breaks_guarantee_2(ledger: ProofRecord) -> None:
    del ledger.tracks["reader"]
    compare(ledger, track_of(ledger, LOG[0]))
    assert only(ledger) == (2, "id m2 was acknowledged, and the log has nothing there")


def test_an_acknowledged_event_under_another_cursor_breaks_guarantee_2(ledger: ProofRecord) -> None:
    del ledger.tracks["reader"]
    compare(ledger, track_of(ledger, LOG[0], event(2, "m2", cursor="other")))
    assert only(ledger)[0] == 2


def test_an_acknowledged_event_whose_loss_was_announced_is_counted_and_breaks_nothing(ledger: ProofRecord) -> None:
    ledger.tracks["reader"].take(frames.ResetFrame(reason="rolled_back", common="c1", common_seq=1, cursor="c1", oldest=1))
    compare(ledger, track_of(ledger, LOG[0]))
    assert found(ledger) == []
    assert ledger.evidence.counts["announced"] == 1


def test_a_reset_of_a_history_that_the_log_has_breaks_guarantee_4(ledger: ProofRecord) -> None:
    ledger.tracks["reader"].take(frames.ResetFrame(reason="rolled_back", common="c1", common_seq=1, cursor="c2", oldest=1))
    ledger.tracks["reader"].take(LOG[1])
    compare(ledger, track_of(ledger, *LOG))
    assert only(ledger) == (4, "reader: was reset (rolled_back), and the log has its history")


def test_an_id_that_is_in_the_log_twice_breaks_guarantee_3(ledger: ProofRecord) -> None:
    ledger.tracks["reader"].take(event(3, "m1"))
    compare(ledger, track_of(ledger, *LOG, event(3, "m1")))
    assert only(ledger) == (3, "id m1 is in the log twice, first as 1")


def test_a_body_that_was_not_the_first_one_sent_breaks_guarantee_3(ledger: ProofRecord) -> None:
    ledger.tracks.clear()
    compare(ledger, track_of(ledger, LOG[0], event(2, "m2", data="other")))
    assert only(ledger) == (3, "id m2 has another body in the log than was sent first")


def test_an_event_that_nobody_of_us_has_published_breaks_guarantee_5(ledger: ProofRecord) -> None:
    ledger.tracks["reader"].take(event(3, "stranger"))
    compare(ledger, track_of(ledger, *LOG, event(3, "stranger")))
    assert only(ledger) == (5, "id stranger was published by somebody else (me)")


def test_an_event_that_a_reader_never_got_breaks_guarantee_1(ledger: ProofRecord) -> None:
    ledger.drafts["m3"] = EventToPublish("m3", "message", "hello", 0.0)
    compare(ledger, track_of(ledger, *LOG, event(3, "m3")))
    assert only(ledger) == (1, "reader: lost: never applied")


def test_an_event_that_a_reader_has_otherwise_breaks_guarantee_1(ledger: ProofRecord) -> None:
    ledger.tracks["reader"].by_seq[2] = ledger.tracks["reader"].by_seq[2]._replace(ts=0)
    compare(ledger, track_of(ledger, *LOG))
    assert only(ledger)[0] == 1


@pytest.mark.parametrize(
    ("again", "says"),
    [
        (Receipt("m1", 7, "c7", True), "became another event"),
        (Receipt("m1", 1, "c1", False), "is not said to be a duplicate"),
    ],
)
def test_an_acknowledged_id_that_is_answered_otherwise_breaks_guarantee_3(ledger: ProofRecord, again: Receipt, says: str) -> None:
    ledger.repeated(again)
    assert only(ledger)[0] == 3
    assert says in only(ledger)[1]


def test_an_acknowledged_id_that_is_answered_as_before_breaks_nothing(ledger: ProofRecord) -> None:
    ledger.repeated(Receipt("m1", 1, "c1", True))
    assert found(ledger) == []


def test_a_first_attempt_that_is_called_a_duplicate_breaks_guarantee_3(ledger: ProofRecord) -> None:
    ledger.acknowledged(Receipt("m3", 3, "c3", True), attempts=1)
    assert only(ledger)[0] == 3


def test_an_id_that_is_taken_with_another_body_breaks_guarantee_3(ledger: ProofRecord) -> None:
    ledger.contradicted(Receipt("m1", 3, "c3", False))
    assert only(ledger) == (3, "id m1 was accepted with another body than before")
