"""A replica and its Redis that start together, in whatever order."""

from pathlib import Path

from tests.support.redis_servers import LOOPBACK, running
from tests.support.replica_process import Replica

TOLD = "it is waited for"


def test_a_replica_waits_for_a_redis_that_starts_after_it(tmp_path: Path) -> None:
    with running("valkey", tmp_path / "redis") as redis:
        redis.kill()
        replica = Replica("early", {"redis_url": f"redis://{LOOPBACK}:{redis.port}/0"}, tmp_path)
        replica.start(is_awaited=False)
        try:
            replica.until(lambda: TOLD in replica.output, "told that there is no Redis")
            redis.start()
            replica.until_ready()
            assert replica.output.count(TOLD) == 1
        finally:
            replica.kill()


def test_a_replica_does_not_wait_for_what_does_not_get_better(tmp_path: Path) -> None:
    with running("valkey", tmp_path / "redis") as redis:
        replica = Replica("stranger", {"redis_url": f"redis://nobody:wrong@{LOOPBACK}:{redis.port}/0"}, tmp_path)
        replica.start(is_awaited=False)
        assert replica.wait() == 1
    assert "does not accept the user or password" in replica.output
    assert TOLD not in replica.output
