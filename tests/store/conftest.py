"""One suite for every store: each test that takes `store` or `backend` runs against memory, Valkey, Redis 7 and 8, Sentinels, Clusters."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.store.backends import Backend, ClusterBackend, MemoryBackend, RedisBackend
from tests.store.kit import Ear
from tests.support.redis_clusters import STALL_MS, Cluster, Watched, cluster, watched
from tests.support.redis_servers import Kind, RedisServer, running

from anypod.store import Store

SERVERS = ["valkey", "redis", "redis8"]
KINDS = ["memory", *SERVERS]


@pytest.fixture(params=[*KINDS, "sentinel", "cluster", "valkey-cluster"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """Servers shared with other tests: names are a test's own, nothing may stop them."""
    backend = _shared(request)
    yield backend
    await backend.close()


def _shared(request: pytest.FixtureRequest) -> Backend:
    match request.param:
        case "memory":
            return MemoryBackend()
        case "sentinel":
            servers: Watched = request.getfixturevalue("watched_servers")
            return RedisBackend(servers.primary(), url=servers.url)
        case "cluster":
            return ClusterBackend(request.getfixturevalue("cluster_nodes"))
        case "valkey-cluster":
            return ClusterBackend(request.getfixturevalue("valkey_cluster_nodes"))
        case kind:
            return RedisBackend(request.getfixturevalue(f"{kind}_server"))


@pytest.fixture(scope="session")
def watched_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A primary with a replica, behind Sentinels."""
    with watched("redis", tmp_path_factory.mktemp("sentinel"), down_after_ms=STALL_MS) as servers:
        yield servers


def shared_cluster(kind: Kind) -> Callable[..., Iterator[Cluster]]:
    """Three primaries that tests share."""

    @pytest.fixture(scope="session")
    def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
        with cluster(kind, tmp_path_factory.mktemp(f"{kind}-cluster"), down_after_ms=STALL_MS) as started:
            yield started

    return nodes


cluster_nodes = shared_cluster("redis")
valkey_cluster_nodes = shared_cluster("valkey")


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


@pytest.fixture(params=SERVERS)
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
