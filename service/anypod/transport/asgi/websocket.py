"""The WebSocket of the wire contract as an ASGI route, for any server and any application.

Owns frames on and off an ASGI WebSocket, and the close codes. Must not know what a frame brings about: `hub.peer` does.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from anypod.auth import Access, Principal
from anypod.core.errors import CLOSE_GONE, CODES, AnypodError, close_reason
from anypod.core.event import is_binary
from anypod.core.frames import SUBPROTOCOL
from anypod.hub.client_connection import ClientConnection
from anypod.hub.layer import SessionLayer
from anypod.transport.asgi.queued_port import CloseFrame, QueuedPort
from anypod.transport.attach_query import attach_request_of_query, has_attach_fields, session_key
from anypod.transport.authenticate import Authenticator

logger = logging.getLogger(__name__)

REASON_BYTES_MAX: Final = 120  # a close frame has room for 123 (RFC 6455, 5.5)
GOODBYE_S_MAX: Final = 2.0  # to write what is left and the close frame; after that the connection is given up


class WebSocketRoute:
    """`GET /v1/sessions/{session_id}/ws`. Refusals are close codes after the upgrade, because a page sees nothing else.

    `needs`: the access that attaching by it takes.
    """

    needs: Final[Access] = "read"

    def __init__(self, layer: SessionLayer, authenticator: Authenticator, *, outbox_bytes_max: int) -> None:
        self._layer = layer
        self._authenticator = authenticator
        self._outbox_bytes_max = outbox_bytes_max

    async def __call__(self, websocket: WebSocket) -> None:
        offered = websocket.scope.get("subprotocols") or []
        try:
            await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
            principal = await self._identified(websocket, offered)
            key = session_key(principal.tenant, websocket.path_params["session_id"])
            attach_request = attach_request_of_query(key, websocket.query_params) if has_attach_fields(websocket.query_params) else None
        except WebSocketDisconnect:
            return  # the client went first
        except AnypodError as error:
            self._layer.hub.metrics.errors[error.code] += 1
            with suppress(WebSocketDisconnect):  # the client may have gone first
                await websocket.close(CODES[error.code].close or CLOSE_GONE, close_reason(error)[:REASON_BYTES_MAX])
            return
        task = asyncio.current_task()
        assert task is not None
        port = QueuedPort(self._outbox_bytes_max, task.cancel)
        client = ClientConnection(self._layer, port, principal, key)
        port.subscriber = client.subscriber
        try:
            if attach_request is not None:
                client.begin(attach_request)
            await self._converse(websocket, client, port)
        finally:
            client.gone()

    async def _identified(self, websocket: WebSocket, offered: Sequence[str]) -> Principal:
        """Authentication comes first: an unauthenticated client takes nothing from the budget of authenticated ones. Raises AnypodError."""
        attachments = self._layer.attachments
        try:
            principal = self._authenticator.known(websocket.headers, offered)
            if principal is None:
                await attachments.admission.enter("unknown")
                principal = await self._authenticator.principal(websocket.headers, offered, websocket.query_params)
            attachments.check_room(principal)
        except AnypodError as error:
            if not error.row.is_retryable or error.code == "overloaded":
                await attachments.admission.hold_refusal()
            raise
        await attachments.admission.enter("accept")
        return principal

    async def _converse(self, websocket: WebSocket, client: ClientConnection, port: QueuedPort) -> None:
        reading = asyncio.create_task(self._read(websocket, client, port), name="websocket-read")
        try:
            await self._write(websocket, port, reading)
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def _read(self, websocket: WebSocket, client: ClientConnection, port: QueuedPort) -> None:
        frame_bytes_max = self._layer.hub.options.limits.frame_bytes
        while (message := await websocket.receive())["type"] == "websocket.receive":
            text = message.get("text")
            frame: bytes = text.encode() if text is not None else message["bytes"]
            if len(frame) > frame_bytes_max:
                client.refuse(AnypodError("too_large", f"a frame is at most {frame_bytes_max} bytes"))
            else:
                client.receive(frame, is_binary=text is None)
            await port.room()
        port.close(CLOSE_GONE)

    async def _write(self, websocket: WebSocket, port: QueuedPort, reading: "asyncio.Task[None]") -> None:
        try:
            while not isinstance(taken := await port.take(), CloseFrame):
                await self._send(websocket, taken)
                port.written()
            if websocket.client_state is WebSocketState.CONNECTED and not reading.done():
                async with asyncio.timeout(GOODBYE_S_MAX):
                    await websocket.close(taken.code, taken.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore"))
        except (WebSocketDisconnect, TimeoutError, RuntimeError):
            return  # the client went first

    async def _send(self, websocket: WebSocket, taken: Sequence[bytes]) -> None:
        for frame in taken:
            if is_binary(frame):
                await websocket.send_bytes(frame)
            else:
                await websocket.send_text(frame.decode())
