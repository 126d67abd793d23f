"""What a client makes of an answer that is no answer in one piece."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from tests.unit.client.answers import problem
from tests.unit.client.serving import listening_socket

from anypod.client.io.http import PROBLEM_BYTES_MAX, HttpEndpoint, open_http
from anypod.core.errors import AnypodError


@asynccontextmanager
async def endpoint_that_gets(answer: web.Response) -> AsyncIterator[HttpEndpoint]:
    async def refuse(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    listening = listening_socket()
    await web.SockSite(runner, listening).start()
    try:
        async with open_http() as http:
            yield HttpEndpoint(http, f"http://127.0.0.1:{listening.getsockname()[1]}", "s")
    finally:
        await runner.cleanup()


async def test_a_reset_with_a_large_state_is_read_to_its_end() -> None:
    state = "s" * (PROBLEM_BYTES_MAX // 2)  # many times what one read brings
    told = {"type": "session.reset", "reason": "expired", "cursor": "c", "folded": 0, "oldest": 1, "state": state, "live": None}
    async with endpoint_that_gets(problem(410, {**told, "code": "cursor_gone", "title": "gone", "status": 410})) as endpoint:
        with pytest.raises(AnypodError) as refusal:
            await endpoint.page("c0", 0, fold=None)
    assert refusal.value.code == "cursor_gone"
    assert refusal.value.reset is not None
    assert json.loads(refusal.value.reset)["state"] == state


async def test_a_page_without_an_end_is_not_read_to_it() -> None:
    async with endpoint_that_gets(
        web.Response(status=502, body=b" " * (8 * PROBLEM_BYTES_MAX), content_type="application/problem+json")
    ) as endpoint:
        with pytest.raises(AnypodError) as refusal:
            await endpoint.ask("GET", "")
    assert refusal.value.code == "unavailable"
