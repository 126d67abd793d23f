"""A session that is out of reach, and everything that is tried on it: each route with each of its ways, each frame.

Owns the attempts, who makes them, and how the session is looked at before and after. Must not know how a replica decides.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, get_args

import aiohttp
from fastapi import FastAPI
from starlette.routing import Route, WebSocketRoute
from tests.fast_transport.raw import RawClient, heard_of, said, upgrade_showing
from tests.fast_transport.served import Served
from tests.support.replica_process import credential
from websockets.frames import Opcode

from anypod.auth import Access, Right
from anypod.core import frames

SESSION: Final = "mine-1"  # ann's
OTHER: Final = "other-1"  # a name of a pattern that does not cover it
NONE: Final = "none-1"  # nobody's
ALL: Final[frozenset[Right]] = frozenset(get_args(Right))
REFUSED: Final = frozenset({401, 403, 404})
CLOSED: Final = frozenset({4401, 4403, 4404})
STREAM_S_MAX: Final = 1.0  # for what a stream tells first
SILENCE_S: Final = 0.1
WORD: Final = "unheard"  # stands in all that the session holds, and in nothing that somebody else may see

# Who must not reach it, whatever they ask: each with every right that does not save them.
STRANGERS: Final[Mapping[str, str]] = {
    "another tenant": credential("globex", "ann", can=sorted(ALL), sessions=["*"]),
    "another subject": credential("acme", "eve", can=sorted(ALL)),
    "another subject for another pattern": credential("acme", "eve", can=sorted(ALL), sessions=["other-*"]),
    "the owner for another pattern": credential("acme", "ann", can=sorted(ALL), sessions=["other-*"]),
    "the owner for no session": credential("acme", "ann", can=sorted(ALL), sessions=[]),
    "the owner without a right": credential("acme", "ann", can=[]),
    "the owner, expired": credential("acme", "ann", can=sorted(ALL), ttl_s=-60),
}
OTHER_TENANT: Final = "another tenant"  # has a session of that name, too, if it wants one


def lacking(access: Access) -> Sequence[str]:
    """Credentials that reach the session, and lack what such access takes."""
    if access != "own":
        return (credential("acme", "ann", can=sorted(ALL - {access})),)
    return (
        credential("acme", "guest", can=sorted(ALL - {"admin"}), sessions=["mine-*"]),
        credential("acme", "ann", can=sorted(ALL - {"publish", "admin"})),
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """`creates`: where there is none, it makes one, for who may."""

    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    creates: bool = False


class Answer(NamedTuple):
    status: int
    body: bytes


_EVENT: Final = {"kind": "message", "data": "I was here"}
_STREAM: Final = "text/event-stream"

# A route that the application has and this has not fails the test, and the other way round.
ROUTES: Final[Mapping[str, Sequence[Attempt]]] = {
    "GET /openapi.json": (Attempt(),),
    "GET /v1/cluster": (Attempt(),),
    "DELETE /v1/admin/subjects/{sub:path}": (Attempt(),),
    "DELETE /v1/admin/tenants/{tenant}": (Attempt(),),
    "GET /v1/admin/erasures/{erasure}": (Attempt(),),
    "POST /v1/tickets": (Attempt(), Attempt({"session_id": SESSION})),
    "POST /v1/sessions": (Attempt({"session_id": SESSION, "state": {"x": "I was here"}}, creates=True), Attempt(creates=True)),
    "GET /v1/sessions": (Attempt(), Attempt(query={"limit": "200"})),
    "GET /v1/sessions/{session_id}": (Attempt(),),
    "PATCH /v1/sessions/{session_id}": (
        Attempt({"state": {"x": "I was here"}}),
        Attempt({"metadata": {"x": "I was here"}, "live": {"x": 1}}, {"silent": "true"}),
    ),
    "POST /v1/sessions/{session_id}/close": (Attempt(),),
    "DELETE /v1/sessions/{session_id}": (Attempt(),),
    "POST /v1/sessions/{session_id}/signals": (Attempt({"name": "x", "data": "I was here"}), Attempt({"name": "x", "to": "ann"})),
    "POST /v1/sessions/{session_id}/events": (
        Attempt({"id": "stranger", **_EVENT}),
        Attempt({"id": "first", "kind": "message", "data": WORD}),  # as it was published before: a duplicate would tell that it is there
        Attempt([_EVENT, {"kind": "x.note", "data_base64": "AAE="}]),
    ),
    "GET /v1/sessions/{session_id}/events": (
        Attempt(),
        Attempt(query={"after": "start", "fold": "false"}),
        Attempt(query={"wait": "0.05"}, creates=True),
        Attempt(query={"wait": "0.05", "after": "tail"}, creates=True),
        Attempt(accept=_STREAM, creates=True),
        Attempt(accept=_STREAM, query={"after": "tail", "resume": "true"}, creates=True),
    ),
    "GET /v1/sessions/{session_id}/history": (Attempt(), Attempt(query={"limit": "200"})),
}
WEBSOCKETS: Final = frozenset({"/v1/sessions/{session_id}/ws"})

# A frame that the contract has and this has not fails the test.
FRAMES: Final[Mapping[type[frames.ClientFrame], Mapping[str, Any]]] = {
    frames.InitFrame: {"protocol": 1, "features": ["presence"], "device": "phone"},
    frames.PublishFrame: {"id": "stranger", **_EVENT},
    frames.ClientSignalFrame: {"name": "x", "data": "I was here"},
    frames.ClientPresenceFrame: {"data": "I was here"},
    frames.SyncFrame: {"after": "start"},
    frames.ClientHistoryFrame: {"limit": 200},
    frames.StatePatchFrame: {"state": {"x": "I was here"}},
    frames.CancelFrame: {"all": True},
    frames.AuthFrame: {"token": STRANGERS["another subject"]},
    frames.ClientHeartbeatFrame: {"cursor": "start"},
}
# How an attachment may be opened: the query of the upgrade, and the first frames.
OPENINGS: Final[Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]]] = {
    "by frame": ("", ({"type": "session.init", **FRAMES[frames.InitFrame]},)),
    "by query": ("?after=start&device=phone&features=presence", ()),
    "from the tail": ("?after=tail&resume=true", ()),
    "without events": ("", ({"type": "session.init", "protocol": 1, "features": ["no_events"]},)),
}


def type_of(frame: type[frames.ClientFrame]) -> str:
    return str(frame.__struct_config__.tag)


def said_frame(frame: type[frames.ClientFrame], **more: Any) -> bytes:
    return said(type=type_of(frame), **FRAMES[frame], **more)


def routes_of(app: FastAPI) -> set[str]:
    return {f"{method} {route.path}" for route in app.routes if isinstance(route, Route) for method in (route.methods or set()) - {"HEAD"}}


def websockets_of(app: FastAPI) -> set[str]:
    return {route.path for route in app.routes if isinstance(route, WebSocketRoute)}


class Stranger:
    """`proof`: what is shown as `Authorization`."""

    def __init__(self, at: Served, http: aiohttp.ClientSession, proof: str) -> None:
        self._at = at
        self._http = http
        self.proof = proof

    async def asks(self, route: str, attempt: Attempt, session: str = SESSION) -> Answer:
        method, path = route.split(" ")
        for place, name in {"{session_id}": session, "{sub:path}": "ann", "{tenant}": "acme", "{erasure}": "none"}.items():
            path = path.replace(place, name)
        url = self._at.url + path
        headers = {"Authorization": self.proof, "Accept": attempt.accept}
        async with self._http.request(method, url, json=attempt.body, params=attempt.query, headers=headers) as response:
            if response.content_type != _STREAM:
                return Answer(response.status, await response.read())
            told = b""
            with suppress(TimeoutError):
                async with asyncio.timeout(STREAM_S_MAX):
                    async for line in response.content:
                        told += line
                        if line.startswith(b"event: sync.done"):
                            break
            return Answer(response.status, told)

    async def attaches(self, query: str, said_then: Sequence[bytes], session: str = SESSION) -> tuple[int | None, bytes]:
        """Opens a WebSocket and says all that at once: how it was closed, if it was, and all that came."""
        async with await RawClient.connect(self._at.port) as client:
            target = f"/v1/sessions/{session}/ws{query}"
            client.send(upgrade_showing(f"Authorization: {self.proof}", target))
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 101 "), head
            client.send(*said_then)
            code, heard = None, b""
            with suppress(TimeoutError):
                while code is None:
                    async with asyncio.timeout(SILENCE_S):
                        frame = await client.frame()
                    assert frame is not None, "the connection ended without a close frame"
                    heard += bytes(frame.data)
                    code = int.from_bytes(bytes(frame.data)[:2], "big") if frame.opcode is Opcode.CLOSE else None
        return code, heard


class Watched:
    """ann's session, with ann attached to it."""

    def __init__(self, at: Served, http: aiohttp.ClientSession, client: RawClient) -> None:
        self._at = at
        self._http = http
        self._client = client
        self._headers = {"Authorization": f"Bearer {at.credential}"}
        self._barriers = 0

    async def begin(self) -> None:
        body = {"session_id": SESSION, "state": {"a": WORD}, "metadata": {"b": WORD}}
        await self._ask("POST", "/v1/sessions", body)
        await self._ask("POST", f"/v1/sessions/{SESSION}/events", {"id": "first", "kind": "message", "data": WORD})
        self._client.send(upgrade_showing(f"Authorization: Bearer {self._at.credential}", f"/v1/sessions/{SESSION}/ws"))
        await self._client.head()
        self._client.send(said(type="session.init", protocol=1, device="tablet", features=["presence"]))
        await self._client.until("presence")
        self._client.send(said(type="presence", data=f"here and {WORD}"))
        while b"here and" not in (await self._ask("GET", f"/v1/sessions/{SESSION}")).body:
            await self.heard()

    async def look(self) -> Mapping[str, Answer]:
        """All that there is of it, and that it is there."""
        paths = (f"/{SESSION}", f"/{SESSION}/events?after=start&fold=false&limit=500", f"/{SESSION}/history", "")
        return {path: await self._ask("GET", f"/v1/sessions{path}") for path in paths}

    async def heard(self) -> list[dict[str, Any]]:
        """What ann was told since the last time: a signal to herself comes after all that was on its way."""
        self._barriers += 1
        self._client.send(said(type="signal", name="barrier", data=self._barriers, to="ann/tablet"))
        told: list[dict[str, Any]] = []
        while True:
            frame = await self._client.frame()
            assert frame is not None, f"ann was sent away: {told}"
            one = heard_of(frame)
            assert one["type"] != "close", one
            if one["type"] == "signal" and one["name"] == "barrier":
                return told
            if one["type"] != "heartbeat":
                told.append(one)

    async def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        async with self._http.request(method, self._at.url + path, json=body, headers=self._headers) as response:
            return Answer(response.status, await response.read())
