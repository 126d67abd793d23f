"""Faults planted in histories told by hand, each by the guarantee that it breaks.

Owns these stories, and what is to be found in each. Must not know the oracle.
"""

from tests.simulation.history_builder import HistoryBuilder, cursor_of
from tests.simulation.valid_histories import Story, a_log_is_trimmed_beyond_a_client, an_answer, three_events_come


def an_event_is_applied_twice(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.apply(frames[2])


def an_event_is_applied_out_of_order(scribe: HistoryBuilder) -> None:
    scribe.start()
    first, second, third = (scribe.write(name) for name in ("one", "two", "three"))
    scribe.apply(first, third, second)


def an_event_is_left_out_between_two_connections(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.shut()
    scribe.write("four")
    fifth = scribe.write("five")
    scribe.open(cursor_of(fifth))
    scribe.apply(fifth)


def a_replica_leaves_a_hole_that_the_client_repairs(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.write("four")
    scribe.receive(scribe.write("five"))


def the_newest_event_never_comes(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.write("four")
    scribe.finish()


def a_replica_says_that_all_came_when_it_did_not(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.write("four")
    scribe.sync()


def a_durable_event_is_left_out_as_if_folded(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.write("four")
    fifth = scribe.write("five")
    scribe.open(cursor_of(frames[2]), folded=4)
    scribe.come(fifth)


def a_folded_delta_is_left_out_without_a_word(scribe: HistoryBuilder) -> None:
    ask, *_, whole = an_answer(scribe)
    scribe.fold(4)
    scribe.start()
    scribe.open(folded=0)
    scribe.come(ask, whole)


def a_delta_of_an_open_part_is_folded(scribe: HistoryBuilder) -> None:
    an_answer(scribe, is_complete=False)
    scribe.fold(4)


def a_delta_of_an_open_part_is_left_out(scribe: HistoryBuilder) -> None:
    ask, *_ = an_answer(scribe, is_complete=False)
    later = scribe.write("later")
    scribe.start()
    scribe.open(folded=4)
    scribe.come(ask, later)


def deltas_that_were_taken_away_are_left_out_without_a_word(scribe: HistoryBuilder) -> None:
    ask, *_ = an_answer(scribe, is_complete=False)
    scribe.lose_deltas(4)
    later = scribe.write("later")
    scribe.start()
    scribe.open(folded=3)
    scribe.come(ask, later)


def a_subscriber_gets_other_bytes(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.start(client="other")
    scribe.apply(frames[0].replace(b'"data":"one"', b'"data":"One"'), client="other")


def an_event_is_found_only_by_a_heartbeat(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    fourth = scribe.write("four")
    scribe.wait(20)
    scribe.come(fourth)


def the_log_skips_a_seq(scribe: HistoryBuilder) -> None:
    scribe.write("one")
    scribe.write("three", seq=3)


def an_acknowledged_event_was_never_logged(scribe: HistoryBuilder) -> None:
    scribe.attempt("one")
    scribe.acknowledge(scribe.frame("one"))


def an_acknowledged_event_is_gone_from_the_log(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.acknowledge(frames[1])
    scribe.end([frames[0], frames[2]])


def an_acknowledgement_names_another_place(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.acknowledge(frames[1].replace(b'"id":"two"', b'"id":"three"'))


def a_publish_is_never_answered(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.attempt("four")
    scribe.finish("four")


def an_id_is_logged_twice(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.write("two")


def another_body_is_acknowledged(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.attempt("two", body="another")
    scribe.acknowledge(frames[1], body="another")


def a_conflict_is_told_to_an_honest_retry(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.attempt("two")
    scribe.refuse("two", "conflict")


def a_lost_event_is_built_upon(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.fail_over(2)
    scribe.write("other three")
    scribe.apply(scribe.write("four"))


def a_lost_event_is_never_told(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.fail_over(2)
    scribe.finish()


def a_lost_history_is_accepted_in_silence(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.fail_over(2)
    scribe.write("other three")
    scribe.wait(30)
    scribe.open(cursor_of(frames[2]))
    scribe.sync()


def the_common_position_is_a_lost_event(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.fail_over(1)
    scribe.open(cursor_of(frames[2]))
    scribe.reset("rolled_back", common=frames[1])


def the_common_position_is_lower_than_need_be(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    scribe.fail_over(2)
    scribe.open(cursor_of(frames[2]))
    scribe.reset("rolled_back", common=frames[0])


def a_good_history_is_reset(scribe: HistoryBuilder) -> None:
    three_events_come(scribe)
    scribe.reset("expired")


def a_reset_tells_of_a_trim_that_never_was(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.shut()
    frames += [scribe.write(name) for name in ("four", "five", "six")]
    scribe.open(cursor_of(frames[2]))
    scribe.reset("trimmed", head=frames[5], oldest=5)


def a_reset_tells_of_a_trim_that_no_reader_of_this_connection_saw(scribe: HistoryBuilder) -> None:
    had, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.shut()
    scribe.fail_over(5, oldest=1)
    scribe.open(cursor_of(had[2]))
    scribe.reset("trimmed", head=later[-1], oldest=6)


def a_trim_outlives_the_failover_that_took_it_back(scribe: HistoryBuilder) -> None:
    _, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.fail_over(5, oldest=1)
    scribe.reset("trimmed", head=later[1], oldest=6)


def a_reset_tells_of_a_trim_that_came_later(scribe: HistoryBuilder) -> None:
    frames = three_events_come(scribe)
    scribe.trim(3)
    scribe.reset("trimmed", head=frames[2], oldest=3)


def a_loss_is_called_a_trim_that_was_there_before(scribe: HistoryBuilder) -> None:
    _, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.begin_anew()
    first = scribe.write("one")
    scribe.reset("trimmed", head=first)
    scribe.come(*later[2:])


def a_reset_leaves_a_hole_above_where_the_log_began(scribe: HistoryBuilder) -> None:
    _, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.fail_over(5, oldest=1)
    scribe.reset("trimmed", head=later[-1], oldest=6)
    scribe.apply(later[3])


def a_trim_that_was_told_excuses_the_next_log(scribe: HistoryBuilder) -> None:
    _, later = a_log_is_trimmed_beyond_a_client(scribe)
    scribe.reset("trimmed", head=later[-1], oldest=6)
    scribe.begin_anew()
    scribe.write("one")
    scribe.come(scribe.write("two"))


def a_foreign_cursor_is_accepted(scribe: HistoryBuilder) -> None:
    scribe.write("one")
    scribe.start("e9-1abcdef-7-1234567890")
    scribe.open("e9-1abcdef-7-1234567890")
    scribe.sync()


def a_cursor_names_two_events(scribe: HistoryBuilder) -> None:
    first = scribe.write("one")
    scribe.fail_over(0)
    scribe.history.note(scribe.records[0]._replace(frame=first.replace(b'"data":"one"', b'"data":"other"')))  # type: ignore[call-arg]


def an_overtaken_attempt_writes(scribe: HistoryBuilder) -> None:
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
    (deltas_that_were_taken_away_are_left_out_without_a_word, 1, 4),
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
    (a_reset_tells_of_a_trim_that_never_was, 4, 3),
    (a_reset_tells_of_a_trim_that_no_reader_of_this_connection_saw, 4, 3),
    (a_trim_outlives_the_failover_that_took_it_back, 4, 3),
    (a_reset_tells_of_a_trim_that_came_later, 4, 3),
    (a_loss_is_called_a_trim_that_was_there_before, 4, 3),
    (a_reset_leaves_a_hole_above_where_the_log_began, 1, 6),
    (a_trim_that_was_told_excuses_the_next_log, 1, 1),
    (a_foreign_cursor_is_accepted, 4, None),
    (a_cursor_names_two_events, 4, 1),
    (an_overtaken_attempt_writes, 6, 1),
]
