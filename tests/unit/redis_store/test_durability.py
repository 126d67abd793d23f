"""What counts as durable, and what settings may ask for."""

import pytest
from pydantic import ValidationError
from tests.support.options import redis_options_of

from anypod.redis_store.log.durability import wait_of
from anypod.redis_store.wire.connection import LOST, Reply
from anypod.redis_store.wire.errors import UNCONFIRMED, is_moving, is_passing
from anypod.settings import Settings

SECRET = "x" * 32


@pytest.mark.parametrize(
    ("replicas", "reply", "is_enough"),
    [(None, 0, False), (None, 1, True), (2, 1, False), (2, 3, True), (1, LOST, False), (1, [1, 1], False)],
)
def test_replicated_counts_the_replicas_that_have_it(replicas: int | None, reply: Reply, *, is_enough: bool) -> None:
    wait = wait_of(redis_options_of("redis://h", durability="replicated", durability_replicas=replicas))
    assert wait is not None
    assert wait.is_enough(reply) is is_enough


@pytest.mark.parametrize(
    ("replicas", "reply", "is_enough"),
    [(None, [1, 0], True), (None, [0, 2], False), (1, [1, 0], False), (1, [1, 1], True), (None, 1, False)],
)
def test_fsynced_asks_for_the_servers_own_disk_and_for_those_of_so_many_replicas(
    replicas: int | None, reply: Reply, *, is_enough: bool
) -> None:
    wait = wait_of(redis_options_of("redis://h", durability="fsynced", durability_replicas=replicas))
    assert wait is not None
    assert wait.is_enough(reply) is is_enough


def test_logged_waits_for_nothing() -> None:
    assert wait_of(redis_options_of("redis://h")) is None


def test_what_is_not_durable_gives_up_no_connection_and_is_not_held() -> None:
    assert not is_passing(UNCONFIRMED)
    assert not is_moving(UNCONFIRMED)


def test_replicated_without_a_replica_to_wait_for_is_refused() -> None:
    Settings(jwt_secret=SECRET, durability="fsynced", durability_replicas=0)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="ANYPOD_DURABILITY_REPLICAS=0"):
        Settings(jwt_secret=SECRET, durability="replicated", durability_replicas=0)  # type: ignore[arg-type]
