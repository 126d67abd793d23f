"""A server that speaks just enough of the protocol to try a client on: one process, one log, every transport, and faults on demand.

Owns a list of events. Must not know the client's code, nor share any with it.
"""

import asyncio
import json
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web
from tests.unit.client.answers import Json, problem, sse
from tests.unit.client.faults import Faults

CREDENTIAL = "good"


class Peer:
    def __init__(self) -> None:
        self.url = ""
        self.events: list[Json] = []
        self.payloads: dict[int, bytes] = {}
        self.faults = Faults()
        self.credentials = {CREDENTIAL}
        self.heartbeat_ms = 25_000
        self.epoch = "peer"
        self.closed_at: str | None = None
        self.opened: list[str] = []  # transports, as they were attached
        self.received: list[Json] = []  # frames by WebSocket
        self.signals: list[Json] = []
        self.sockets: dict[web.WebSocketResponse, asyncio.Task[None]] = {}
        self.streams: set[asyncio.Task[Any]] = set()
        self._grown = asyncio.Event()

    # The log.

    def cursor(self, seq: int) -> str:
        return f"{self.epoch}-1abcdef-{seq}-{7 * seq}"

    def append(self, event_id: str, kind: str, data: Any, payload: bytes | None = None) -> tuple[Json, bool]:
        for event in self.events:
            if event["id"] == event_id:
                return event, True
        seq = len(self.events) + 1
        event = {"type": "event", "seq": seq, "cursor": self.cursor(seq), "id": event_id, "kind": kind, "author": "a", "ts": 1}
        if payload is None:
            event["data"] = data
        else:
            self.payloads[seq] = payload
        self.events.append(event)
        self.grow()
        return event, False

    def say(self, *texts: str) -> None:
        for text in texts:
            self.append(f"said.{len(self.events)}", "message", text)

    def grow(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def lose_tail(self, count: int) -> None:
        """A failover: the last events never were."""
        del self.events[-count:]

    def after(self, cursor: str | None) -> int | None:
        """The seq of a cursor, None when it is not of this log."""
        if cursor in (None, "start"):
            return 0
        if cursor == "tail":
            return len(self.events)
        seq = int((cursor or "").split("-")[2])
        return seq if seq <= len(self.events) and self.cursor(seq) == cursor else None

    def head(self) -> str:
        return self.cursor(len(self.events))

    def attached(self) -> Json:
        limits = {"frame_bytes": 1 << 20, "publish_per_s": 100, "data_bytes": 65_536}
        beside = {"state": {"mood": "calm"}, "live": {}, "turns": [], "limits": limits, "replica": "peer"}
        beat = {"heartbeat_ms": self.heartbeat_ms, "folded": 0, "missed": 0}
        return {"type": "session.restored", "session_id": "s", "cursor": self.head(), **beat, **beside}

    def reset(self) -> Json:
        common = {"common": self.head()} if self.events else {}
        return {
            "type": "session.reset",
            "reason": "rolled_back",
            **common,
            "cursor": self.head(),
            "folded": 0,
            "oldest": 1,
            "state": {},
            "live": {},
        }

    def as_text(self, event: Json) -> Json:
        payload = self.payloads.get(event["seq"])
        return event if payload is None else {**event, "data_base64": b64encode(payload).decode()}

    def publish(self, frame: Json, payload: bytes | None = None) -> Json:
        if self.faults.refusals:
            return {"type": "error", "ref": frame.get("ref"), "message": "", **self.faults.refusals.popleft()}
        event, duplicate = self.append(frame["id"], frame["kind"], frame.get("data"), payload)
        return {"type": "published", "id": event["id"], "seq": event["seq"], "cursor": event["cursor"], "duplicate": duplicate}

    # WebSocket.

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        if self.faults.upgrade_status is not None:
            return web.Response(status=self.faults.upgrade_status)
        ws = web.WebSocketResponse(protocols=("anypod.v1",))
        await ws.prepare(request)
        self.opened.append("websocket")
        if request.headers.get("Authorization") not in {f"Bearer {one}" for one in self.credentials}:
            await ws.close(code=4401, message=b"not_authenticated")
            return ws
        try:
            await self._converse(ws)
        finally:
            task = self.sockets.pop(ws, None)
            if task is not None:
                task.cancel()
        return ws

    async def _converse(self, ws: web.WebSocketResponse) -> None:
        async for message in ws:
            if message.type is WSMsgType.BINARY:
                size = int.from_bytes(message.data[:4], "big")
                await self._take(ws, json.loads(message.data[4 : 4 + size]), message.data[4 + size :])
            elif message.type is WSMsgType.TEXT:
                await self._take(ws, json.loads(message.data), None)

    async def _take(self, ws: web.WebSocketResponse, frame: Json, payload: bytes | None) -> None:
        self.received.append(frame)
        match frame["type"]:
            case "session.init":
                seq = self.after(frame.get("after"))
                await ws.send_json(self.reset()) if seq is None else None
                await ws.send_json(self.attached())
                self.sockets[ws] = asyncio.create_task(self._serve(ws, len(self.events) if seq is None else seq))
            case "publish":
                answer = self.publish(frame, payload)
                if self.faults.lost_replies:
                    self.faults.lost_replies -= 1
                    self.cut()
                else:
                    await ws.send_json(answer)

    async def _serve(self, ws: web.WebSocketResponse, seq: int) -> None:
        seq = await self._send_events(ws, seq)
        await ws.send_json({"type": "sync.done", "cursor": self.cursor(seq), "folded": 0})
        while True:
            grown = self._grown
            seq = await self._send_events(ws, seq)
            if self.closed_at is not None:
                await ws.send_json({"type": "session.closed", "cursor": self.closed_at})
            await grown.wait()

    async def _send_events(self, ws: web.WebSocketResponse, seq: int) -> int:
        while seq < len(self.events):
            event = self.events[seq]
            seq += 1
            if seq in self.faults.skipped_seqs:
                self.faults.skipped_seqs.discard(seq)
                continue
            payload = self.payloads.get(seq)
            if payload is None:
                await ws.send_json(event)
            else:
                header = json.dumps(event).encode()
                await ws.send_bytes(len(header).to_bytes(4, "big") + header + payload)
        return seq

    async def tell(self, frame: Json) -> None:
        for ws in list(self.sockets):
            await ws.send_json(frame)

    async def close(self, code: int, reason: str = "") -> None:
        for ws in list(self.sockets):
            await ws.close(code=code, message=reason.encode())

    def cut(self) -> None:
        """Break every connection without a word."""
        for ws in list(self.sockets):
            transport = ws._req.transport if ws._req else None
            if transport is not None:
                transport.abort()
        for stream in list(self.streams):
            stream.cancel()

    # HTTP.

    async def read(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") not in {f"Bearer {one}" for one in self.credentials}:
            return problem(401, {"code": "not_authenticated"})
        if request.headers.get("Accept") == "text/event-stream":
            return await self._stream(request)
        return await self._page(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.faults.stream_status is not None:
            return web.Response(status=self.faults.stream_status)
        self.opened.append("sse")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if self.faults.stream_refusal is not None:
            await response.write(sse(self.faults.stream_refusal))
            return response
        if self.faults.is_stream_held:
            await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        self.streams.add(task)
        try:
            seq = self.after(request.headers.get("Last-Event-ID"))
            await response.write(b"retry: 50\n\n")
            if seq is None:
                await response.write(sse(self.reset()))
                seq = len(self.events)
            await response.write(sse(self.attached()))
            is_done = False
            while True:
                grown = self._grown
                for event in self.events[seq:]:
                    await response.write(sse(self.as_text(event), event["cursor"]))
                seq = len(self.events)
                if not is_done:
                    await response.write(sse({"type": "sync.done", "cursor": self.cursor(seq), "folded": 0}))
                    is_done = True
                await grown.wait()
        finally:
            self.streams.discard(task)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        self.opened.append("poll")
        if self.faults.portal_pages:
            self.faults.portal_pages -= 1
            return web.Response(text="<html>Room number?</html>", content_type="text/html")
        seq = self.after(request.query.get("after"))
        if seq is None:
            return problem(410, {**self.reset(), "code": "cursor_gone", "title": "gone", "status": 410})
        if seq == len(self.events) and "wait" in request.query:
            with suppress(TimeoutError):
                async with asyncio.timeout(float(request.query["wait"])):
                    await self._grown.wait()
        page = self.events[seq : seq + 100]
        end = page[-1]["cursor"] if page else self.cursor(seq)
        more = bool(page) and page[-1]["seq"] < len(self.events)
        return web.json_response(
            {"events": [self.as_text(event) for event in page], "cursor": end, "head": self.head(), "folded": 0, "more": more}
        )

    async def post(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        payload = b64decode(body["data_base64"]) if "data_base64" in body else None
        answer = self.publish(body, payload)
        if answer["type"] == "error":
            return problem(503 if "retry_after_ms" in answer else 409, {key: answer[key] for key in answer if key not in ("type", "ref")})
        return web.json_response({"results": [answer]}, status=201)

    async def history(self, request: web.Request) -> web.StreamResponse:
        limit = int(request.query["limit"])
        end = (self.after(request.query["before"]) or 1) - 1 if "before" in request.query else len(self.events)
        page = self.events[max(0, end - limit) : end]
        before = {"before": page[0]["cursor"]} if page and page[0]["seq"] > 1 else {}
        return web.json_response({"events": [self.as_text(event) for event in page], **before})

    async def signal(self, request: web.Request) -> web.StreamResponse:
        self.signals.append(await request.json())
        return web.Response(status=202)

    async def patch(self, request: web.Request) -> web.StreamResponse:
        self.append(f"patch.{len(self.events)}", "context_update", await request.json())
        return web.json_response({})

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/v1/sessions/s/ws", self.websocket)
        app.router.add_get("/v1/sessions/s/events", self.read)
        app.router.add_post("/v1/sessions/s/events", self.post)
        app.router.add_get("/v1/sessions/s/history", self.history)
        app.router.add_post("/v1/sessions/s/signals", self.signal)
        app.router.add_patch("/v1/sessions/s", self.patch)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        return runner
