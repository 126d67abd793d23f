"""Protocol dispatch: the first bytes of a connection decide which protocol serves it.

Owns the choice: WebSockets and SSE streams of sessions go to lean protocols of our own, everything else to the HTTP server
behind. Must not know what either does with it.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from anypod.auth import Principal
from anypod.core.errors import AnypodError
from anypod.hub.client_connection import ClientConnection
from anypod.telemetry import Arrival
from anypod.transport.attach_query import attach_request_of_query, has_attach_fields, session_key
from anypod.transport.authenticate import Authenticator
from anypod.transport.fast.http_head import (
    HEAD_BYTES_MAX,
    HEAD_TOO_LARGE,
    PATH_START,
    HeadError,
    RequestHead,
    parse_head,
    upgrade_response,
)
from anypod.transport.fast.sse import SseProtocol, refusal
from anypod.transport.fast.uvicorn_http import REQUEST_TOO_SLOW, PlainHttp
from anypod.transport.fast.websocket import FastTransport, WebSocketProtocol

_HEAD_END: Final = b"\r\n\r\n"


class ProtocolDispatch(asyncio.Protocol):
    __slots__ = ("_authenticator", "_buffer", "_hand_over", "_shared", "_state", "_transport")

    def __init__(
        self, fast_transport: FastTransport, authenticator: Authenticator, state: ServerState, hand_over: Callable[[], asyncio.Protocol]
    ) -> None:
        self._shared = fast_transport
        self._authenticator = authenticator
        self._state = state
        self._hand_over = hand_over
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._shared.arrivals.begin(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.arrivals.end(self)

    def give_up(self) -> None:
        """From `RequestTimeouts`: the connection has not said in time what it wants."""
        if self._buffer and not self._transport.is_closing():
            self._transport.write(REQUEST_TOO_SLOW)
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not data.startswith(PATH_START):
            if PATH_START.startswith(data):
                self._buffer = data
            else:
                self._leave(data)
            return
        end = data.find(_HEAD_END, 0, HEAD_BYTES_MAX)
        if end >= 0:
            self._decide(data, end)
        elif len(data) < HEAD_BYTES_MAX:
            self._buffer = data
        else:
            self._end(HEAD_TOO_LARGE)

    def _decide(self, data: bytes, end: int) -> None:
        head = parse_head(data[:end])
        rest = data[end + len(_HEAD_END) :]
        is_upgrade = head is not None and head.is_upgrade
        if head is None or not (is_upgrade or head.is_stream):
            self._leave(data)
            return
        self._buffer = b""
        self._shared.arrivals.end(self)
        self._state.total_requests += 1
        try:
            response = upgrade_response(head) if is_upgrade else b""
        except HeadError as error:
            self._end(error.response)
        else:
            self._identify(head, response, rest)

    def _identify(self, head: RequestHead, response: bytes, rest: bytes) -> None:
        """Authentication comes first: an unauthenticated client takes nothing from the budget of authenticated ones."""
        try:
            principal = self._authenticator.known(head.headers, head.subprotocols)
            if principal is not None:
                self._shared.layer.attachments.check_room(principal)
        except AnypodError as error:
            self._refuse_late(head, response, error)
        else:
            if principal is None:
                self._wait("unknown", head, response, lambda: self._ask_who(head, response, rest))
            else:
                self._wait("accept", head, response, lambda: self._admit(head, response, rest, principal))

    def _wait(self, arrival: Arrival, head: RequestHead, response: bytes, go: Callable[[], None]) -> None:
        """Go on when there is a permit."""
        waiting = self._shared.layer.attachments.admission
        try:
            wait_s = waiting.wait_s(arrival)
        except AnypodError as error:
            self._refuse(head, response, error)
            return
        if wait_s > 0:
            self._transport.pause_reading()
            waiting.later(arrival, wait_s, lambda: self._resume(go))
        else:
            go()

    def _resume(self, go: Callable[[], None]) -> None:
        """It has waited."""
        if not self._transport.is_closing():
            self._transport.resume_reading()
            go()

    def _ask_who(self, head: RequestHead, response: bytes, rest: bytes) -> None:
        self._transport.pause_reading()  # until the client is authenticated
        self._shared.layer.hub.tasks.start(self._verify(head, response, rest), "verify")

    async def _verify(self, head: RequestHead, response: bytes, rest: bytes) -> None:
        refusal: AnypodError | None = None
        try:
            principal = await self._authenticator.principal(head.headers, head.subprotocols)
            self._shared.layer.attachments.check_room(principal)
        except AnypodError as error:
            refusal = error
        if self._transport.is_closing():
            return  # the client went first
        self._transport.resume_reading()
        if refusal is not None:
            self._refuse_late(head, response, refusal)
        else:
            self._wait("accept", head, response, lambda: self._admit(head, response, rest, principal))

    def _refuse_late(self, head: RequestHead, response: bytes, error: AnypodError) -> None:
        """A refused client waits for the refusal, and is not read from meanwhile."""
        if not error.row.is_retryable or error.code == "overloaded":
            self._transport.pause_reading()
            self._shared.layer.attachments.admission.refuse(
                lambda: self._resume(lambda: self._refuse(head, response, error)), self._transport.abort
            )
        else:
            self._refuse(head, response, error)

    def _refuse(self, head: RequestHead, response: bytes, error: AnypodError) -> None:
        """A page sees nothing but close codes, so even a refused upgrade is made first."""
        self._shared.layer.hub.metrics.errors[error.code] += 1
        if head.is_upgrade:
            wire = WebSocketProtocol(self._shared, self._transport, self._state.connections)
            self._transport.set_protocol(wire)
            wire.greet(response)
            wire.refuse(error)
        else:
            self._end(refusal(error, self._shared.rng, self._cors_lines(head)))

    def _cors_lines(self, head: RequestHead) -> bytes:
        return self._authenticator.cors.lines(head.headers.get("origin"), head.headers.get("host"))

    def _admit(self, head: RequestHead, response: bytes, rest: bytes, principal: Principal) -> None:
        try:
            key = session_key(principal.tenant, head.session_id)
            is_stream = head.is_stream
            begins_now = is_stream or has_attach_fields(head.query)
            attach_request = (
                attach_request_of_query(key, head.query, last_event_id=head.headers.get("last-event-id")) if begins_now else None
            )
        except AnypodError as error:
            self._refuse(head, response, error)
            return
        if attach_request is not None and is_stream:
            stream = SseProtocol(self._shared, self._transport, self._state.connections, principal, self._cors_lines(head))
            self._transport.set_protocol(stream)
            stream.begin(attach_request)
            return
        wire = WebSocketProtocol(self._shared, self._transport, self._state.connections)
        wire.client = ClientConnection(self._shared.layer, wire, principal, key)
        self._transport.set_protocol(wire)
        wire.greet(response)
        if attach_request is not None:
            wire.client.begin(attach_request)
        if rest:
            wire.data_received(rest)

    def _end(self, response: bytes) -> None:
        self._shared.arrivals.end(self)
        self._transport.write(response)
        self._transport.close()

    def _leave(self, data: bytes) -> None:
        """Not ours."""
        self._shared.arrivals.end(self)
        protocol = self._hand_over()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)


def sniffing(fast_transport: Callable[[], FastTransport], authenticator: Authenticator) -> Callable[..., asyncio.Protocol]:
    """What uvicorn's `http=` takes: called for each connection. `fast_transport` is called once the loop runs."""

    def protocol(config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> asyncio.Protocol:
        shared = fast_transport()

        def hand_over() -> asyncio.Protocol:
            return PlainHttp(shared.requests, config, server_state, app_state, ends_connections=lambda: shared.layer.hub.ends_connections)

        return ProtocolDispatch(shared, authenticator, server_state, hand_over)

    return protocol
