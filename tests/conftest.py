"""Fixtures of every suite: real Redis and Valkey servers, one of each for a test process."""

from collections.abc import Callable, Iterator

import pytest
from tests.servers import Kind, RedisServer, running


def shared(kind: Kind) -> Callable[..., Iterator[RedisServer]]:
    """A server that tests share: each keeps to names of its own."""

    @pytest.fixture(scope="session")
    def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
        with running(kind, tmp_path_factory.mktemp(kind)) as started:
            yield started

    return server


redis_server = shared("redis")
redis8_server = shared("redis8")
valkey_server = shared("valkey")
