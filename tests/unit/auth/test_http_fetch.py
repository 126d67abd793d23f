"""Over what a document of keys is fetched, and what is no such document."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import SystemRandom

import pytest
from aiohttp import web

from anypod.auth import Fetcher
from anypod.auth.http_fetch import DOCUMENT_BYTES_MAX
from anypod.core.errors import AnypodError

DOCUMENT = b'{"keys":[]}'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        for port in SystemRandom().sample(range(20_000, 32_000), 50):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    break
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}/jwks.json"
    finally:
        await runner.cleanup()


async def fetched(url: str) -> bytes:
    fetcher = Fetcher()
    try:
        return await fetcher.fetch(url)
    finally:
        await fetcher.close()


async def test_a_document_is_fetched_over_http() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept"] == "application/json"
        return web.Response(body=DOCUMENT)

    async with serving(answer) as url:
        assert await fetched(url) == DOCUMENT


async def _elsewhere(request: web.Request) -> web.Response:
    if request.path == "/other":
        return web.Response(body=DOCUMENT)
    raise web.HTTPFound("/other")


async def _failing(_: web.Request) -> web.Response:
    return web.Response(status=500)


async def _huge(_: web.Request) -> web.Response:
    return web.Response(body=b" " * (DOCUMENT_BYTES_MAX + 1))


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(("handler", "reason"), [(_elsewhere, "302"), (_failing, "500"), (_huge, "exceeds"), (_cut, "cannot be reached")])
async def test_anything_but_a_small_complete_answer_is_unavailable(handler: Handler, reason: str) -> None:
    async with serving(handler) as url:
        with pytest.raises(AnypodError, match=reason) as refusal:
            await fetched(url)
    assert refusal.value.code == "unavailable"


async def test_an_issuer_that_does_not_listen_is_unavailable() -> None:
    async with serving(_failing) as url:
        pass
    with pytest.raises(AnypodError, match="cannot be reached") as refusal:
        await fetched(url)
    assert refusal.value.code == "unavailable"
