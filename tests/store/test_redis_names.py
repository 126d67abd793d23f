"""A server's name is resolved anew for each connection."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.store.kit import append, create, event
from tests.store.redis_kit import holds, opened
from tests.support.redis_servers import RedisServer, binary_of
from tests.support.waiting import until

NAME = "redis.example"


class ResolvingLoop(asyncio.SelectorEventLoop):
    """An event loop is the resolver of its connections; this one knows names of its own."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        assert host in self._names, f"{host} was not expected"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (self._names[host], port))]


def test_a_server_that_comes_back_at_another_address_is_found_by_its_name(tmp_path: Path) -> None:
    names = {NAME: "127.0.0.1"}
    with asyncio.Runner(loop_factory=lambda: ResolvingLoop(names)) as runner:
        runner.run(move(names, tmp_path))


async def move(names: dict[str, str], folder: Path) -> None:
    binary = binary_of("redis")
    before = RedisServer(binary, folder, "--appendfsync", "always", host="127.0.0.1")
    before.start()
    after = RedisServer(binary, folder, "--appendfsync", "always", host="127.0.0.2", port=before.port)
    try:
        async with opened(f"redis://{NAME}:{before.port}", append_wait_s=10.0) as store:
            key = await create(store)
            await append(store, key, event("e1"))
            before.kill()
            await until(lambda: holds(not store.is_available), "the loss is noticed")
            await asyncio.to_thread(after.start)
            waiting = asyncio.ensure_future(append(store, key, event("e2")))
            assert not waiting.done(), "the old address leads nowhere"
            names[NAME] = "127.0.0.2"
            assert (await waiting)[0].seq == 2
    finally:
        before.kill()
        after.kill()
