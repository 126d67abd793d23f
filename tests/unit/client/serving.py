"""Let a peer listen. Owns its port and its end. Must not know what it serves."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from tests.unit.client.scripted_server import Peer


def listening_socket() -> socket.socket:
    """On a free port below the range that the system gives to outgoing connections."""
    for port in range(21_000, 32_000):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen(128)
        except OSError:
            sock.close()
        else:
            return sock
    raise AssertionError("no port is free")


@asynccontextmanager
async def running(peer: Peer) -> AsyncIterator[Peer]:
    runner = await peer.serve()
    sock = listening_socket()
    await web.SockSite(runner, sock).start()
    peer.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        yield peer
    finally:
        await runner.cleanup()
