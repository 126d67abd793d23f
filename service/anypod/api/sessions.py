"""Sessions over HTTP: create, list, look at, patch, close, delete, signal.

Owns these routes. Must not know how a session is stored.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import Query, Request
from msgspec import UNSET, Raw
from starlette.responses import Response

from anypod.api.bodies import METADATA_BYTES, PatchBody, SessionBody, SignalBody, decode, objects
from anypod.api.dependencies import Dependencies, etag, expected
from anypod.api.guard import Caller, Guard
from anypod.api.openapi import answers, takes
from anypod.auth import Principal, is_authorised
from anypod.core.errors import AnypodError
from anypod.core.frames import ConnectionLimits, Origin
from anypod.core.identity import SESSION_ID_BYTES, SessionKey, is_name, new_session_id
from anypod.hub.attach_request import InitialState
from anypod.hub.requests import SIGNAL_BYTES_MAX, signal_notice
from anypod.hub.state_patch import StatePatch
from anypod.store import Page, Snapshot

SESSION_BODY_BYTES_MAX = 3 * METADATA_BYTES + 4_096
TIES = 8  # sessions of one subject that were active in the same millisecond: usually none


class SessionView(msgspec.Struct, omit_defaults=True):
    """A session as its creation and its page tell it."""

    session_id: str
    cursor: str
    folded: int
    heartbeat_ms: int
    expires_at: int
    class_: str = msgspec.field(name="class")
    state: Raw
    live: Raw
    metadata: Raw
    turns: list[Any]
    limits: ConnectionLimits
    is_closed: bool = msgspec.field(name="closed")
    presence: list[Raw] | None = None


class SessionLine(msgspec.Struct):
    """A session in a list; `active_at` in milliseconds since 1970."""

    session_id: str
    active_at: int


class SessionList(msgspec.Struct, omit_defaults=True):
    sessions: list[SessionLine]
    next: str | None = None


class PublishedView(msgspec.Struct):
    cursor: str


class _Place(NamedTuple):
    """The session that a page of the list ended with."""

    active_ms: int
    session_id: str


def add_routes(guard: Guard, context: Dependencies) -> None:
    at = SessionRoutes(context)
    add = partial(guard.add, tag="sessions")
    creation = takes(SessionBody, is_required=False) | answers(201, SessionView, if_there=200)
    add("POST", "/v1/sessions", at.create, needs="publish", costs="create", status_code=201, openapi_extra=creation)
    add("GET", "/v1/sessions", at.listing, needs="read", costs="request", openapi_extra=answers(200, SessionList))
    one = "/v1/sessions/{session_id}"
    add("GET", one, at.look, needs="read", costs="request", openapi_extra=answers(200, SessionView))
    add("PATCH", one, at.patch, needs="state", costs="write", openapi_extra=takes(PatchBody) | answers(200, SessionView))
    add("POST", f"{one}/close", at.close, needs="own", costs="write", openapi_extra=answers(200, PublishedView))
    add("DELETE", one, at.delete, needs="own", costs="delete", status_code=204)
    add(
        "POST",
        f"{one}/signals",
        at.signal,
        needs="signal",
        costs="request",
        status_code=202,
        response_class=Response,
        openapi_extra=takes(SignalBody),
    )


class SessionRoutes:
    def __init__(self, context: Dependencies) -> None:
        self._context = context

    async def create(self, caller: Caller, request: Request) -> Response:
        """Create a session; an existing id of the same owner answers 200."""
        principal = caller.principal
        text = await self._context.bodies.read(request, SESSION_BODY_BYTES_MAX)
        body = decode(text or b"{}", SessionBody)
        session_id = body.session_id or new_session_id(self._context.rng.randbytes(SESSION_ID_BYTES))
        if not is_name(session_id) or not is_authorised(principal, session_id, "publish"):
            raise AnypodError("malformed" if not is_name(session_id) else "not_allowed", "this session id may not be used")
        state, live, metadata = objects(body.state, body.live, body.metadata)
        key = SessionKey(principal.tenant, session_id)  # type: ignore[arg-type]
        page, is_new = await self._context.layer.attachments.factory.create(
            principal, key, InitialState(body.class_, state, live, metadata)
        )
        return _answer(_view(self._context, key, page.snapshot), 201 if is_new else 200, page)

    async def listing(
        self, caller: Caller, request: Request, cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> Response:
        """The caller's sessions, the latest activity first."""
        place = _place_of(cursor) if cursor is not None else None
        lines = await self._lines(caller.principal, place, limit)
        following = f"{lines[-1].active_at}-{lines[-1].session_id}" if len(lines) == limit else None
        return Response(msgspec.json.encode(SessionList(lines, following)), media_type="application/json")

    async def _lines(self, principal: Principal, place: "_Place | None", limit: int) -> list[SessionLine]:
        """A page after `place`. Sessions of its very millisecond may stand on either side: so many more are asked for as it takes."""
        store, ties = self._context.layer.hub.store, TIES
        while True:
            before_ms = None if place is None else place.active_ms + 1
            found = await store.sessions(principal.tenant, principal.subject, before_ms=before_ms, limit=limit + ties)
            reached = [line for line in found if is_authorised(principal, line.key.session, "read", owner=principal.subject)]
            left = [line for line in reached if place is None or (line.active_ms, line.key.session) < place]
            if len(left) >= limit or len(found) < limit + ties:
                return [SessionLine(line.key.session, line.active_ms) for line in left[:limit]]
            ties *= 2

    async def look(self, caller: Caller, request: Request, session_id: str) -> Response:
        """Metadata, state, live state, head cursor and presence."""
        key, page = caller.key, caller.page
        assert page is not None
        present = await self._context.layer.hub.store.present(key)
        presence = self._context.layer.presence.readable([member.entry for _, member in present])
        return _answer(_view(self._context, key, page.snapshot, presence), 200, page)

    async def patch(self, caller: Caller, request: Request, session_id: str, silent: bool = False) -> Response:
        """JSON merge patches (RFC 7396); announced to all subscribers as `context_update` unless silent."""
        key = caller.key
        body = decode(await self._context.bodies.read(request, SESSION_BODY_BYTES_MAX), PatchBody)
        await self._context.layer.patcher.apply(_edit(self._context, caller, body, silent=silent, expect=expected(request)))
        page = await self._context.page(caller.principal, key, caller.access)
        return _answer(_view(self._context, key, page.snapshot), 200, page)

    async def close(self, caller: Caller, request: Request, session_id: str) -> Response:
        """End the log: reads go on, publishes are refused. For its owner, or an administrator."""
        cursor = await self._context.layer.hub.store.end(caller.key, caller.owner)
        return Response(msgspec.json.encode(PublishedView(cursor)), media_type="application/json")

    async def delete(self, caller: Caller, request: Request, session_id: str) -> Response:
        """Delete everything of the session. For its owner, or an administrator."""
        await self._context.layer.hub.store.delete(caller.key, caller.owner)
        return Response(status_code=204)

    async def signal(self, caller: Caller, request: Request, session_id: str) -> Response:
        """Send a signal to the attached subscribers; never logged."""
        body = decode(await self._context.bodies.read(request, 2 * SIGNAL_BYTES_MAX), SignalBody)
        origin = Origin(author=caller.principal.subject)
        notice = signal_notice(body.name, b"null" if body.data is UNSET else bytes(body.data), origin, body.to)
        self._context.layer.hub.metrics.signals += 1
        self._context.layer.hub.store.notify(caller.key, notice)
        return Response(status_code=202)


