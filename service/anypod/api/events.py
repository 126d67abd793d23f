"""Events over HTTP: publish, pages forwards and backwards, long-poll, SSE.

Owns these routes. Must not know how events are stored, nor the form of a stream.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated

import msgspec
from fastapi import Query, Request
from msgspec import UNSET, Raw
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from anypod.api.bodies import LIST_MAX, EventBody, decode_events
from anypod.api.dependencies import Dependencies, etag, expected
from anypod.api.guard import Caller, Guard, wants_stream
from anypod.api.openapi import answers, takes
from anypod.api.polls import PageView, page_after, page_of_poll
from anypod.auth import Principal
from anypod.core.errors import AnypodError
from anypod.core.event import Draft
from anypod.core.identity import SessionKey, is_name
from anypod.hub.attach import HISTORY_MAX
from anypod.hub.attach_request import AttachRequest
from anypod.hub.drain import RECONNECT_MS_MAX
from anypod.hub.publisher import Publication
from anypod.hub.requests import DraftBuilder, history_frame
from anypod.transport.asgi import sse
from anypod.transport.asgi.longpoll import WAIT_S_MAX, wait_for_events
from anypod.transport.attach_query import attach_request_of_query

PAGE_LIMIT = 100
PAGE_LIMIT_MAX = 500
LIST_BYTES_MAX = 1 << 20  # of one atomic list of events
STEM_CHARS_MAX = 61  # of the ids that a list's events get: with a dot and an index below LIST_MAX they are names


class Results(msgspec.Struct):
    results: list["Result"]


class Result(msgspec.Struct):
    id: str
    seq: int
    cursor: str
    duplicate: bool


class HistoryView(msgspec.Struct, omit_defaults=True):
    """`before`: where the next page ends; missing at the beginning of the log."""

    events: list[Raw]
    before: str | None = None


def add_routes(guard: Guard, context: Dependencies, streams: "StreamOptions") -> None:
    at = EventRoutes(context, streams)
    add = partial(guard.add, tag="events")
    one = "/v1/sessions/{session_id}"
    body = takes(EventBody, list[EventBody]) | answers(201, Results)
    add("POST", f"{one}/events", at.publish, needs="publish", costs="request", owner_by="handler", status_code=201, openapi_extra=body)
    pages = answers(200, PageView, stream=True)
    add("GET", f"{one}/events", at.read, needs="read", costs="request", owner_by="handler", takes_tickets=True, openapi_extra=pages)
    add("GET", f"{one}/history", at.history, needs="read", costs="request", openapi_extra=answers(200, HistoryView))


class PageQuery(BaseModel):
    """`after`: a cursor, `start` or `tail`; `wait`: seconds, and even 0 makes it a poll, which attaches."""

    after: str | None = None
    limit: int = Field(PAGE_LIMIT, ge=1, le=PAGE_LIMIT_MAX)
    fold: bool | None = None
    wait: float | None = Field(None, ge=0, le=WAIT_S_MAX)
    # Of a stream alone, which reads them as an upgrade does (`transport.query`):
    resume: bool = False
    history: int | None = Field(None, ge=0, le=HISTORY_MAX)
    class_: str | None = Field(None, alias="class")
    device: str | None = None
    features: str | None = Field(None, description="Separated by commas: presence.")

    @property
    def folds(self) -> bool:
        return self.after is None if self.fold is None else self.fold


class EventRoutes:
    def __init__(self, context: Dependencies, streams: "StreamOptions") -> None:
        self._context = context
        self._streams = streams

    async def publish(self, caller: Caller, request: Request, session_id: str) -> Response:
        """Publish one event, or a list of them: all or none, in order."""
        context, principal, key = self._context, caller.principal, caller.key
        bodies = decode_events(await context.bodies.read(request, LIST_BYTES_MAX + context.layer.hub.options.limits.data_bytes))
        await context.charge(caller.account, "publish", len(bodies))
        drafts = _drafts(context, principal, key, bodies, request.headers.get("idempotency-key"))
        receipts = await context.layer.publisher.append(Publication(key, drafts, caller.owner, expected(request)))
        results = [Result(receipt.id, receipt.seq, receipt.cursor, receipt.is_duplicate) for receipt in receipts]
        return Response(msgspec.json.encode(Results(results)), 201, media_type="application/json")

    async def read(self, caller: Caller, request: Request, session_id: str, query: Annotated[PageQuery, Query()]) -> Response:
        """A page after a cursor; with `wait`, as soon as there is something; with `Accept: text/event-stream`, a stream."""
        context, principal, key = self._context, caller.principal, caller.key
        if wants_stream(request):
            attach_request = attach_request_of_query(key, request.query_params, last_event_id=request.headers.get("last-event-id"))
            return await _stream(context, self._streams, principal, attach_request)
        view = await self._first_page(principal, key, query)
        is_sent_away = False
        if query.wait and not view.events and not view.closed:
            attach_request = AttachRequest(key, after=view.cursor, may_create=False)
            bulkhead = context.layer.hub.accounts.bulkhead(caller.account)
            bulkhead.leave()  # others of this subject may ask while it waits
            try:
                is_sent_away = await self._wait(request, principal, attach_request, query.wait)
            finally:
                await bulkhead.enter_again()
            view = await page_of_poll(context, principal, attach_request, limit=query.limit, fold=query.folds)
        headers = {"ETag": etag(view.head), "Cache-Control": "no-store"}
        if is_sent_away or context.layer.hub.ends_connections:
            headers["Connection"] = "close"  # the next poll is to reach another replica
        return Response(msgspec.json.encode(view), 200, headers, media_type="application/json")

    async def _first_page(self, principal: Principal, key: SessionKey, query: PageQuery) -> PageView:
        """What there is already. Raises AnypodError."""
        if query.wait is None:
            return await page_after(self._context, principal, key, query.after or "start", limit=query.limit, fold=query.folds)
        return await page_of_poll(self._context, principal, AttachRequest(key, after=query.after), limit=query.limit, fold=query.folds)

    async def _wait(self, request: Request, principal: Principal, attach_request: AttachRequest, wait_s: float) -> bool:
        """Is the poller to take another connection? Raises AnypodError `draining` instead of holding up the end of the replica."""
        hub, rng = self._context.layer.hub, self._context.rng
        if hub.is_leaving:
            raise AnypodError("draining", retry_after_ms=rng.randrange(RECONNECT_MS_MAX))
        began = hub.clock.now()
        is_sent_away = await wait_for_events(
            self._context.layer, principal, attach_request, min(wait_s, self._streams.poll_s_max), _gone(request)
        )
        # A poll knows nothing of those before it on its connection. Ended by lot, with the share of an age that this one took,
        # connections live for that age on average, and no two end together.
        age_s = hub.options.max_connection_age_s
        return is_sent_away or (age_s > 0 and rng.random() * age_s < hub.clock.now() - began)

    async def history(
        self, caller: Caller, request: Request, session_id: str, before: str | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> Response:
        """A page of durable events before a cursor, oldest first."""
        frame = await history_frame(self._context.layer.hub, caller.key, before, limit)
        return Response(msgspec.json.encode(HistoryView(frame.events, frame.before)), media_type="application/json")


class StreamOptions(msgspec.Struct, frozen=True):
    """`max_s`: of a stream; `poll_s_max`: of a poll's wait, which is silent: no longer than the proxies on the path bear."""

    outbox_bytes_max: int
    max_s: float
    poll_s_max: float


