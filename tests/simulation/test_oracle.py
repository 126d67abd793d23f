"""The oracle is believed because it finds what is planted, each fault by its guarantee, and nothing in clean histories."""

from collections.abc import Callable

import pytest
from tests.simulation.history import Calmed, Disturbed, story
from tests.simulation.oracle import explain, judge
from tests.simulation.scribe import Scribe, cursor_of

Story = Callable[[Scribe], None]


def told(tell: Story) -> list[tuple[int, int | None]]:
    scribe = Scribe()
    tell(scribe)
    return [(violation.guarantee, violation.seq) for violation in judge(scribe.records)]


def three_events_come(scribe: Scribe) -> list[bytes]:
    """Where most stories begin: a synced client that has everything."""
    scribe.start()
    scribe.open()
    frames = [scribe.write(name) for name in ("one", "two", "three")]
    scribe.come(*frames)
    scribe.sync()
    return frames


def an_answer(scribe: Scribe, *, is_complete: bool = True) -> list[bytes]:
    """A message, three deltas, and the event that carries the whole."""
    frames = [scribe.write("ask"), *(scribe.write(f"d{n}", kind="token", part="p") for n in range(3))]
    return [*frames, scribe.write("whole", replaces={"part": "p", "first_seq": 2, "last_seq": 4})] if is_complete else frames


# Clean histories.


def nothing_happens(scribe: Scribe) -> None:
    scribe.start()
    scribe.open()
    scribe.sync()
    scribe.finish()
    scribe.end()


