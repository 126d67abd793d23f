"""Clean histories, told by hand: what an oracle must not find anything in.

Owns these stories, and the beginnings that others share. Must not know the oracle.
"""

from collections.abc import Callable

from tests.simulation.history import Calmed, Disturbed
from tests.simulation.history_builder import HistoryBuilder, cursor_of

Story = Callable[[HistoryBuilder], None]


def three_events_come(scribe: HistoryBuilder) -> list[bytes]:
    """Where most stories begin: a synced client that has everything."""
    scribe.start()
    scribe.open()
    frames = [scribe.write(name) for name in ("one", "two", "three")]
    scribe.come(*frames)
    scribe.sync()
    return frames


def an_answer(scribe: HistoryBuilder, *, is_complete: bool = True) -> list[bytes]:
    """A message, three deltas, and the event that carries the whole."""
    frames = [scribe.write("ask"), *(scribe.write(f"d{n}", kind="token", part="p") for n in range(3))]
    return [*frames, scribe.write("whole", replaces={"part": "p", "first_seq": 2, "last_seq": 4})] if is_complete else frames


def nothing_happens(scribe: HistoryBuilder) -> None:
    scribe.start()
    scribe.open()
    scribe.sync()
    scribe.finish()
    scribe.end()


def events_come_over_two_connections(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    fourth = scribe.write("four")
    scribe.open(cursor_of(frames[-1]))
    scribe.come(fourth)
    scribe.sync()
    scribe.finish()
    scribe.end()


def a_lost_tail_is_told_and_written_again(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.attempt("three")
    scribe.acknowledge(frames[2])
    scribe.fail_over(2)
    again = scribe.write("three")
    scribe.acknowledge(again)
    scribe.reset("rolled_back", common=frames[1])
    scribe.come(again)
    scribe.finish()
    scribe.end()


def folded_deltas_are_announced_and_left_out(scribe: HistoryBuilder) -> None:
    ask, *_, whole = an_answer(scribe)
    scribe.fold(4)
    scribe.start()
    scribe.open(folded=4)
    scribe.come(ask, whole)
    scribe.sync(folded=4)
    scribe.finish()
    scribe.end([ask, whole])


def deltas_that_were_taken_away_are_announced_as_folded(scribe: HistoryBuilder) -> None:
    ask, *_, last = an_answer(scribe, is_complete=False)
    scribe.lose_deltas(4)
    later = scribe.write("later")
    scribe.start()
    scribe.open(folded=4)
    scribe.come(ask, later)
    scribe.shut()
    scribe.fail_over(4)
    scribe.open(cursor_of(later), folded=4)
    scribe.reset("rolled_back", common=last)
    scribe.sync(folded=4)
    scribe.fold(4)  # nobody misses them: they are no deltas of an open part any more
    scribe.finish()
    scribe.end([ask])


def a_cursor_below_a_trim_starts_over_from_the_oldest(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    frames += [scribe.write(name) for name in ("four", "five", "six")]
    scribe.trim(5)
    scribe.open(cursor_of(frames[2]))
    scribe.reset("trimmed")
    scribe.come(*frames[4:])
    scribe.sync()
    scribe.finish()
    scribe.end(frames[4:])


def a_log_is_trimmed_beyond_a_client(scribe: HistoryBuilder) -> tuple[list[bytes], list[bytes]]:
    """What the client has, which ends below the oldest event kept, and what comes after that; the client has connected again."""
    had = three_events_come(scribe)
    scribe.shut()
    later = [scribe.write(name) for name in ("four", "five", "six", "seven")]
    scribe.open(cursor_of(had[-1]))
    scribe.trim(6)
    return had, later


def a_failover_takes_a_trim_back_while_its_reset_is_on_its_way(scribe: HistoryBuilder) -> None:
    _, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.fail_over(5, oldest=1)
    scribe.reset("trimmed", head=later[-1], oldest=6)
    scribe.come(*later[2:])
    scribe.reset("rolled_back", common=later[1])
    scribe.sync()
    scribe.finish()
    scribe.end()


def a_trimmed_log_ends_while_its_reset_is_on_its_way(scribe: HistoryBuilder) -> None:
    _, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.begin_anew()
    first = scribe.write("one")
    scribe.reset("trimmed", head=later[-1], oldest=6)
    scribe.come(*later[2:])
    scribe.reset("expired", head=first)
    scribe.come(first)
    scribe.sync()
    scribe.finish()
    scribe.end()


def a_client_is_reset_by_a_cursor_that_it_named_and_has_left_behind(scribe: HistoryBuilder) -> None:
    """It was stalled: while the answer was on its way the client took what had been sent before."""
    _, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.come(*later)
    scribe.begin_anew()
    scribe.reset("trimmed", head=later[-1], oldest=6)
    scribe.come(*later[2:])
    scribe.reset("expired")
    scribe.finish()
    scribe.end()


def an_expired_log_begins_anew(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.begin_anew()
    first = scribe.write("one")
    scribe.open(cursor_of(frames[2]))
    scribe.reset("expired")
    scribe.come(first)
    scribe.sync()
    scribe.finish()
    scribe.end()


def a_repeated_id_is_answered_with_the_first_place_or_a_conflict(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    for _ in range(2):
        scribe.attempt("two")
        scribe.acknowledge(frames[1])
    scribe.attempt("two", body="another")
    scribe.refuse("two", "conflict", body="another")
    scribe.finish()
    scribe.end()


def a_turn_is_taken_over(scribe: HistoryBuilder) -> None:
    scribe.raise_fence("t", 1)
    scribe.write("first", turn="t", attempt=1)
    scribe.raise_fence("t", 2)
    scribe.write("second", turn="t", attempt=2)
    scribe.end()


def a_disturbed_client_may_be_late(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.history.note(Disturbed(scribe.at, "c", "stalled"))
    fourth = scribe.write("four")
    scribe.wait(60)
    scribe.history.note(Calmed(scribe.at, "c", "stalled"))
    scribe.come(fourth)
    scribe.finish()
    scribe.end()


CLEAN = [
    nothing_happens,
    events_come_over_two_connections,
    a_lost_tail_is_told_and_written_again,
    folded_deltas_are_announced_and_left_out,
    deltas_that_were_taken_away_are_announced_as_folded,
    a_cursor_below_a_trim_starts_over_from_the_oldest,
    a_failover_takes_a_trim_back_while_its_reset_is_on_its_way,
    a_trimmed_log_ends_while_its_reset_is_on_its_way,
    a_client_is_reset_by_a_cursor_that_it_named_and_has_left_behind,
    an_expired_log_begins_anew,
    a_repeated_id_is_answered_with_the_first_place_or_a_conflict,
    a_turn_is_taken_over,
    a_disturbed_client_may_be_late,
]
