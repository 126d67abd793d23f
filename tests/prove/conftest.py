"""Two replicas over one Redis, for all proofs of a test process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.redis_servers import RedisServer
from tests.support.replica_process import Replica

NAMES = ("north", "south")


@pytest.fixture(scope="session")
def replicas(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    folder: Path = tmp_path_factory.mktemp("prove")
    started = [Replica(name, {"redis_url": redis_server.url, "key_prefix": "prove"}, folder) for name in NAMES]
    try:
        for replica in started:
            replica.start(is_awaited=False)
        for replica in started:
            replica.until_ready()
        yield started
        assert [line for replica in started for line in replica.failures()] == []
    finally:
        for replica in started:
            replica.kill()
