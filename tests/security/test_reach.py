"""Each route, frame and transport, tried with every kind of credential that must not reach: nothing of the session is told, and it is
before and after the same. The routes are read from the application itself: one without a row here fails."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import aiohttp
import pytest
import pytest_asyncio
from starlette.routing import Route
from tests.fast_transport.raw import RawClient, said
from tests.fast_transport.served import Served, served
from tests.security.reach import (
    ALL,
    CLOSED,
    FRAMES,
    NONE,
    OPENINGS,
    OTHER,
    OTHER_TENANT,
    REFUSED,
    ROUTES,
    SESSION,
    STRANGERS,
    WEBSOCKETS,
    WORD,
    Attempt,
    Stranger,
    Watched,
    lacking,
    routes_of,
    said_frame,
    websockets_of,
)
from tests.support.redis_servers import RedisServer
from tests.support.replica_process import credential

from anypod.api.guard import needs_of
from anypod.auth import ACCESS_OF_FRAME, Access
from anypod.core import frames

UNLIMITED: dict[str, Any] = {
    f"{what}_per_s": 1_000_000 for what in ("publish", "subject_attaches", "subject_permits", "tenant_permits", "refused", "unknown")
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Scene:
    """A replica with the session that is tried, and what must be true after each attempt."""

    def __init__(self, at: Served, http: aiohttp.ClientSession, watched: Watched) -> None:
        self.at = at
        self.http = http
        self._watched = watched

    def stranger(self, proof: str) -> Stranger:
        return Stranger(self.at, self.http, proof)

    async def unharmed(self, what: str, told: bytes) -> None:
        assert WORD.encode() not in told, f"{what} was told: {told[-300:]!r}"
        assert await self._watched.heard() == [], f"after {what} ann was told something"
        assert await self._watched.look() == self._before, f"{what} has changed the session"

    async def begin(self) -> None:
        await self._watched.begin()
        self._before = await self._watched.look()
        assert {answer.status for answer in self._before.values()} == {200}
        assert all(WORD.encode() in answer.body or not path for path, answer in self._before.items())

    def needs(self) -> dict[str, Access]:
        """What each route says that it needs, by the names of `ROUTES`."""
        found: dict[str, Access] = {}
        for route in self.at.replica.app.routes:
            access = needs_of(route)
            if access is not None and isinstance(route, Route):
                found |= {f"{method} {route.path}": access for method in route.methods or ()}
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["lean memory", "portable memory", "lean redis"])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    transport, store = request.param.split()
    more: dict[str, Any] = {}
    if store == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        more = {"store": "redis", "redis_url": server.url, "key_prefix": "reach"}
    async with (
        served(transport, **UNLIMITED, **more) as at,
        aiohttp.ClientSession() as http,
        await RawClient.connect(at.port) as client,
    ):
        scene = Scene(at, http, Watched(at, http, client))
        await scene.begin()
        yield scene


def attempts() -> list[tuple[str, Attempt]]:
    return [(route, attempt) for route, ways in ROUTES.items() for attempt in ways]


async def test_there_is_a_row_for_every_route_and_every_frame(scene: Scene) -> None:
    app = scene.at.replica.app
    assert routes_of(app) == ROUTES.keys()
    assert websockets_of(app) == WEBSOCKETS
    assert set(get_args(frames.ClientFrame)) == FRAMES.keys() == ACCESS_OF_FRAME.keys()


async def test_the_session_is_there_for_who_reaches_it(scene: Scene) -> None:
    """Otherwise nothing here would show anything."""
    ann = scene.stranger(f"Bearer {scene.at.credential}")
    for route in ("GET /v1/sessions/{session_id}", "GET /v1/sessions/{session_id}/events", "GET /v1/sessions/{session_id}/history"):
        assert WORD.encode() in (await ann.asks(route, Attempt())).body
    assert WORD.encode() in (await ann.asks("GET /v1/sessions/{session_id}/events", Attempt(accept="text/event-stream"))).body
    assert WORD.encode() in (await ann.attaches("?after=start", ()))[1]


@pytest.mark.parametrize("who", STRANGERS)
async def test_no_route_reaches(scene: Scene, who: str) -> None:
    stranger = scene.stranger(f"Bearer {STRANGERS[who]}")
    for route, attempt in attempts():
        answer = await stranger.asks(route, attempt)
        if "{session_id}" in route and who != OTHER_TENANT:
            assert answer.status in REFUSED, f"{route} by {who} was answered with {answer.status}"
        await scene.unharmed(f"{route} by {who}", answer.body)


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("who", STRANGERS)
async def test_no_frame_reaches(scene: Scene, who: str, opening: str) -> None:
    stranger = scene.stranger(f"Bearer {STRANGERS[who]}")
    query, first = OPENINGS[opening]
    for frame in (each for each in FRAMES if each is not frames.InitFrame):
        code, heard = await stranger.attaches(query, [*(said(**fields) for fields in first), said_frame(frame, ref=1)])
        if who != OTHER_TENANT:
            assert code in CLOSED, f"{frame.__name__} by {who} ended with {code}"
        await scene.unharmed(f"{frame.__name__} by {who}", heard)


async def test_no_route_goes_without_its_right(scene: Scene) -> None:
    needs = scene.needs()
    for route, attempt in attempts():
        for shown in lacking(needs[route]) if route in needs else ():
            answer = await scene.stranger(f"Bearer {shown}").asks(route, attempt)
            assert answer.status == 403, f"{route} without the right was answered with {answer.status}"
            await scene.unharmed(f"{route} without the right", answer.body)


@pytest.mark.parametrize("frame", FRAMES)
async def test_no_frame_goes_without_its_right(scene: Scene, frame: type[frames.ClientFrame]) -> None:
    access = ACCESS_OF_FRAME[frame]
    for shown in lacking(access):
        code, heard = await scene.stranger(f"Bearer {shown}").attaches("?after=tail", [said_frame(frame, ref=1)])
        if access == "read":
            assert code == 4403
        else:
            assert code is None
            assert b'"code":"not_allowed"' in heard
            assert b'"ref":1' in heard
        await scene.unharmed(f"{frame.__name__} without the right", heard.replace(WORD.encode(), b"") if access != "read" else heard)


@pytest.mark.parametrize("who", ["a narrowed ticket", *STRANGERS])
async def test_no_ticket_reaches(scene: Scene, who: str) -> None:
    """Neither where it may be shown nor anywhere else."""
    shown, wanted = (
        (scene.at.credential, [{"session_id": OTHER}]) if who == "a narrowed ticket" else (STRANGERS[who], [{}, {"session_id": SESSION}])
    )

    async def tickets() -> AsyncIterator[Stranger]:
        for body in wanted:
            headers = {"Authorization": f"Bearer {shown}"}
            async with scene.http.post(f"{scene.at.url}/v1/tickets", json=body, headers=headers) as response:
                if response.status == 201:
                    yield scene.stranger(f"Ticket {(await response.json())['ticket']}")

    for route, attempt in attempts():
        async for bearer in tickets():
            answer = await bearer.asks(route, attempt)
            if who != OTHER_TENANT and route != "GET /openapi.json":
                assert answer.status in REFUSED, f"{route} by {who} was answered with {answer.status}"
            await scene.unharmed(f"{route} by a ticket of {who}", answer.body)
    for query, first in OPENINGS.values():
        async for bearer in tickets():
            said_then = [*(said(**fields) for fields in first), said_frame(frames.PublishFrame), said_frame(frames.ClientSignalFrame)]
            code, heard = await bearer.attaches(query, said_then)
            if who != OTHER_TENANT:
                assert code in CLOSED
            await scene.unharmed(f"a WebSocket by a ticket of {who}", heard)


@pytest.mark.parametrize("who", STRANGERS)
async def test_a_fresh_credential_that_does_not_reach_changes_nothing_and_what_was_reached_by_the_old_one_ends(
    scene: Scene, who: str
) -> None:
    """For another principal it is refused; for the same one it counts, and ends the attachment."""
    ann = scene.stranger(f"Bearer {scene.at.credential}")
    code, heard = await ann.attaches("?after=tail", [said(type="auth", token=STRANGERS[who], ref=1)])
    assert b'"ref":1' in heard
    assert b'"auth.ok"' not in heard
    if who in ("the owner for another pattern", "the owner for no session", "the owner without a right"):
        assert code in CLOSED
    await scene.unharmed(f"auth with that of {who}", b"")


async def test_a_foreign_session_is_answered_as_one_that_is_not_there(scene: Scene) -> None:
    """By who could not have made it; and by who could, wherever nothing is made."""
    for shown, creates in ((credential("acme", "eve", can=sorted(ALL - {"publish"})), False), (STRANGERS["another subject"], True)):
        stranger = scene.stranger(f"Bearer {shown}")
        for route, attempt in attempts():
            if "{session_id}" in route and not (creates and attempt.creates):
                foreign, missing = [await stranger.asks(route, attempt, session) for session in (SESSION, NONE)]
                assert foreign == missing, route
    stranger = scene.stranger(f"Bearer {credential('acme', 'eve', can=sorted(ALL - {'publish'}))}")
    for query, first in OPENINGS.values():
        both = [await stranger.attaches(query, [said(**fields) for fields in first], session) for session in (SESSION, NONE)]
        assert both[0] == both[1]
    await scene.unharmed("looking for it", b"")
