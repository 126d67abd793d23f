"""Tickets: they stand for a credential once, for half a minute, over both transports. (`tests/protocol` moves them between replicas.)"""

import asyncio
import random
import time
from typing import Any

import aiohttp
import pytest
from tests.fast_transport.raw import INIT, RawClient, upgrade_showing
from tests.fast_transport.served import Served, served
from tests.support.replica_process import credential
from tests.unit.hub.kit import TestClock

from anypod.api.tickets import TICKET_BODY_BYTES_MAX
from anypod.auth import Principal, Ticket, Tickets, credential_of
from anypod.auth.tickets import TICKET_MS
from anypod.core.errors import AnypodError, Code
from anypod.core.identity import SessionId, Subject, TenantId
from anypod.memory_store.contents import ServerContents

TRANSPORTS = ["lean", "portable"]
ANN = Principal(
    TenantId("acme"), Subject("ann"), expires_at=1_800_000_600.0, can=frozenset({"read"}), sessions=("s*", "t1"), kinds=("message",)
)


class Office:
    """Tickets over notes in memory, and a clock that stands."""

    def __init__(self, seed: int = 7) -> None:
        self.clock = TestClock()
        self.contents = ServerContents()
        self.tickets = Tickets(self._swap, self.clock, random.Random(seed))

    async def _swap(self, name: str, note: bytes | None, *, ttl_ms: int) -> bytes | None:
        return self.contents.swap_note(name, note, ttl_ms=ttl_ms, now_ms=self.clock.wall_ms())

    async def refusal(self, ticket: str) -> Code:
        with pytest.raises(AnypodError) as refused:
            await self.tickets.redeem(ticket)
        return refused.value.code


# What a ticket is.


async def test_whoever_redeems_a_ticket_is_the_principal_of_the_credential_with_its_expiry() -> None:
    office = Office()
    issued = await office.tickets.issue(ANN)
    assert issued.expires_in_ms == TICKET_MS
    assert await office.tickets.redeem(issued.ticket) == ANN


async def test_a_ticket_is_good_once() -> None:
    office = Office()
    issued = await office.tickets.issue(ANN)
    await office.tickets.redeem(issued.ticket)
    assert await office.refusal(issued.ticket) == "not_authenticated"


async def test_a_ticket_is_good_for_half_a_minute() -> None:
    office = Office()
    first, second = [await office.tickets.issue(ANN) for _ in range(2)]
    office.clock.move(TICKET_MS / 1_000 - 0.001)
    assert await office.tickets.redeem(first.ticket) == ANN
    office.clock.move(0.001)
    assert await office.refusal(second.ticket) == "not_authenticated"


async def test_a_ticket_is_good_no_longer_than_its_credential() -> None:
    office = Office()
    office.clock.move(590.0)
    issued = await office.tickets.issue(ANN)
    assert issued.expires_in_ms == 10_000


async def test_a_note_that_the_store_kept_too_long_lets_nobody_in() -> None:
    office = Office()
    issued = await office.tickets.issue(ANN)
    for name, note in office.contents.notes.items():
        office.contents.notes[name] = note._replace(until_ms=2**60)
    office.clock.move(600.0)
    assert await office.refusal(issued.ticket) == "not_authenticated"


async def test_a_narrowed_ticket_reaches_its_one_session_and_no_more_than_the_credential() -> None:
    office = Office()
    for principal in (ANN, Principal(ANN.tenant, ANN.subject, ANN.expires_at)):
        issued = await office.tickets.issue(principal, SessionId("s1"))
        redeemed = await office.tickets.redeem(issued.ticket)
        for session in ("s1", "s2", "t1", "u"):
            for owner in (None, Subject("ann"), Subject("bob")):
                assert redeemed.reaches(session, owner) == (session == "s1" and principal.reaches(session, owner))


@pytest.mark.parametrize("text", ["", "x", "0" * 39, "0" * 41, "0" * 40, "ä" * 40, "*" * 40, "a\r\nb" * 10])
async def test_what_is_no_ticket_is_refused(text: str) -> None:
    office = Office()
    await office.tickets.issue(ANN)
    assert await office.refusal(text) == "not_authenticated"


async def test_the_notes_hold_neither_ticket_nor_credential() -> None:
    office = Office()
    issued = await office.tickets.issue(ANN)
    assert issued.ticket not in repr(office.contents)


# Where it may be shown.


def test_a_ticket_stands_where_a_credential_does() -> None:
    assert credential_of("Ticket abc") == Ticket("abc")
    assert credential_of(None, ["anypod.v1", "ticket.abc"]) == Ticket("abc")
    assert credential_of("Bearer a.b.c", ["ticket.abc"]) == "a.b.c"
    for nothing in ("Ticket", "Ticket "):
        with pytest.raises(AnypodError):
            credential_of(nothing, ["anypod.v1", "ticket."])


