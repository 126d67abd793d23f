"""Forged credentials at the doors of a real replica: whatever is wrong, the answer is the contract's, and nobody is let in."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tests.fast_transport.raw import INIT, KEY, RawClient, said
from tests.fast_transport.served import Served, served
from tests.security.forged import FORGED, ours
from tests.support.replica_process import credential

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["lean", "portable"])
async def at(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with served(request.param) as replica:
        yield replica


def upgrade(*lines: str, target: str = "/v1/sessions/s1/ws") -> bytes:
    usual = (f"GET {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    return "\r\n".join((*usual, f"Sec-WebSocket-Key: {KEY}", *lines, "", "")).encode()


async def close_code(at: Served, head: bytes) -> int:
    async with await RawClient.connect(at.port) as client:
        client.send(head)
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        client.send(INIT)
        return int((await client.until("close"))["code"])


async def asked(at: Served, method: str, path: str, authorization: str | None, **more: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    headers = {"Authorization": authorization} if authorization is not None else {}
    async with aiohttp.ClientSession() as http, http.request(method, f"{at.url}{path}", headers=headers | more) as response:
        assert response.content_type == "application/problem+json"
        return response.status, (await response.json())["code"]


async def test_what_these_credentials_are_forged_from_is_let_in(at: Served) -> None:
    async with await RawClient.connect(at.port) as client:
        client.send(upgrade(f"Authorization: Bearer {ours()}"))
        await client.head()
        client.send(INIT)
        await client.until("sync.done")


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_credential_is_refused_at_every_door(at: Served, name: str) -> None:
    forged = FORGED[name]()
    refused = (401, "not_authenticated")
    assert await close_code(at, upgrade(f"Authorization: Bearer {forged}")) == 4401
    assert await close_code(at, upgrade(f"Sec-WebSocket-Protocol: anypod.v1, bearer.{forged}")) == 4401
    assert await close_code(at, upgrade(f"Authorization: Bearer {forged}", target="/v1/sessions/s1/ws?after=start")) == 4401
    assert await asked(at, "GET", "/v1/sessions/s1/events", f"Bearer {forged}", Accept="text/event-stream") == refused
    assert await asked(at, "GET", "/v1/sessions/s1/events", f"Bearer {forged}") == refused
    assert await asked(at, "POST", "/v1/tickets", f"Bearer {forged}") == refused


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic YW5uOmFubg==", "Ticket", "Ticket " + "0" * 40])
async def test_whatever_is_no_credential_is_refused_by_every_route(at: Served, authorization: str | None) -> None:
    paths = at.replica.app.openapi()["paths"]
    routes = [(method.upper(), path.replace("{session_id}", "s1")) for path, methods in paths.items() for method in methods]
    assert len(routes) > 10
    for method, path in routes:
        assert await asked(at, method, path, authorization) == (401, "not_authenticated"), f"{method} {path}"


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_credential_takes_nobodys_place_on_an_open_connection(at: Served, name: str) -> None:
    async with await RawClient.connect(at.port) as client:
        client.send(upgrade(f"Authorization: Bearer {credential('acme', 'ann')}"))
        await client.head()
        client.send(INIT)
        await client.until("sync.done")
        client.send(said(type="auth", token=FORGED[name](), ref=7))
        answer = await client.until("error")
        assert (answer["code"], answer["ref"]) == ("not_authenticated", 7)


async def test_a_good_credential_of_somebody_else_takes_nobodys_place_either(at: Served) -> None:
    async with await RawClient.connect(at.port) as client:
        client.send(upgrade(f"Authorization: Bearer {credential('acme', 'ann')}"))
        await client.head()
        client.send(INIT)
        await client.until("sync.done")
        for stranger in (credential("acme", "bob"), credential("other", "ann")):
            client.send(said(type="auth", token=stranger, ref=7))
            assert (await client.until("error"))["code"] == "not_allowed"


async def test_compression_is_never_negotiated(at: Served) -> None:
    """It would cost more memory a connection than everything else together, and a megabyte of zeros comes in a kilobyte."""
    for offer in ("permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame"):
        async with await RawClient.connect(at.port) as client:
            client.send(upgrade(f"Authorization: Bearer {at.credential}", f"Sec-WebSocket-Extensions: {offer}"))
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"sec-websocket-extensions" not in head.lower()
            client.send(INIT)
            await client.until("sync.done")


async def test_answers_are_not_compressed_either(at: Served) -> None:
    headers = {"Authorization": f"Bearer {at.credential}", "Accept-Encoding": "gzip, br, deflate"}
    async with aiohttp.ClientSession(auto_decompress=False) as http, http.get(f"{at.url}/v1/sessions", headers=headers) as response:
        assert "Content-Encoding" not in response.headers
