"""What a replica promises on bad days, in a form that fits between other tests: `make bounds` has the full one, on a quiet machine."""

from pathlib import Path

import pytest
import uvloop
import yaml
from loadtests.bench.__main__ import raise_file_limit
from loadtests.storm.__main__ import is_good, measure
from tests.slo.bound import SHARED_FLOOR_S, Bound, broken
from tests.slo.killed_replica import kill
from tests.slo.silent_link import silence
from tests.slo.stalled_readers import stall
from tests.slo.stalled_replays import Kind, Transport, stall_replays
from tests.support.redis_servers import RedisServer, binary_of

from anypod.core.outbox import OUTBOX_TOTAL_BYTES_MAX

ROOT = Path(__file__).parents[2]
STORMING = 800
STORMS = 3  # the median counts
SHARED_RATIO_MAX = 3.0  # of the publishers' 99th percentile to the one before, in the same run: twice where nothing else runs
STALLED = 100
REPLAYS = 110
KILLED_UNDER = 90


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_all_of_a_storm_are_back_when_the_limits_promise_and_publishers_hardly_notice() -> None:
    raise_file_limit()
    found = measure(binary_of("redis"), STORMING, STORMS)
    print(*found, sep="\n")
    assert is_good(found, ratio_max=SHARED_RATIO_MAX)


@pytest.mark.alone
def test_readers_that_never_read_cost_little_and_are_gone_soon_and_their_neighbours_notice_nothing(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    seen = uvloop.run(stall(redis_server, tmp_path, STALLED))
    print(seen)
    assert broken(seen.bounds(SHARED_FLOOR_S)) == []


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["websocket", "sse"])
@pytest.mark.parametrize("path", ["lean", "portable"])
def test_readers_that_ask_for_a_log_of_large_events_and_never_read_it_fit_in_a_pod(
    redis_server: RedisServer, tmp_path: Path, path: Transport, kind: Kind
) -> None:
    seen = uvloop.run(stall_replays(redis_server, tmp_path, REPLAYS, path=path, kind=kind))
    print(seen)
    assert broken(seen.bounds(4 * SHARED_FLOOR_S)) == []  # they also come within a second or two, by the same process


def test_what_a_pod_may_hold_for_readers_follows_from_its_memory() -> None:
    values = yaml.safe_load((ROOT / "helm/anypod/values.yaml").read_text())
    assert values["resources"]["limits"]["memory"] == f"{8 * OUTBOX_TOTAL_BYTES_MAX >> 20}Mi"


@pytest.mark.alone
def test_a_silent_link_is_known_to_both_ends_in_time(redis_server: RedisServer, tmp_path: Path) -> None:
    seen = uvloop.run(silence(redis_server, tmp_path))
    print(seen)
    assert broken(seen.bounds()) == []


@pytest.mark.alone
def test_the_clients_of_a_killed_replica_are_back_soon_and_the_others_hardly_notice(tmp_path: Path) -> None:
    seen = uvloop.run(kill(tmp_path, KILLED_UNDER))
    print(seen)
    assert seen.cut > 0, "it had no clients"
    assert broken(seen.bounds(is_alone=False)) == []


def test_a_bound_that_is_broken_is_told() -> None:
    assert broken([Bound("as planned", 1, 1), Bound("too much", 2, 1)]) == ["too much: 2, at most 1"]
