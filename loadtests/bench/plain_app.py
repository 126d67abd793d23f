"""What people write without a session layer: a plain ASGI application, as the reference for the cost of a connection and of a stream.

Owns one WebSocket route and one stream that repeats to everybody what comes in by the WebSocket. Must not know the benchmark.
No log, no order across processes, no resume: it does less than the product and is compared nevertheless.
"""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from anypod.settings import DEV_SECRET

streams: set[asyncio.Queue[bytes]] = set()


def is_good(credential: str) -> bool:
    """The cheapest check there is of a JWT signed with HS256."""
    signed, _, signature = credential.rpartition(".")
    expected = base64.urlsafe_b64encode(hmac.digest(DEV_SECRET.encode(), signed.encode(), "sha256")).rstrip(b"=").decode()
    if not hmac.compare_digest(signature, expected):
        return False
    body = signed.partition(".")[2]
    return bool(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"] > time.time())


class Socket:
    """The WebSocket in bare ASGI: what a framework adds comes on top."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode()
        await receive()
        if not is_good(authorization.removeprefix("Bearer ")):
            await send({"type": "websocket.close", "code": 4401})
            return
        await send({"type": "websocket.accept", "subprotocol": None})
        while (message := await receive())["type"] == "websocket.receive":
            await self._answer(json.loads(message["text"]), message["text"], send)

    async def _answer(self, frame: dict[str, str], text: str, send: Send) -> None:
        if frame["type"] == "hello":
            await send({"type": "websocket.send", "text": '{"type":"welcome"}'})
            return
        event = b"event: event\ndata: %b\n\n" % text.encode()
        for queue in streams:
            queue.put_nowait(event)


async def events(request: Request) -> Response:
    if not is_good(request.headers.get("authorization", "").removeprefix("Bearer ")):
        return Response(status_code=401)
    return StreamingResponse(_lines(), media_type="text/event-stream")


async def _lines() -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    streams.add(queue)
    try:
        yield b"event: welcome\ndata: {}\n\n"
        while True:
            yield await queue.get()
    finally:
        streams.discard(queue)


async def health(request: Request) -> Response:
    return Response("ok")


app = Starlette(routes=[Route("/health", health), Route("/events", events), WebSocketRoute("/ws", Socket())])
