"""The WebSocket protocol behind the HTTP server behind the sniffer: uvicorn's own, but for two mistakes.

Owns the check that a text is UTF-8: uvicorn takes the client's fault for its own, and writes it and its trace into the log. Owns
the end of an upgrade whose head the library refuses: uvicorn neither sends that answer nor ends the connection, which nobody
would look at any more. Must not know routes.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from anypod.transport.fast.websocket_frames import BAD_DATA


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
