"""The proxy does to a line what it says, no more and no less."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.chaos.link import FEED_WORD, Link, caller_of, joined
from tests.chaos.network_conditions import HELD, SEGMENT_BYTES, NetworkConditions
from tests.chaos.proxied_redis import carried
from tests.chaos.proxy import APPEND_WORD, Proxy, everything, feeds
from tests.support.redis_servers import free_port
from tests.support.waiting import until

from anypod.devcluster.ports import bind

SOON_S = 5.0  # a busy machine
STILL_S = 0.2  # how long silence is listened to


@dataclass
class Echo:
    """A server that says everything again, and remembers what it heard and who has left."""

    port: int = 0
    heard: bytearray = field(default_factory=bytearray)
    endings: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.heard += data
                writer.write(data)
            self.endings.append("closed")
        except ConnectionError:
            self.endings.append("reset")
        finally:
            writer.close()


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Line:
    proxy: Proxy
    echo: Echo
    clients: list[Client]

    async def connect(self) -> Client:
        client = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.clients.append(client)
        return client

    async def say(self, client: Client, said: bytes) -> bytes:
        """The echo."""
        client[1].write(said)
        async with asyncio.timeout(SOON_S):
            return await client[0].readexactly(len(said))


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with through_proxy() as made:
        yield made


@asynccontextmanager
async def through_proxy() -> AsyncIterator[Line]:
    echo = Echo(free_port())
    server = await asyncio.start_server(echo.serve, "127.0.0.1", echo.port)

    def dial(link: Link) -> Awaitable[bool]:
        return joined(link, echo.port, SOON_S)

    proxy = Proxy(free_port(), dial, random.Random(1))
    made = Line(proxy, echo, [])
    async with proxy.accepting():
        yield made
        for _, writer in made.clients:
            writer.transport.abort()
    server.close()
    await server.wait_closed()


async def hears_nothing(client: Client) -> bool:
    try:
        async with asyncio.timeout(STILL_S):
            await client[0].read(1)
    except TimeoutError:
        return True
    return False


async def is_reset(client: Client, received: bytearray | None = None) -> bool:
    """`received`: what came before."""
    kept = bytearray() if received is None else received
    try:
        async with asyncio.timeout(SOON_S):
            while data := await client[0].read(1 << 16):
                kept += data
    except ConnectionResetError:
        return True
    return False


async def test_a_proxy_whose_port_is_anothers_says_so() -> None:
    with bind(port := free_port()) as taken:
        taken.listen()
        with pytest.raises(OSError, match="address already in use"):
            async with carried([Proxy(port, lambda link: joined(link, port, SOON_S), random.Random(1))]):
                pass


async def test_in_clear_weather_everything_passes_both_ways(line: Line) -> None:
    said = random.Random(7).randbytes(3_000_000)
    assert await line.say(await line.connect(), said) == said


async def test_a_black_hole_keeps_what_is_said_and_gives_it_when_it_is_over(line: Line) -> None:
    client = await line.connect()
    await line.say(client, b"before")
    with line.proxy.spell(everything, up=HELD, down=HELD):
        client[1].write(b"within")
        assert await hears_nothing(client)
        assert line.echo.heard == b"before"
    assert await client[0].readexactly(6) == b"within"


async def test_a_one_way_hole_lets_requests_through_and_holds_the_answers(line: Line) -> None:
    client = await line.connect()
    await line.say(client, b"before")
    with line.proxy.spell(everything, down=HELD):
        client[1].write(b"within")
        await until(lambda: line.echo.heard == b"beforewithin")
        assert await hears_nothing(client)
    assert await client[0].readexactly(6) == b"within"


async def test_a_spell_reaches_connections_that_are_opened_under_it(line: Line) -> None:
    with line.proxy.spell(everything, up=HELD, down=HELD):
        client = await line.connect()
        client[1].write(b"hello")
        assert await hears_nothing(client)
    assert await client[0].readexactly(5) == b"hello"


async def test_a_hole_for_feeds_leaves_all_other_connections_alone(line: Line) -> None:
    caller, feed = await line.connect(), await line.connect()
    await line.say(feed, FEED_WORD)
    with line.proxy.spell(feeds, up=HELD, down=HELD):
        feed[1].write(b"ping")
        assert await line.say(caller, b"call") == b"call"
        assert await hears_nothing(feed)
    assert await feed[0].readexactly(4) == b"ping"


async def test_a_close_does_not_cross_a_black_hole_before_it_is_over(line: Line) -> None:
    client = await line.connect()
    await line.say(client, b"hello")
    with line.proxy.spell(everything, up=HELD, down=HELD):
        client[1].close()
        await asyncio.sleep(STILL_S)
        assert line.echo.endings == []
    await until(lambda: line.echo.endings == ["closed"])


async def test_a_cut_resets_both_sides(line: Line) -> None:
    client = await line.connect()
    await line.say(client, b"hello")
    assert line.proxy.cut(everything) == 1
    assert await is_reset(client)
    await until(lambda: line.echo.endings == ["reset"])
    await until(lambda: not line.proxy.links)


async def test_a_shut_proxy_refuses_and_an_opened_one_serves_again(line: Line) -> None:
    client = await line.connect()
    await line.say(client, b"hello")
    with line.proxy.shut():
        assert await is_reset(client)
        assert await is_reset(await line.connect())
    assert await line.say(await line.connect(), b"again") == b"again"


async def test_exactly_one_reply_is_lost_after_the_server_has_heard_the_request(line: Line) -> None:
    client, other = await line.connect(), await line.connect()
    await line.say(client, b"hello")
    losing = asyncio.ensure_future(line.proxy.lose_one_reply())
    await asyncio.sleep(0)
    assert await line.say(other, b"harmless") == b"harmless"
    client[1].write(b"an " + APPEND_WORD)
    assert await is_reset(client)
    await losing
    assert line.echo.heard.endswith(APPEND_WORD)
    assert await line.say(other, APPEND_WORD) == APPEND_WORD


async def test_a_torn_link_breaks_off_in_the_middle_of_an_answer(line: Line) -> None:
    client = await line.connect()
    await line.say(client, b"hello")
    (link,) = line.proxy.links
    link.tear()
    client[1].write(b"12345678")
    received = bytearray()
    assert await is_reset(client, received)
    assert bytes(received) in (b"", b"1234")  # a reset may overtake what came before it


async def test_an_orphans_server_is_not_told_that_its_client_is_gone(line: Line) -> None:
    client = await line.connect()
    await line.say(client, b"hello")
    (link,) = line.proxy.links
    link.orphan()
    assert await is_reset(client)
    await asyncio.sleep(STILL_S)
    assert line.echo.endings == []
    line.proxy.cut(everything)
    await until(lambda: line.echo.endings == ["reset"])


async def test_a_delay_holds_every_answer_back_and_keeps_the_order(line: Line) -> None:
    client, loop = await line.connect(), asyncio.get_running_loop()
    await line.say(client, b"hello")
    with line.proxy.spell(everything, up=NetworkConditions(delay_s=0.1), down=NetworkConditions(delay_s=0.1)):
        began = loop.time()
        assert await line.say(client, b"one") == b"one"
        assert loop.time() - began >= 0.2
        for number in range(50):
            client[1].write(b"%02d" % number)
        assert await client[0].readexactly(100) == b"".join(b"%02d" % number for number in range(50))


async def test_a_slow_line_keeps_its_pace_and_loses_nothing(line: Line) -> None:
    client, loop = await line.connect(), asyncio.get_running_loop()
    await line.say(client, b"hello")
    said = random.Random(3).randbytes(100 * SEGMENT_BYTES)
    with line.proxy.spell(everything, down=NetworkConditions(bytes_per_s=len(said) / 0.5)):
        began = loop.time()
        assert await line.say(client, said) == said
        assert loop.time() - began >= 0.45


async def test_losses_stall_a_line_and_lose_nothing(line: Line) -> None:
    client, loop = await line.connect(), asyncio.get_running_loop()
    await line.say(client, b"hello")
    said = random.Random(4).randbytes(10 * SEGMENT_BYTES)
    with line.proxy.spell(everything, down=NetworkConditions(bytes_per_s=1e9, loss=0.5)):
        began = loop.time()
        assert await line.say(client, said) == said
        assert loop.time() - began >= 0.2, "ten packets of which half are lost stall at least once"


async def test_weathers_add_up() -> None:
    both = NetworkConditions(delay_s=0.1, bytes_per_s=10.0).and_also(
        NetworkConditions(is_held=True, delay_s=0.2, bytes_per_s=20.0, loss=0.5)
    )
    assert both == NetworkConditions(True, pytest.approx(0.3), 10.0, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "caller"),
    [
        (b"*3\r\n$4\r\nAUTH\r\n$9\r\nreplica-1\r\n$2\r\npw\r\n", "replica-1"),
        (b"*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$4\r\n6379\r\n", "replication"),
        (b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$21\r\nsentinel-0123abcd-cmd\r\n", "sentinel"),
        (b"*1\r\n$4\r\nPING\r\n", ""),
    ],
)
def test_whoever_dials_redis_is_known_by_its_first_words(words: bytes, caller: str) -> None:
    assert caller_of(words) == caller
