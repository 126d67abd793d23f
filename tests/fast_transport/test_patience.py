"""Connections that owe us bytes are ended: the count of them is bounded, and the time."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.fast_transport.raw import INIT, RawClient, upgrade
from tests.fast_transport.served import Served, served
from tests.support.waiting import until
from tests.unit.hub.kit import TestClock

from anypod.telemetry import Metrics
from anypod.transport.fast.http_head import HEAD_BYTES_MAX
from anypod.transport.fast.request_timeouts import ARRIVAL_S_MAX, DEBTORS_MAX, REQUEST_S_MAX, SWEEP_S, RequestTimeouts

SECURITY = Path(__file__).parents[2] / "service/docs/security.md"
SWEPT_S_MAX = 5 * SWEEP_S


class Debtor:
    def __init__(self) -> None:
        self.has_ended = False

    def give_up(self) -> None:
        self.has_ended = True


async def test_whoever_owes_too_long_is_ended_and_nobody_else() -> None:
    clock = TestClock()
    patience = RequestTimeouts(clock, 10.0, metrics=Metrics())
    late, paid, later = Debtor(), Debtor(), Debtor()
    patience.begin(late)
    patience.begin(paid)
    clock.move(9.0)
    patience.begin(later)
    patience.end(paid)
    patience.end(paid)
    clock.move(1.5)
    await until(lambda: late.has_ended, "the late one is ended", SWEPT_S_MAX)
    assert not paid.has_ended
    assert not later.has_ended
    assert len(patience) == 1


async def test_when_too_many_owe_the_oldest_goes() -> None:
    patience = RequestTimeouts(TestClock(), 10.0, debtors_max=2, metrics=Metrics())
    debtors = [Debtor() for _ in range(4)]
    for debtor in debtors:
        patience.begin(debtor)
    assert [debtor.has_ended for debtor in debtors] == [True, True, False, False]
    assert len(patience) == 2


async def test_whoever_begins_anew_has_the_whole_time_again() -> None:
    clock = TestClock()
    patience = RequestTimeouts(clock, 10.0, metrics=Metrics())
    again, other = Debtor(), Debtor()
    patience.begin(again)
    patience.begin(other)
    clock.move(9.0)
    patience.end(again)
    patience.begin(again)
    clock.move(2.0)
    await until(lambda: other.has_ended, "the other is ended", SWEPT_S_MAX)
    assert not again.has_ended


async def test_those_who_are_ended_are_counted_by_the_reason_and_those_who_pay_are_not() -> None:
    clock, metrics = TestClock(), Metrics()
    patience = RequestTimeouts(clock, 10.0, debtors_max=2, metrics=metrics)
    crowded_out, paid, slow = Debtor(), Debtor(), Debtor()
    for debtor in (crowded_out, paid, slow):
        patience.begin(debtor)
    patience.end(paid)
    clock.move(10.5)
    await until(lambda: slow.has_ended, "the slow one is ended", SWEPT_S_MAX)
    assert metrics.connections_given_up == {"slow": 1, "crowded": 1}


def test_the_bounds_stand_in_the_security_document() -> None:
    text = SECURITY.read_text()
    for row in (
        f"| {ARRIVAL_S_MAX:g} s (",
        f"| {REQUEST_S_MAX:g} s |",
        f"| {DEBTORS_MAX:,} connections |",
        f"| a head | {HEAD_BYTES_MAX >> 10} KiB |",
    ):
        assert row in text


# On a real server.


@pytest.fixture
async def hurried() -> AsyncIterator[Served]:
    """A replica that waits for half a second at most, and for three connections."""
    async with served() as at:
        at.be_patient(0.5, 3)
        yield at


REQUEST_LINE = b"POST /v1/sessions/s1/events HTTP/1.1\r\nHost: a\r\n"
TIMED_OUT = b"HTTP/1.1 408 "


@pytest.mark.parametrize(
    ("start", "answer"),
    [
        (b"", b""),
        (b"GET /v1/sess", TIMED_OUT),
        (b"GET /v1/sessions/s1/ws HTTP/1.1\r\nHost: a\r\n", TIMED_OUT),
        (b"POST /v1", TIMED_OUT),
        (REQUEST_LINE, TIMED_OUT),
    ],
    ids=["nothing", "half a line", "half a head of ours", "half a line of others", "half a head of others"],
)
async def test_a_connection_that_does_not_come_to_the_end_of_its_head_is_ended(hurried: Served, start: bytes, answer: bytes) -> None:
    async with await RawClient.connect(hurried.port) as client:
        client.send(start)
        assert (await client.rest())[:13] == answer
        await hurried.until_quiet()
    assert hurried.given_up == {"slow": 1, "crowded": 0}


async def test_a_silent_connection_is_ended_where_everything_is_portable_too() -> None:
    async with served("portable") as at, await RawClient.connect(at.port) as client:
        await until(lambda: at.left_behind["connections"] == 1, "the connection has come", SWEPT_S_MAX)
        at.be_patient(0.5, 3)
        async with await RawClient.connect(at.port) as second:
            assert await second.rest() == b""
        assert at.left_behind["connections"] == 1, "the first one began while there was more patience"
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 404 ")


async def test_a_request_whose_body_does_not_come_is_ended(hurried: Served) -> None:
    async with await RawClient.connect(hurried.port) as client:
        client.send(REQUEST_LINE, b"Authorization: Bearer %b\r\nContent-Length: 100\r\n\r\n{" % hurried.credential.encode())
        assert await client.rest() == b"", "the request is under way, and its answer is the application's"
        await hurried.until_quiet()
        assert hurried.replica.metrics.errors["internal"] == 0


async def test_the_second_request_of_a_connection_is_not_waited_for_either(hurried: Served) -> None:
    async with await RawClient.connect(hurried.port) as client:
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.head()).startswith(b"HTTP/1.1 404 ")
        client.send(REQUEST_LINE)
        assert TIMED_OUT in await client.rest()
        await hurried.until_quiet()


async def test_an_idle_connection_between_two_requests_owes_nothing(hurried: Served) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{hurried.url}/nowhere") as response:
            assert response.status == 404
        assert hurried.left_behind["requests"] == 0
        assert hurried.left_behind["connections"] == 1
        assert hurried.given_up == {"slow": 0, "crowded": 0}
        async with http.get(f"{hurried.url}/nowhere") as response:
            assert response.status == 404


async def test_silent_connections_beyond_the_bound_end_the_oldest_and_others_are_served(hurried: Served) -> None:
    silent = [await RawClient.connect(hurried.port) for _ in range(5)]
    assert await silent[0].rest() == b""
    assert hurried.left_behind["arrivals"] <= 3
    assert hurried.given_up["crowded"] == 2
    async with await RawClient.connect(hurried.port) as client:
        client.send(upgrade(hurried.credential), INIT)
        await client.head()
        await client.until("sync.done")
    for client in silent:
        client.abort()
    await hurried.until_quiet()


async def test_a_head_of_ours_without_end_is_refused() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(b"GET /v1/sessions/s1/ws HTTP/1.1\r\nX: ".ljust(HEAD_BYTES_MAX, b"x"))
        assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
        await at.until_quiet()


async def test_a_head_of_others_without_end_is_refused() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(REQUEST_LINE)
        await until(lambda: at.left_behind["requests"] == 1, "the first piece has come", SWEPT_S_MAX)
        client.send(b"X: ".ljust(HEAD_BYTES_MAX + 1, b"x"))
        assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
        await at.until_quiet()


async def test_the_bodies_before_a_head_do_not_count_towards_its_size() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", bytes(60_000))
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n")
        await client.head()
        client.send(b"Connection: close\r\n\r\n")
        assert b"HTTP/1.1 404 " in await client.rest()


async def test_a_large_body_behind_a_head_in_pieces_is_no_large_head() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        body = json.dumps({"kind": "message", "data": "x" * 60_000}).encode()
        client.send(REQUEST_LINE[:20])
        await until(lambda: at.left_behind["requests"] == 1, "the first piece has come", SWEPT_S_MAX)
        head = b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (at.credential.encode(), len(body))
        client.send(REQUEST_LINE[20:], head, body)
        assert (await client.head()).startswith(b"HTTP/1.1 404 "), "there is no such session, but the body was read"


@pytest.mark.parametrize("transport", ["lean", "portable"])
async def test_an_upgrade_that_the_library_refuses_is_answered_and_ended(transport: str) -> None:
    """A line of more than 8 KiB, or more than 128 lines: the connection was nobody's, and stayed for ever."""
    async with served(transport) as at:
        for lines in (("X-Long: " + "a" * 8_500,), tuple(f"X-Line-{number}: a" for number in range(130))):
            async with await RawClient.connect(at.port) as client:
                client.send(upgrade(at.credential, "/v1/elsewhere/s1/ws", *lines))
                assert b" 431 " in await client.rest()
        await at.until_quiet()