def events_come_over_two_connections(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    fourth = scribe.write("four")
    scribe.open(cursor_of(frames[-1]))
    scribe.come(fourth)
    scribe.sync()
    scribe.finish()
    scribe.end()


def a_lost_tail_is_told_and_written_again(scribe: Scribe) -> None:
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


def folded_deltas_are_announced_and_left_out(scribe: Scribe) -> None:
    ask, *_, whole = an_answer(scribe)
    scribe.fold(4)
    scribe.start()
    scribe.open(folded=4)
    scribe.come(ask, whole)
    scribe.sync(folded=4)
    scribe.finish()
    scribe.end([ask, whole])


def a_cursor_below_a_trim_starts_over_from_the_oldest(scribe: Scribe) -> None:
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


def an_expired_log_begins_anew(scribe: Scribe) -> None:
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


def a_repeated_id_is_answered_with_the_first_place_or_a_conflict(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    for _ in range(2):
        scribe.attempt("two")
        scribe.acknowledge(frames[1])
    scribe.attempt("two", body="another")
    scribe.refuse("two", "conflict", body="another")
    scribe.finish()
    scribe.end()


def a_turn_is_taken_over(scribe: Scribe) -> None:
    scribe.raise_fence("t", 1)
    scribe.write("first", turn="t", attempt=1)
    scribe.raise_fence("t", 2)
    scribe.write("second", turn="t", attempt=2)
    scribe.end()


def a_disturbed_client_may_be_late(scribe: Scribe) -> None:
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
    a_cursor_below_a_trim_starts_over_from_the_oldest,
    an_expired_log_begins_anew,
    a_repeated_id_is_answered_with_the_first_place_or_a_conflict,
    a_turn_is_taken_over,
    a_disturbed_client_may_be_late,
]


@pytest.mark.parametrize("tell", CLEAN, ids=lambda tell: tell.__name__)
def test_a_clean_history_passes(tell: Story) -> None:
    assert told(tell) == []


# Planted faults, by guarantee.


def an_event_is_applied_twice(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.apply(frames[2])


def an_event_is_applied_out_of_order(scribe: Scribe) -> None:
    scribe.start()
    first, second, third = (scribe.write(name) for name in ("one", "two", "three"))
    scribe.apply(first, third, second)


def an_event_is_left_out_between_two_connections(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.shut()
    scribe.write("four")
    fifth = scribe.write("five")
    scribe.open(cursor_of(fifth))
    scribe.apply(fifth)


def a_replica_leaves_a_hole_that_the_client_repairs(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.write("four")
    scribe.receive(scribe.write("five"))


def the_newest_event_never_comes(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.write("four")
    scribe.finish()


def a_replica_says_that_all_came_when_it_did_not(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.write("four")
    scribe.sync()


def a_durable_event_is_left_out_as_if_folded(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.write("four")
    fifth = scribe.write("five")
    scribe.open(cursor_of(frames[2]), folded=4)
    scribe.come(fifth)


def a_folded_delta_is_left_out_without_a_word(scribe: Scribe) -> None:
    ask, *_, whole = an_answer(scribe)
    scribe.fold(4)
    scribe.start()
    scribe.open(folded=0)
    scribe.come(ask, whole)


def a_delta_of_an_open_part_is_folded(scribe: Scribe) -> None:
    an_answer(scribe, is_complete=False)
    scribe.fold(4)


def a_delta_of_an_open_part_is_left_out(scribe: Scribe) -> None:
    ask, *_ = an_answer(scribe, is_complete=False)
    later = scribe.write("later")
    scribe.start()
    scribe.open(folded=4)
    scribe.come(ask, later)


def a_subscriber_gets_other_bytes(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.start(client="other")
    scribe.apply(frames[0].replace(b'"data":"one"', b'"data":"One"'), client="other")


def an_event_is_found_only_by_a_heartbeat(scribe: Scribe) -> None:
    three_events_come(scribe)
    fourth = scribe.write("four")
    scribe.wait(20)
    scribe.come(fourth)


def the_log_skips_a_seq(scribe: Scribe) -> None:
    scribe.write("one")
    scribe.write("three", seq=3)


def an_acknowledged_event_was_never_logged(scribe: Scribe) -> None:
    scribe.attempt("one")
    scribe.acknowledge(scribe.frame("one"))


def an_acknowledged_event_is_gone_from_the_log(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.acknowledge(frames[1])
    scribe.end([frames[0], frames[2]])


def an_acknowledgement_names_another_place(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.acknowledge(frames[1].replace(b'"id":"two"', b'"id":"three"'))


def a_publish_is_never_answered(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.attempt("four")
    scribe.finish("four")


def an_id_is_logged_twice(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.write("two")


def another_body_is_acknowledged(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.attempt("two", body="another")
    scribe.acknowledge(frames[1], body="another")


def a_conflict_is_told_to_an_honest_retry(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.attempt("two")
    scribe.refuse("two", "conflict")


def a_lost_event_is_built_upon(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.fail_over(2)
    scribe.write("other three")
    scribe.apply(scribe.write("four"))


def a_lost_event_is_never_told(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.fail_over(2)
    scribe.finish()


def a_lost_history_is_accepted_in_silence(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.fail_over(2)
    scribe.write("other three")
    scribe.wait(30)
    scribe.open(cursor_of(frames[2]))
    scribe.sync()


def the_common_position_is_a_lost_event(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.fail_over(1)
    scribe.open(cursor_of(frames[2]))
    scribe.reset("rolled_back", common=frames[1])


def the_common_position_is_lower_than_need_be(scribe: Scribe) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.fail_over(2)
    scribe.open(cursor_of(frames[2]))
    scribe.reset("rolled_back", common=frames[0])


def a_good_history_is_reset(scribe: Scribe) -> None:
    three_events_come(scribe)
    scribe.reset("expired")


def a_foreign_cursor_is_accepted(scribe: Scribe) -> None:
    scribe.write("one")
    scribe.start("e9-1abcdef-7-1234567890")
    scribe.open("e9-1abcdef-7-1234567890")
    scribe.sync()


def a_cursor_names_two_events(scribe: Scribe) -> None:
    first = scribe.write("one")
    scribe.fail_over(0)
    scribe.history.note(scribe.records[0]._replace(frame=first.replace(b'"data":"one"', b'"data":"other"')))  # type: ignore[call-arg]


def an_overtaken_attempt_writes(scribe: Scribe) -> None:
    scribe.raise_fence("t", 1)
    scribe.raise_fence("t", 2)
    scribe.write("late", turn="t", attempt=1)


PLANTED: list[tuple[Story, int, int | None]] = [
    (an_event_is_applied_twice, 1, 3),
    (an_event_is_applied_out_of_order, 1, 2),
    (an_event_is_left_out_between_two_connections, 1, 4),
    (a_replica_leaves_a_hole_that_the_client_repairs, 1, 4),
    (the_newest_event_never_comes, 1, 4),
    (a_replica_says_that_all_came_when_it_did_not, 1, 4),
    (a_durable_event_is_left_out_as_if_folded, 1, 4),
    (a_folded_delta_is_left_out_without_a_word, 1, 4),
    (a_delta_of_an_open_part_is_folded, 1, 2),
    (a_delta_of_an_open_part_is_left_out, 1, 4),
    (a_subscriber_gets_other_bytes, 1, None),
    (an_event_is_found_only_by_a_heartbeat, 1, 4),
    (the_log_skips_a_seq, 1, 3),
    (an_acknowledged_event_was_never_logged, 2, 1),
    (an_acknowledged_event_is_gone_from_the_log, 2, 2),
    (an_acknowledgement_names_another_place, 2, 2),
    (a_publish_is_never_answered, 2, None),
    (an_id_is_logged_twice, 3, 4),
    (another_body_is_acknowledged, 3, 2),
    (a_conflict_is_told_to_an_honest_retry, 3, None),
    (a_lost_event_is_built_upon, 4, 4),
    (a_lost_event_is_never_told, 4, 3),
    (a_lost_history_is_accepted_in_silence, 4, 3),
    (the_common_position_is_a_lost_event, 4, 2),
    (the_common_position_is_lower_than_need_be, 4, 2),
    (a_good_history_is_reset, 4, 3),
    (a_foreign_cursor_is_accepted, 4, None),
    (a_cursor_names_two_events, 4, 1),
    (an_overtaken_attempt_writes, 6, 1),
]


@pytest.mark.parametrize(("tell", "guarantee", "seq"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_found(tell: Story, guarantee: int, seq: int | None) -> None:
    assert (guarantee, seq) in told(tell)


def test_a_violation_tells_whose_it_is_and_what_led_to_it() -> None:
    scribe = Scribe()
    the_newest_event_never_comes(scribe)
    (violation,) = judge(scribe.records)

    text = explain(violation, scribe.records)

    assert "guarantee 1 (order, no gap, no duplicate): session s, client c, seq 4: never came" in text
    assert text.splitlines()[-1].split()[2] == "Finished"
    assert text.count("\n") == len(story(scribe.records, session="s", client="c").splitlines())
