"""The session routes in an application of its own: FastAPI and Starlette, over loopback, with the Python client."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.embedding.serving import serving
from tests.support.replica_process import SECRET, credential

import anypod
from anypod.auth.principal import RIGHTS_BY_DEFAULT
from anypod.core.frames import Event
from anypod.core.identity import Subject, TenantId

ANSWER_S_MAX = 10.0
README = Path(__file__).parents[2] / "README.md"


def settings(**given: Any) -> anypod.Settings:
    values: dict[str, Any] = {"store": "memory", "jwt_secret": SECRET, **given}
    return anypod.Settings(**values)


def fast_api() -> Starlette:
    app = FastAPI()
    app.add_api_route("/hello", lambda: {"from": "the application"})
    return app


def starlette() -> Starlette:
    def hello(request: Request) -> Response:
        return JSONResponse({"from": "the application"})

    return Starlette(routes=[Route("/hello", hello)])


async def next_event(session: anypod.Session) -> Event:
    async with asyncio.timeout(ANSWER_S_MAX):
        item = await anext(session)
    assert isinstance(item, Event)
    return item


@pytest.mark.parametrize("make", [fast_api, starlette], ids=["FastAPI", "Starlette"])
async def test_a_client_attaches_publishes_and_resumes_in_an_application(make: Any) -> None:
    app = make()
    service = anypod.mount(app, settings())
    readiness = [service.is_ready]
    async with serving(app) as url:
        readiness.append(service.is_ready)
        shown = credential("acme", "ann")
        async with anypod.Session(url, "s1", credential=shown, transport="websocket") as session:
            await session.publish("message", "one")
            first = await next_event(session)
            cursor = session.cursor
        async with anypod.Session(url, "s1", credential=shown, transport="websocket") as other:
            await other.publish("message", "two")
        async with anypod.Session(url, "s1", credential=shown, transport="websocket", after=cursor) as session:
            second = await next_event(session)
        assert (first.data, second.data) == ("one", "two")
        assert second.seq == first.seq + 1
    assert [*readiness, service.is_ready] == [False, True, False]


async def test_the_application_keeps_its_own_routes_and_answers_for_what_nobody_serves() -> None:
    app = fast_api()
    anypod.mount(app, settings())
    async with serving(app) as url, aiohttp.ClientSession() as http:
        async with http.get(f"{url}/hello") as answer:
            assert await answer.json() == {"from": "the application"}
        for path in ("/v1/elsewhere", "/nowhere"):
            async with http.get(url + path) as answer:
                assert (answer.status, await answer.json()) == (404, {"detail": "Not Found"})
        async with http.put(f"{url}/v1/sessions/s1/events") as answer:
            assert (answer.status, (await answer.json())["code"]) == (405, "method_not_allowed")
        async with http.get(f"{url}/v1/sessions/s1/events") as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "not_authenticated")


async def test_the_lifespan_of_the_application_runs_inside_that_of_the_session_layer() -> None:
    service: anypod.SessionService
    seen: list[tuple[str, bool]] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, str]]:
        seen.append(("begins", service.is_ready))
        yield {"colour": "green"}
        seen.append(("ends", service.is_ready))

    def colour(request: Request) -> Response:
        return JSONResponse(request.state.colour)

    app = Starlette(routes=[Route("/colour", colour)], lifespan=lifespan)
    service = anypod.mount(app, settings())
    async with serving(app) as url, aiohttp.ClientSession() as http, http.get(f"{url}/colour") as answer:
        assert await answer.json() == "green"
    assert seen == [("begins", True), ("ends", True)]


async def by_badge(headers: Mapping[str, str], query: Mapping[str, str]) -> anypod.Principal:
    """Authentication as an application may have it: a header, or a word in the query."""
    badge = headers.get("x-badge") or query.get("badge") or headers.get("authorization", "").removeprefix("Bearer ")
    if badge not in {"ann", "bob"}:
        raise anypod.AnypodError("not_authenticated", "there is no such badge")
    expires_at = time.time() + 3_600
    return anypod.Principal(TenantId("acme"), Subject(badge), expires_at, can=RIGHTS_BY_DEFAULT)


@pytest.fixture
async def badges() -> AsyncIterator[str]:
    app = Starlette()
    anypod.mount(app, settings(jwt_secret=None, credentials="application"), authenticate=by_badge)
    async with serving(app) as url:
        yield url


def test_an_application_that_is_to_authenticate_and_does_not_is_refused() -> None:
    with pytest.raises(anypod.AnypodError, match="ANYPOD_CREDENTIALS=application"):
        anypod.mount(Starlette(), settings(jwt_secret=None, credentials="application"))


async def test_the_applications_own_authentication_lets_in_by_header_or_query_on_every_transport(badges: str) -> None:
    async with anypod.Session(badges, "s1", credential="ann", transport="websocket") as session:
        await session.publish("message", "by WebSocket")
        assert (await next_event(session)).author == "ann"
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{badges}/v1/sessions/s1/events", headers={"x-badge": "ann"}) as answer:
            assert [event["data"] for event in (await answer.json())["events"]] == ["by WebSocket"]
        async with http.get(f"{badges}/v1/sessions/s1/events?badge=ann&after=start", headers={"accept": "text/event-stream"}) as stream:
            assert stream.status == 200
            assert "by WebSocket" in "".join([(await stream.content.readline()).decode() for _ in range(12)])
        async with http.ws_connect(f"{badges}/v1/sessions/s1/ws?badge=ann&after=start", protocols=["anypod.v1"]) as socket:
            assert (await socket.receive_json())["type"] == "session.restored"


async def test_the_applications_own_authentication_refuses_on_every_transport(badges: str) -> None:
    async with aiohttp.ClientSession() as http:
        for accepted in ("application/json", "text/event-stream"):
            headers = {"authorization": f"Bearer {credential('acme', 'ann')}", "accept": accepted}
            async with http.get(f"{badges}/v1/sessions/s1/events", headers=headers) as answer:
                told = await answer.json(content_type=None)
                assert (answer.status, told["code"], told["detail"]) == (401, "not_authenticated", "there is no such badge")
        async with http.ws_connect(f"{badges}/v1/sessions/s1/ws?badge=eve&after=start") as socket:
            closed = await socket.receive()
            assert closed.type is aiohttp.WSMsgType.CLOSE
            assert closed.data == 4401
    with pytest.raises(anypod.AnypodError, match="badge"):
        async with anypod.Session(badges, "s1", credential="eve", transport="websocket") as session:
            await next_event(session)


async def test_a_principal_of_the_applications_own_authentication_reaches_no_session_of_another(badges: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{badges}/v1/sessions", json={"session_id": "s1"}, headers={"x-badge": "ann"}) as answer:
            assert answer.status == 201
        async with http.get(f"{badges}/v1/sessions/s1/events", headers={"x-badge": "bob"}) as answer:
            assert answer.status == 404


async def test_a_ticket_stands_once_for_a_principal_of_the_applications_own_authentication(badges: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{badges}/v1/tickets", headers={"x-badge": "ann"}) as answer:
            ticket = (await answer.json())["ticket"]
        protocols = ["anypod.v1", f"ticket.{ticket}"]
        async with http.ws_connect(f"{badges}/v1/sessions/s1/ws?after=start", protocols=protocols) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
        async with http.ws_connect(f"{badges}/v1/sessions/s1/ws?after=start", protocols=protocols) as socket:
            assert (await socket.receive()).data == 4401


async def test_a_fresh_credential_on_an_open_connection_is_judged_by_the_applications_own_authentication(badges: str) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{badges}/v1/sessions/s1/ws?badge=ann&after=start") as socket:
        heard = []
        for badge in ("ann", "eve"):
            await socket.send_json({"type": "auth", "token": badge, "ref": badge})
            while (frame := await socket.receive_json()).get("ref") != badge:
                pass
            heard.append((frame["type"], frame.get("code")))
        assert heard == [("auth.ok", None), ("error", "not_authenticated")]


def test_the_import_loads_nothing_before_it_is_used() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", "import sys, anypod; print(*sys.modules)"], check=True, capture_output=True, text=True
    ).stdout
    assert not {"fastapi", "starlette", "pydantic", "aiohttp", "redis", "anypod.replica"} & set(printed.split())


def test_every_name_that_an_application_imports_is_there_and_no_other() -> None:
    assert {name: getattr(anypod, name) for name in anypod.__all__}
    assert dir(anypod) == sorted(anypod.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Hub'"):
        anypod.Hub  # noqa: B018 - the attribute's absence is the test


async def test_the_readmes_application_serves_sessions_to_those_whom_it_knows() -> None:
    section = README.read_text().partition("## In an application of yours")[2].partition("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)  # the document's own words
    async with serving(names["app"]) as url, aiohttp.ClientSession() as http:
        for headers, status in (({"x-user": "ann"}, 201), ({}, 401)):
            async with http.post(f"{url}/v1/sessions", json={"session_id": "s1"}, headers=headers) as answer:
                assert answer.status == status