def _drafts(
    context: Dependencies, principal: Principal, key: SessionKey, bodies: Sequence[EventBody], idempotency_key: str | None
) -> list[Draft]:
    """Raises AnypodError for the first event that may not be published or is malformed."""
    hub = context.layer.hub
    stem = idempotency_key.strip('"') if idempotency_key is not None else f"http.{context.layer.attachments.new_id()}"
    if not is_name(stem) or (len(bodies) > 1 and len(stem) > STEM_CHARS_MAX):
        raise AnypodError("malformed", f"Idempotency-Key must be 1 to 64 of A-Z a-z 0-9 _ . : -, of a list at most {STEM_CHARS_MAX}")
    made: list[Draft] = []
    builder = DraftBuilder(principal, hub.options.limits.data_bytes)
    for index, body in enumerate(bodies):
        event_id = body.id or (stem if len(bodies) == 1 else f"{stem}.{index}")
        payload = _payload(body)
        frame = body.as_frame(event_id)
        made.append(builder.draft(frame, payload, hub.clock.wall_ms()))
    if sum(draft.size for draft in made) > LIST_BYTES_MAX and len(made) > 1:
        raise AnypodError("too_large", f"a list is at most {LIST_BYTES_MAX} bytes and {LIST_MAX} events")
    return made


def _payload(body: EventBody) -> bytes | None:
    if body.data_base64 is not None and body.data is not UNSET:
        raise AnypodError("malformed", "an event has data or data_base64, not both")
    return body.data_base64


async def _gone(request: Request) -> None:
    """Ends when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(context: Dependencies, streams: StreamOptions, principal: Principal, attach_request: AttachRequest) -> Response:
    stream = sse.Stream(context.layer, principal, outbox_bytes_max=streams.outbox_bytes_max, max_s=streams.max_s, rng=context.rng)
    try:
        await stream.open(attach_request)
    except AnypodError as error:
        if not error.row.is_retryable:
            raise
        # An error status would stop a browser's EventSource for good: the stream begins, and asks it to come again.
        ending = sse.farewell(error.row.close or 0, error.message, context.rng, error.retry_after_ms)
        return Response(ending, headers=dict(sse.HEADERS), media_type="text/event-stream")
    return StreamingResponse(_chunks(stream), headers=dict(sse.HEADERS), media_type="text/event-stream")


async def _chunks(stream: sse.Stream) -> AsyncIterator[bytes]:
    try:
        async for chunk in stream.chunks():
            yield chunk
    finally:
        stream.close()
