"""Fixtures of every suite: real Redis and Valkey servers, one of each for a test process."""

from collections.abc import Iterator

import pytest
from tests.servers import RedisServer, running


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that tests share: each keeps to names of its own."""
    with running("redis", tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Valkey that tests share: each keeps to names of its own."""
    with running("valkey", tmp_path_factory.mktemp("valkey")) as server:
        yield server
