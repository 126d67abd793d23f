"""The proxy leaves nothing behind: what is left at the end of a test's loop is a warning in some other test."""

import asyncio
import socket

import pytest
from tests.support.redis_servers import RedisServer
from tests.support.tcp_proxy import between


@pytest.mark.parametrize("turns", range(8))
async def test_no_connection_outlives_it_however_far_it_had_come(turns: int, valkey_server: RedisServer) -> None:
    before = asyncio.all_tasks()
    async with between(valkey_server.port) as proxy:
        client = socket.create_connection(("127.0.0.1", proxy.port))
        for _ in range(turns):
            await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    with client:
        assert client.recv(1) == b""
