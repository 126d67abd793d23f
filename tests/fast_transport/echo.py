"""A server that sends back what it is sent, over the product's own WebSocket path: what the Autobahn cases are run against.

Owns an echo in the place of the session layer. Dispatch, WebSocket protocol and frame reader are the product's, in a real uvicorn.

    python -m tests.fast_transport.echo --port 21000 [--transport portable]
"""

import argparse
import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Any, Final

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from tests.support.options import options as options_of
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from anypod.auth import Principal, Verifier
from anypod.clock import SystemClock
from anypod.core.frames import ConnectionLimits
from anypod.core.identity import Subject, TenantId
from anypod.hub.layer import SessionLayer
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.telemetry import Metrics
from anypod.transport.authenticate import Authenticator
from anypod.transport.fast.dispatch import ProtocolDispatch
from anypod.transport.fast.http_head import RequestHead
from anypod.transport.fast.websocket import FastTransport, WebSocketProtocol
from anypod.transport.fast.websocket_frames import Opcode, header_of

PATH: Final = "/v1/sessions/echo/ws"
MESSAGE_BYTES_MAX: Final = 32 << 20  # the largest case has 16 MiB
NOBODY: Final = Principal(tenant=TenantId("t"), subject=Subject("nobody"), expires_at=float("inf"))


class OpenDoor(Authenticator):
    """Lets in whoever comes."""

    def known(self, *_: Any) -> Principal:
        return NOBODY


class EchoPeer:
    """Stands where a session's peer does, and says what it hears."""

    def __init__(self, layer: SessionLayer, wire: WebSocketProtocol) -> None:
        self.subscriber = layer.attachments.subscriber(wire, NOBODY)
        self._wire = wire
        self._attachments = layer.attachments

    def heard(self) -> None:
        """What follows is a message, or a part of one."""

    def take(self, payload: bytes, *, is_binary: bool = False) -> None:
        self._wire._write(header_of(Opcode.BINARY if is_binary else Opcode.TEXT, len(payload)) + payload)

    def flush(self) -> None:
        """What was taken has been answered."""

    def admits_control(self) -> bool:
        return True

    def gone(self) -> None:
        self._attachments.detach(self.subscriber)


class EchoSniffer(ProtocolDispatch):
    def _admit(self, head: RequestHead, response: bytes, rest: bytes, principal: Principal) -> None:
        assert head.is_upgrade
        wire = WebSocketProtocol(self._shared, self._transport, self._state.connections)
        wire.client = EchoPeer(self._shared.layer, wire)  # type: ignore[assignment]
        self._transport.set_protocol(wire)
        wire.greet(response)
        if rest:
            wire.data_received(rest)


def echo_desk() -> SessionLayer:
    """A session layer whose sessions nobody attaches to."""
    clock, rng, metrics = SystemClock(), Random(0), Metrics()
    limits = ConnectionLimits(frame_bytes=MESSAGE_BYTES_MAX, publish_per_s=1 << 20, data_bytes=MESSAGE_BYTES_MAX)
    options = options_of("echo", classes={}, heartbeat_ms=25_000, silence_ms=55_000, limits=limits)
    verifier = Verifier(clock, audience="anypod", algorithms=(), secrets=None, key_sets=())
    return SessionLayer(MemoryStore(MemoryServer(clock, rng)), clock, rng, metrics, options, verify=verifier.verify)


def echo_sniffing(layer: SessionLayer) -> Callable[..., asyncio.Protocol]:
    fast_transport = FastTransport(layer, Random(0), buffer_bytes_max=4 * MESSAGE_BYTES_MAX, stream_s_max=60.0)
    authenticator = OpenDoor(Verifier(layer.hub.clock, audience="anypod", algorithms=(), secrets=None, key_sets=()), ())

    def protocol(config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> asyncio.Protocol:
        return EchoSniffer(fast_transport, authenticator, server_state, lambda: HttpToolsProtocol(config, server_state, app_state, _loop))

    return protocol


async def portable_echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            text = message.get("text")
            await (websocket.send_text(text) if text is not None else websocket.send_bytes(message["bytes"]))
    except WebSocketDisconnect:
        return


async def serve(port: int, transport: str) -> None:
    http: Any = echo_sniffing(echo_desk()) if transport == "lean" else "httptools"
    app = Starlette(routes=[WebSocketRoute(PATH, portable_echo)])
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http=http,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transport", choices=("lean", "portable"), default="lean")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(serve(args.port, args.transport))


if __name__ == "__main__":
    main()
