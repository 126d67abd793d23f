"""Fixtures of the contract's cases."""

import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from tests.protocol.cases import Book, load_book
from tests.protocol.cluster import Clusters

RECEIVE_BYTES = 64 << 10  # a small window, so that a reader that stalls is noticed after kilobytes


@pytest.fixture(scope="session")
def book() -> Book:
    return load_book()


@pytest.fixture(scope="session")
def clusters(book: Book, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    made = Clusters(book.replicas, tmp_path_factory.mktemp("replicas"))
    yield made
    made.end()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_small_window)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as made:
        yield made


def _small_window(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    made.setblocking(False)
    return made
