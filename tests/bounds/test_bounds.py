"""What a replica promises on bad days, in a form that fits between other tests: `make bounds` has the full one, on a quiet machine."""

from pathlib import Path

import uvloop
from loadtests.bench.__main__ import raise_file_limit
from loadtests.storm.__main__ import measure
from tests.bounds.bound import SHARED_FLOOR_S, Bound, broken
from tests.bounds.killed_replica import kill
from tests.bounds.silent_link import silence
from tests.bounds.stalled_readers import stall
from tests.servers import RedisServer, binary_of

STORMING = 800
STALLED = 100
KILLED_UNDER = 90


def test_all_of_a_storm_are_back_when_the_limits_promise_and_publishers_hardly_notice() -> None:
    raise_file_limit()
    (storm,) = measure(binary_of("redis"), STORMING, 1)
    print(storm)
    assert storm.is_back
    assert storm.is_served(SHARED_FLOOR_S * 1_000)


def test_readers_that_never_read_cost_little_and_are_gone_soon_and_their_neighbours_notice_nothing(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    seen = uvloop.run(stall(redis_server, tmp_path, STALLED))
    print(seen)
    assert broken(seen.bounds(SHARED_FLOOR_S)) == []


def test_a_silent_link_is_known_to_both_ends_in_time(redis_server: RedisServer, tmp_path: Path) -> None:
    seen = uvloop.run(silence(redis_server, tmp_path))
    print(seen)
    assert broken(seen.bounds()) == []


def test_the_clients_of_a_killed_replica_are_back_soon_and_the_others_hardly_notice(tmp_path: Path) -> None:
    seen = uvloop.run(kill(tmp_path, KILLED_UNDER))
    print(seen)
    assert seen.cut > 0, "it had no clients"
    assert broken(seen.bounds(is_alone=False)) == []


def test_a_bound_that_is_broken_is_told() -> None:
    assert broken([Bound("as planned", 1, 1), Bound("too much", 2, 1)]) == ["too much: 2, at most 1"]
