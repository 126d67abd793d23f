"""The servers that the suite runs against, and their faults by one set of names."""

import asyncio
import random
from abc import ABC, abstractmethod

from tests.store.kit import Ear, append, event
from tests.support.options import redis_options_of
from tests.support.redis_clusters import Cluster
from tests.support.redis_servers import RedisServer

from anypod.clock import SystemClock, system_random
from anypod.core.identity import SessionKey
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.redis_store import RedisStore
from anypod.store import Sink, Store


class Backend(ABC):
    """A server, and the replicas' doors to it."""

    def __init__(self) -> None:
        self._stores: list[Store] = []

    async def open(self, sink: Sink | None = None, *, wait_s: float = 5.0) -> Store:
        """One more replica, whose appends wait so long for the server."""
        store = self._make(wait_s)
        await store.open(sink or Ear())
        self._stores.append(store)
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        self._stores.clear()

    @abstractmethod
    def _make(self, wait_s: float) -> Store: ...

    @abstractmethod
    def cut_feeds(self) -> None:
        """Every connection of the feed is lost."""

    @abstractmethod
    async def restart(self) -> None:
        """The server is killed and comes back with everything that it had acknowledged."""

    @abstractmethod
    async def stop(self) -> None:
        """The server is away."""

    @abstractmethod
    def next_incarnation(self) -> None:
        """The server takes another replication id, as after a clean failover."""

    @abstractmethod
    async def lose(self, store: Store, key: SessionKey, count: int) -> list[str]:
        """Append events lost1, lost2, … and let the server forget them as a failover or a power loss does. Their cursors."""


class MemoryBackend(Backend):
    def __init__(self) -> None:
        super().__init__()
        self.server = MemoryServer(SystemClock(), random.Random(7))

    def _make(self, wait_s: float) -> Store:
        return MemoryStore(self.server, wait_s)

    def cut_feeds(self) -> None:
        self.server.cut_feeds()

    async def restart(self) -> None:
        self.server.stop()
        await asyncio.sleep(0)
        self.server.restart()

    async def stop(self) -> None:
        self.server.stop()

    def next_incarnation(self) -> None:
        self.server.restart()

    async def lose(self, store: Store, key: SessionKey, count: int) -> list[str]:
        kept = self.server.snapshot()
        lost = await _doomed(store, key, count)
        self.server.fail_over(kept)
        return lost


class RedisBackend(Backend):
    """`url`: where it is found, unless by itself."""

    def __init__(self, server: RedisServer, prefix: str = "anypod", *, url: str | None = None) -> None:
        super().__init__()
        self.server = server
        self.url = url or server.url
        self.prefix = prefix

    def _make(self, wait_s: float) -> Store:
        options = redis_options_of(self.url, prefix=self.prefix, append_wait_s=wait_s)
        return RedisStore(options, SystemClock(), system_random())

    def cut_feeds(self) -> None:
        self.server.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def restart(self) -> None:
        self.server.kill()
        await asyncio.to_thread(self.server.start)

    async def stop(self) -> None:
        self.server.kill()

    def next_incarnation(self) -> None:
        self.server.command("DEBUG", "CHANGE-REPL-ID")

    async def lose(self, store: Store, key: SessionKey, count: int) -> list[str]:
        """A power loss: what the disk had not written is cut off the append-only file."""
        kept = self.server.aof.stat().st_size
        lost = await _doomed(store, key, count)
        self.server.kill()
        with self.server.aof.open("r+b") as file:
            file.truncate(kept + 7)  # in the middle of a command
        await asyncio.to_thread(self.server.start)
        return lost


class ClusterBackend(RedisBackend):
    """Only its feeds are ever cut: tests share it."""

    def __init__(self, nodes: Cluster) -> None:
        super().__init__(nodes.primaries[0], url=nodes.url)
        self._nodes = nodes

    def cut_feeds(self) -> None:
        for node in self._nodes.primaries:
            node.command("CLIENT", "KILL", "TYPE", "pubsub")


async def _doomed(store: Store, key: SessionKey, count: int) -> list[str]:
    return [(await append(store, key, event(f"lost{n}")))[0].cursor for n in range(1, count + 1)]
