"""A server of another kind at one of our addresses: after a restart an address may be somebody else's."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import hiredis
import pytest
from tests.store.kit import append, create, event
from tests.store.redis_kit import opened
from tests.support.redis_clusters import NAME, cluster, watched
from tests.support.redis_servers import LOOPBACK, free_port


class _Number(socketserver.BaseRequestHandler):
    """Whatever it is asked, it answers with a number."""

    def handle(self) -> None:
        requests = hiredis.Reader()
        with suppress(ConnectionError):
            while data := self.request.recv(1 << 16):
                requests.feed(data)
                while requests.gets() is not False:
                    self.request.sendall(b":1\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True  # a connection that was forgotten is no reason to wait


@pytest.fixture
def stranger() -> Iterator[str]:
    with _Server((LOOPBACK, free_port()), _Number) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"{LOOPBACK}:{server.server_address[1]}"
        server.shutdown()
        serving.join()


async def test_a_stranger_among_the_sentinels_keeps_the_others_from_nothing(stranger: str, tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        known = servers.sentinels[0]
        async with opened(f"redis+sentinel://{stranger},{known.host}:{known.port}/{NAME}") as store:
            assert (await append(store, await create(store), event("e1")))[0].seq == 1


async def test_a_stranger_among_the_nodes_keeps_the_others_from_nothing(stranger: str, tmp_path: Path) -> None:
    with cluster("redis", tmp_path) as nodes:
        async with opened(f"redis+cluster://{stranger},{LOOPBACK}:{nodes.primaries[0].port}") as store:
            assert (await append(store, await create(store), event("e1")))[0].seq == 1