def _place_of(cursor: str) -> _Place:
    """Raises AnypodError `malformed`."""
    active_ms, _, session_id = cursor.partition("-")
    if not (active_ms.isascii() and active_ms.isdecimal() and len(active_ms) <= 16 and is_name(session_id)):
        raise AnypodError("malformed", "cursor is what `next` said before")
    return _Place(int(active_ms), session_id)


def _edit(context: Dependencies, caller: Caller, body: PatchBody, *, silent: bool, expect: str | None) -> StatePatch:
    return StatePatch(
        key=caller.key,
        owner=caller.owner,
        author=caller.principal.author,
        ts_ms=context.layer.hub.clock.wall_ms(),
        state=None if body.state is UNSET else bytes(body.state),
        live=None if body.live is UNSET else bytes(body.live),
        metadata=None if body.metadata is UNSET else bytes(body.metadata),
        event_id=None if silent else f"patch.{context.layer.attachments.new_id()}",
        expect=expect,
    )


def _view(context: Dependencies, key: SessionKey, snapshot: Snapshot, presence: list[Raw] | None = None) -> SessionView:
    options = context.layer.hub.options
    return SessionView(
        session_id=key.session,
        cursor=str(snapshot.facts.head),
        folded=snapshot.facts.folded,
        heartbeat_ms=options.heartbeat_ms,
        expires_at=snapshot.expires_at_ms,
        class_=snapshot.class_name,
        state=Raw(snapshot.state),
        live=Raw(snapshot.live_at(context.layer.hub.clock.wall_ms())),
        metadata=Raw(snapshot.metadata),
        turns=[],
        limits=options.limits,
        is_closed=snapshot.is_closed,
        presence=presence,
    )


def _answer(view: SessionView, status: int, page: Page) -> Response:
    headers = {"ETag": etag(str(page.snapshot.facts.head)), "Cache-Control": "no-store"}
    return Response(msgspec.json.encode(view), status, headers, media_type="application/json")
