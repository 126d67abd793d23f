"""The HTTP server for everything but sessions' streams: uvicorn's own, with the limits that it lacks and two of its mistakes mended.

Owns how large a head may be and how long a request may take to arrive (slowloris); the check that a WebSocket text is UTF-8, where
uvicorn takes the client's fault for its own and logs a traceback; and the end of an upgrade whose head the library refuses, where uvicorn
neither answers nor closes. Must not know routes.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from anypod.transport.fast.http_head import HEAD_BYTES_MAX, HEAD_TOO_LARGE
from anypod.transport.fast.request_timeouts import RequestTimeouts
from anypod.transport.fast.websocket_frames import BAD_DATA

REQUEST_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class PlainHttp(HttpToolsProtocol):
    """A new connection owes its first request, and one that has begun a request owes the rest of it.

    While the replica `ends_connections`, each answer is the last on its connection: the next request is to find another replica.
    """

    def __init__(
        self,
        requests: RequestTimeouts,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        ends_connections: Callable[[], bool],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.ws_protocol_class = PlainWebSocket
        self._requests = requests
        self._ends_connections = ends_connections
        self._is_in_head = False
        self._head_bytes = 0

    # What the parser tells.

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0  # the read that it begins in is not counted: an earlier body may end there
        self._requests.begin(self)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()
        if self.cycle is not None and self._ends_connections():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._requests.end(self)
        super().on_message_complete()

    # What the connection brings.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._requests.begin(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > HEAD_BYTES_MAX:
            self._requests.end(self)
            self._refuse(HEAD_TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._requests.end(self)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._requests.end(self)
        super().handle_websocket_upgrade()

    def give_up(self) -> None:
        """From `RequestTimeouts`: the request does not come to its end."""
        self._refuse(REQUEST_TOO_SLOW)

    def _refuse(self, response: bytes) -> None:
        is_answered = self.cycle is None or self.cycle.response_complete  # otherwise it would stand inside another response
        if self._is_in_head and is_answered and not self.transport.is_closing():
            self.transport.write(response)
        self.transport.close()


def plain(requests: Callable[[], RequestTimeouts], ends_connections: Callable[[], bool]) -> Callable[..., asyncio.Protocol]:
    """What uvicorn's `http=` takes where nothing is taken before it. `requests` is asked once the loop runs."""

    def protocol(config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> asyncio.Protocol:
        return PlainHttp(requests(), config, server_state, app_state, ends_connections=ends_connections)

    return protocol


def release_idle(state: ServerState) -> None:
    """Close idle connections now, and busy ones once they are answered. A client that comes again over a connection
    that was kept would come to a replica that leaves."""
    for connection in tuple(state.connections):
        if isinstance(connection, PlainHttp):
            connection.shutdown()


class PlainWebSocket(WebSocketsSansIOProtocol):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(BAD_DATA)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
