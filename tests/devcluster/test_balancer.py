import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from tests.support.waiting import until

from anypod.devcluster import balancer
from anypod.devcluster.balancer import Balancer, Upstream
from anypod.devcluster.ports import LOOPBACK, Ports, bind

FIRST_PORT = 21_100
ANSWER_S_MAX = 5.0


@pytest.fixture
def ports() -> Ports:
    return Ports()


@asynccontextmanager
async def balanced(ports: Ports, replicas: Sequence[Upstream]) -> AsyncIterator[Upstream]:
    address = Upstream(LOOPBACK, ports.claim(FIRST_PORT))
    listener = bind(address.port)
    listener.listen()
    task = asyncio.create_task(Balancer(lambda: replicas).run(listener))
    try:
        yield address
    finally:
        task.cancel()
        await asyncio.wait([task])
        ports.close()


@asynccontextmanager
async def replica(ports: Ports, name: bytes) -> AsyncIterator[Upstream]:
    """Says its name, then echoes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name)
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    address = Upstream(LOOPBACK, ports.claim(FIRST_PORT))
    async with await asyncio.start_server(serve, *address):
        yield address


async def ask(address: Upstream) -> bytes:
    async with asyncio.timeout(ANSWER_S_MAX):
        reader, writer = await asyncio.open_connection(*address)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


async def test_connections_go_to_the_replicas_in_turn(ports: Ports) -> None:
    async with replica(ports, b"a") as a, replica(ports, b"b") as b, balanced(ports, [a, b]) as front:
        assert sorted([await ask(front) for _ in range(4)]) == [b"a", b"a", b"b", b"b"]


async def test_a_replica_that_does_not_accept_is_skipped(ports: Ports) -> None:
    dead = Upstream(LOOPBACK, ports.claim(FIRST_PORT))
    async with replica(ports, b"a") as a, balanced(ports, [dead, a]) as front:
        assert [await ask(front) for _ in range(3)] == [b"a"] * 3


async def test_without_any_replica_the_client_is_told_to_come_again(ports: Ports) -> None:
    async with balanced(ports, []) as front:
        answer = await ask(front)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in answer


async def test_bytes_sent_before_the_replica_was_reached_are_not_lost(ports: Ports) -> None:
    async with replica(ports, b"") as a, balanced(ports, [a]) as front:
        reader, writer = await asyncio.open_connection(*front)
        writer.write(b"early")
        async with asyncio.timeout(ANSWER_S_MAX):
            assert await reader.readexactly(5) == b"early"
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_has_finished_speaking_still_hears_the_answer(ports: Ports) -> None:
    sent = os.urandom(3_000_000)
    async with replica(ports, b"") as a, balanced(ports, [a]) as front:
        reader, writer = await asyncio.open_connection(*front)

        async def speak() -> None:
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        async with asyncio.timeout(ANSWER_S_MAX):
            speaking = asyncio.create_task(speak())
            assert await reader.read(-1) == sent
            await speaking
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_does_not_read_stops_its_replica_from_being_read(ports: Ports) -> None:
    """The balancer holds a bounded amount; the rest waits in the replica."""
    written = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        with suppress(ConnectionError):
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
                written += 65_536

    address = Upstream(LOOPBACK, ports.claim(FIRST_PORT))
    async with await asyncio.start_server(pour, *address), balanced(ports, [address]) as front:
        with socket.create_connection(front) as client:
            await until(lambda: written > 0, "the replica writes", ANSWER_S_MAX)
            seen = -1
            while seen != written:  # until a whole pause has passed in which nothing more was taken
                seen = written
                await asyncio.sleep(0.3)
            kernel_bytes_max = 4 * 6 * 1024 * 1024  # four socket buffers, as Linux lets them grow
            assert written < kernel_bytes_max + 2 * balancer.BUFFER_BYTES_MAX
            client.recv(1)


async def test_the_death_of_a_connection_reaches_the_other_side(ports: Ports) -> None:
    lost = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        lost.set()
        writer.close()

    address = Upstream(LOOPBACK, ports.claim(FIRST_PORT))
    async with await asyncio.start_server(listen, *address), balanced(ports, [address]) as front:
        _, writer = await asyncio.open_connection(*front)
        writer.write(b"x")
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(ANSWER_S_MAX):
            await lost.wait()


async def test_ending_the_balancer_cuts_its_connections(ports: Ports) -> None:
    async with replica(ports, b"a") as a:
        async with balanced(ports, [a]) as front:
            reader, writer = await asyncio.open_connection(*front)
            assert await reader.read(1) == b"a"
        async with asyncio.timeout(ANSWER_S_MAX):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
