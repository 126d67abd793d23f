"""The archive finds a page of history that is not the log's, and a promise that was not kept."""

import pytest
from tests.chaos.archive import Archive, Leafed, Patched
from tests.simulation.history import Gone, Logged, TailLost, Trimmed


def frame(seq: int, kind: str = "message", data: str = "1") -> bytes:
    return b'{"type":"event","seq":%d,"cursor":"e-1ffffff-%d-5","id":"i%d","kind":"%b","ts":1,"data":%b}' % (
        seq,
        seq,
        seq,
        kind.encode(),
        data.encode(),
    )


@pytest.fixture
def archive() -> Archive:
    """Six events, of which the third is a delta."""
    made = Archive()
    for seq in range(1, 7):
        made.take(Logged(0.0, "s", frame(seq, "token" if seq == 3 else "message")))
    return made


def page(archive: Archive, *seqs: int, before: int | None = None, is_last: bool = False) -> Leafed:
    return Leafed(0.0, "s", "c", before, archive.losses["s"], archive.known("s"), tuple(map(frame, seqs)), is_last)


def test_a_page_of_durable_events_in_their_order_is_right(archive: Archive) -> None:
    assert archive.judge(page(archive, 4, 5, 6)) is None
    assert archive.judge(page(archive, 1, 2, 4, before=5, is_last=True)) is None
    assert archive.judge(page(archive, before=1, is_last=True)) is None


@pytest.mark.parametrize(
    ("seqs", "before", "is_last"),
    [((4, 6), None, False), ((6, 5), None, False), ((4, 4), None, False), ((2, 4), 6, False), ((2, 4), 5, True), ((), 5, True)],
    ids=["a hole", "an order", "a double", "an end too soon", "a beginning too late", "nothing"],
)
def test_a_page_that_is_not_the_logs_is_found(archive: Archive, seqs: tuple[int, ...], before: int | None, is_last: bool) -> None:
    assert archive.judge(page(archive, *seqs, before=before, is_last=is_last))


def test_what_was_asked_before_the_log_lost_something_is_not_judged(archive: Archive) -> None:
    asked = page(archive, 4, 5, 6)
    archive.take(TailLost(0.0, "s", 4))
    assert archive.judge(asked) is None
    assert archive.judge(page(archive, 4, 5, 6)), "and what is asked later is"
    assert archive.judge(page(archive, 1, 2, 4)) is None
    archive.take(Trimmed(0.0, "s", 2))
    assert archive.judge(page(archive, 2, 4, is_last=True)) is None
    archive.take(Gone(0.0, "s", "deleted"))
    assert archive.judge(page(archive, is_last=True)) is None


def test_an_empty_page_is_right_while_the_log_is_new() -> None:
    new = Archive()
    asked = page(new, is_last=True)
    new.take(Logged(0.0, "s", frame(1)))
    assert new.judge(asked) is None
    assert new.judge(page(new, is_last=True)), "and wrong as soon as it had events when it was asked"


def test_a_change_of_the_state_that_was_accepted_must_be_in_the_log(archive: Archive) -> None:
    patch = Patched(0.0, "s", "c", 0, b'"mark.1"')
    assert archive.judge(patch)
    archive.take(Logged(0.0, "s", frame(7, "context_update", '{"state":{"m":"mark.1"}}')))
    assert archive.judge(patch) is None
