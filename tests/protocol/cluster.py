"""Replicas for cases: one process for each set of settings, shared by all cases that need no other.

Owns the processes and their end. Must not know cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.redis_servers import RedisServer, find_binary
from tests.support.replica_process import Replica

REPLICAS: Final = 2  # on one Redis: enough to come back to another
CREDENTIAL_START: Final = "eyJ"  # of every JWT


@dataclass(frozen=True, slots=True)
class Cluster:
    replicas: tuple[Replica, ...]
    redis: RedisServer | None


class Clusters:
    """`settings` by name, as the data file has them."""

    def __init__(self, settings: Mapping[str, Mapping[str, str]], directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._running: dict[str, Cluster] = {}

    def get(self, name: str) -> Cluster:
        """Whole: what an earlier case has ended runs again."""
        if name not in self._running:
            self._running[name] = self._made(name)
        cluster = self._running[name]
        if cluster.redis is not None and not _answers(cluster.redis):
            cluster.redis.start()
        ended = [replica for replica in cluster.replicas if not replica.is_running]
        for replica in ended:
            replica.start(is_awaited=False)
        for replica in cluster.replicas:
            replica.until_ready()
        return cluster

    def _made(self, name: str) -> Cluster:
        settings, directory = dict(self._settings[name]), self._directory / name
        directory.mkdir()
        if settings["store"] != "redis":
            return Cluster((Replica(name, settings, directory),), None)
        redis = _redis(directory)
        settings["redis_url"] = redis.url
        return Cluster(tuple(Replica(f"{name}-{number}", settings, directory) for number in range(1, REPLICAS + 1)), redis)

    def end(self) -> None:
        """Raises AssertionError when a replica has failed at something."""
        for cluster in self._running.values():
            for replica in cluster.replicas:
                if replica.is_running:
                    replica.kill()
            if cluster.redis is not None:
                cluster.redis.kill()
        replicas = [replica for cluster in self._running.values() for replica in cluster.replicas]
        failures = [f"{replica.name}: {line}" for replica in replicas for line in replica.failures()]
        assert not failures, "\n".join(failures)
        assert not [replica.name for replica in replicas if CREDENTIAL_START in replica.output], "a credential was logged"


def _answers(redis: RedisServer) -> bool:
    try:
        redis.command("PING")
    except OSError:
        return False
    return True


def _redis(directory: Path) -> RedisServer:
    binary = find_binary("valkey")
    assert binary is not None, "no valkey-server: install the `dev` extra"
    return RedisServer(binary, directory, "--maxmemory-policy", "noeviction", "--appendfsync", "always")
