"""One suite for every store: each test that takes `store` or `backend` runs against memory, Valkey and Redis."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.conformance.backends import Backend, MemoryBackend, RedisBackend
from tests.conformance.kit import Ear
from tests.servers import RedisServer, running

from anypod.store import Store

KINDS = ["memory", "valkey", "redis"]


@pytest.fixture(params=KINDS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """A server shared with other tests: names are a test's own, nothing may stop it."""
    backend = MemoryBackend() if request.param == "memory" else RedisBackend(request.getfixturevalue(f"{request.param}_server"))
    yield backend
    await backend.close()


@pytest.fixture(params=KINDS)
async def own_backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """A server of this test alone, to be killed at will. What it acknowledges is on the disk."""
    if request.param == "memory":
        memory = MemoryBackend()
        yield memory
        await memory.close()
        return
    with running(request.param, tmp_path, "--appendfsync", "always", "--enable-debug-command", "local") as server:
        redis = RedisBackend(server)
        yield redis
        await redis.close()


@pytest.fixture(params=["valkey", "redis"])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A process of this test alone."""
    with running(request.param, tmp_path, "--appendfsync", "always") as server:
        yield server


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def store(backend: Backend, ear: Ear) -> Store:
    return await backend.open(ear)