async def ticket_of(at: Served, bearer: str | None = None, **body: Any) -> str:
    headers = {"Authorization": f"Bearer {bearer or at.credential}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.post(f"{at.url}/v1/tickets", json=body) as response:
        assert response.status == 201
        return str((await response.json())["ticket"])


def upgrade(ticket: str, target: str = "/v1/sessions/s1/ws", *more: str) -> bytes:
    return upgrade_showing(f"Sec-WebSocket-Protocol: anypod.v1, ticket.{ticket}", target, *more)


async def begin(client: RawClient, head: bytes) -> bytes:
    """Upgrade, then attach; the head of the answer."""
    client.send(head)
    answer = await client.head()
    assert answer.startswith(b"HTTP/1.1 101 ")
    client.send(INIT)
    return answer


async def closed_with(at: Served, head: bytes) -> int:
    """The close code of an upgrade that is refused."""
    async with await RawClient.connect(at.port) as client:
        await begin(client, head)
        return int((await client.until("close"))["code"])


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_page_opens_a_websocket_with_a_ticket_and_the_ticket_is_never_echoed(transport: str) -> None:
    async with served(transport) as at:
        ticket = await ticket_of(at, session_id="s1")
        async with await RawClient.connect(at.port) as client:
            head = await begin(client, upgrade(ticket))
            assert ticket.encode() not in head
            await client.until("session.created")
        assert await closed_with(at, upgrade(ticket)) == 4401


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_of_many_who_show_one_ticket_at_once_one_comes_in(transport: str) -> None:
    async with served(transport) as at:
        ticket = await ticket_of(at)

        async def comes_in() -> bool:
            async with await RawClient.connect(at.port) as client:
                await begin(client, upgrade(ticket))
                frame = await client.frame()
                return frame is not None and b'"session.created"' in bytes(frame.data)

        assert sum(await asyncio.gather(*(comes_in() for _ in range(10)))) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_ticket_in_the_query_is_none(transport: str) -> None:
    async with served(transport) as at:
        ticket = await ticket_of(at)
        assert await closed_with(at, upgrade("", f"/v1/sessions/s1/ws?ticket={ticket}&after=start")) == 4401


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_foreign_page_does_not_use_a_ticket_up(transport: str) -> None:
    async with served(transport) as at:
        ticket = await ticket_of(at)
        assert await closed_with(at, upgrade(ticket, "/v1/sessions/s1/ws", "Origin: https://evil.example")) == 4403
        async with await RawClient.connect(at.port) as client:
            await begin(client, upgrade(ticket))
            await client.until("session.created")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_stream_takes_a_ticket_in_its_header_once(transport: str) -> None:
    async with served(transport) as at, aiohttp.ClientSession() as http:
        headers = {"Accept": "text/event-stream", "Authorization": f"Ticket {await ticket_of(at)}"}
        async with http.get(f"{at.url}/v1/sessions/s1/events", headers=headers) as response:
            assert response.status == 200
            assert b"event: session.created\n" in await response.content.readuntil(b"event: session.created\n")
        async with http.get(f"{at.url}/v1/sessions/s1/events", headers=headers) as response:
            assert response.status == 401


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_attachment_by_ticket_ends_with_the_credential_that_it_was_issued_for(transport: str) -> None:
    async with served(transport, heartbeat_ms_max=200) as at:
        brief = credential("acme", "ann", ttl_s=2.0)
        ticket, since = await ticket_of(at, brief), time.monotonic()
        async with await RawClient.connect(at.port) as client:
            await begin(client, upgrade(ticket))
            await client.until("auth.expiring")
            assert (await client.until("close"))["code"] == 4401
        assert 1.0 < time.monotonic() - since < 4.0


# How one is issued.


@pytest.mark.parametrize(
    ("bearer", "body", "status", "code"),
    [
        (None, b"", 401, "not_authenticated"),
        ("Bearer nonsense", b"", 401, "not_authenticated"),
        ("Ticket " + "0" * 40, b"", 401, "not_authenticated"),
        (f"Bearer {credential('acme', 'ann', ttl_s=-1)}", b"", 401, "not_authenticated"),
        (f"Bearer {credential('acme', 'ann', can=['publish'])}", b"", 403, "not_allowed"),
        (f"Bearer {credential('acme', 'ann', sessions=['a*'])}", b'{"session_id":"b"}', 403, "not_allowed"),
        (f"Bearer {credential('acme', 'ann')}", b'{"session_id":"a b"}', 400, "malformed"),
        (f"Bearer {credential('acme', 'ann')}", b'{"session_id":1}', 400, "malformed"),
        (f"Bearer {credential('acme', 'ann')}", b"{", 400, "malformed"),
        (f"Bearer {credential('acme', 'ann')}", b"\xff", 400, "malformed"),
        (f"Bearer {credential('acme', 'ann')}", b" " * (TICKET_BODY_BYTES_MAX + 1), 413, "too_large"),
    ],
)
async def test_a_ticket_is_issued_for_a_good_credential_that_reads(bearer: str | None, body: bytes, status: int, code: str) -> None:
    async with served() as at, aiohttp.ClientSession() as http:
        headers = {} if bearer is None else {"Authorization": bearer}
        async with http.post(f"{at.url}/v1/tickets", data=body, headers=headers) as response:
            assert response.status == status
            assert (await response.json())["code"] == code


async def test_tickets_come_at_the_rate_of_permits() -> None:
    async with served(subject_permits_per_s=40) as at, aiohttp.ClientSession(headers={"Authorization": f"Bearer {at.credential}"}) as http:
        statuses = []
        for _ in range(5):
            async with http.post(f"{at.url}/v1/tickets") as response:
                statuses.append(response.status)
        assert statuses[0] == 201
        assert 429 in statuses
