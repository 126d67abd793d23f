"""Light clients over each of the transports.

Owns how frames arrive and publishes leave. Must not know what a frame brings about: `light` does.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

import aiohttp
from msgspec import Raw, Struct, json
from tests.chaos.client_recorder import START, ClientRecorder
from tests.chaos.reference_client import RETRIED, Around, BrokenError, ReferenceClient
from tests.chaos.speech import Draft

UNANSWERED_MAX: Final = 8  # publishes on their way at once
AGAIN_S: Final = 0.3  # before a refused publish is sent again
WAIT_S: Final = 5  # of a poll
PAUSE_S: Final = 0.25  # between two polls: a busy session would otherwise be asked without end
PAGE: Final = 500
FRAME_BYTES_MAX: Final = 4 << 20
LINE_BYTES_MAX: Final = 1 << 20
CLOSE_S_MAX: Final = 0.5

Socket = aiohttp.ClientWebSocketResponse[bool]


class WebsocketClient(ReferenceClient):
    """Sends everything unanswered again on every new connection, under the same ids."""

    def __init__(self, pen: ClientRecorder, around: Around) -> None:
        super().__init__(pen, around)
        self._socket: Socket | None = None
        self._drafts: dict[str, Draft] = {}  # of what was not answered, by id
        self._room = asyncio.Semaphore(UNANSWERED_MAX)
        around.ephemeral.join(pen.session, pen.name)

    async def attach(self) -> None:
        pen = self.pen
        async with self.around.http.ws_connect(
            f"{self.base}/ws",
            protocols=("anypod.v1",),
            headers=self.headers,
            timeout=aiohttp.ClientWSTimeout(ws_receive=None, ws_close=CLOSE_S_MAX),
            compress=0,
            max_msg_size=FRAME_BYTES_MAX,
            decode_text=False,
        ) as socket:
            self.enter()
            place = {"resume": pen.cursor != START, "after": pen.cursor, "device": pen.name}
            await self._say(socket, type="session.init", protocol=1, fold=False, features=["presence"], **place)
            beating = asyncio.ensure_future(self._beat(socket))
            try:
                async for message in socket:
                    await self.take(message.data)
                    if self._socket is None and pen.is_live:
                        self._socket = socket
                        await self._send_again(socket)
            finally:
                self._socket = None
                beating.cancel()

    async def _beat(self, socket: Socket) -> None:
        while not socket.closed:
            await asyncio.sleep(self.heartbeat_s / 2)
            await self._say(socket, type="heartbeat")
            await self._say(socket, type="presence", data={"seq": self.pen.seq})

    async def behind(self) -> None:
        if self._socket is not None and self.connection is not None:
            self.pen.asked(self.connection)
            await self._say(self._socket, type="sync", after=self.pen.cursor)

    async def publish(self, event_id: str, draft: Draft) -> None:
        """Returns when it is on its way, or will be with the next connection."""
        await self._room.acquire()
        self._drafts[event_id] = draft
        self.pen.attempted(event_id, draft)
        if self._socket is not None:
            await self._publish(self._socket, event_id)

    async def answered(self, frame: dict[str, Any]) -> None:
        ref = frame.get("ref")
        if frame["type"] == "published":
            self._settle(frame["id"])
            self.pen.acknowledged(frame["id"], frame["seq"], frame["cursor"])
        elif isinstance(ref, str) and ref in self._drafts:
            is_final = frame["code"] not in RETRIED
            self.pen.refused(ref, frame["code"], is_final=is_final)
            if is_final:
                self._settle(ref)
            elif self._socket is not None:
                asyncio.get_running_loop().call_later(AGAIN_S, self._publish_later, ref)

    def _settle(self, event_id: str) -> None:
        if self._drafts.pop(event_id, None) is not None:
            self._room.release()

    def _publish_later(self, event_id: str) -> None:
        if self._socket is not None and event_id in self._drafts:
            self._sending = asyncio.ensure_future(self._publish(self._socket, event_id))

    async def _send_again(self, socket: Socket) -> None:
        for event_id in list(self._drafts):
            await self._publish(socket, event_id)

    async def _publish(self, socket: Socket, event_id: str) -> None:
        await self._say(socket, type="publish", ref=event_id, id=event_id, **self._drafts[event_id].fields())

    async def _say(self, socket: Socket, **frame: Any) -> None:
        with suppress(aiohttp.ClientError, ConnectionError):  # the reader finds out
            await socket.send_str(json.encode(frame).decode())


class SseClient(ReferenceClient):
    async def attach(self) -> None:
        headers = {**self.headers, "Accept": "text/event-stream", "Last-Event-ID": self.pen.cursor}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.around.http.get(f"{self.base}/events", params={"fold": "false"}, headers=headers, timeout=timeout) as response:
            if response.status != 200:
                raise BrokenError
            self.enter()
            async for line in response.content:
                if line.startswith(b"data: "):
                    await self.take(line[6:-1])


class Page(Struct):
    events: list[Raw]
    cursor: str
    folded: int
    more: bool


class PollClient(ReferenceClient):
    """Every request is a connection of its own."""

    async def attach(self) -> None:
        while True:
            page = await self._page()
            if page is not None:
                await self._read(page)
            if page is None or not page.more:
                await asyncio.sleep(PAUSE_S)

    async def _page(self) -> Page | None:
        """None: our cursor was void, and now it is another."""
        params = {"after": self.pen.cursor, "limit": str(PAGE), "fold": "false", "wait": str(WAIT_S)}
        self.heard_at = self.pen.now() + WAIT_S
        async with self.around.http.get(f"{self.base}/events", params=params, headers=self.headers) as response:
            body = await response.read()
        self.enter()
        if response.status == 410:
            self.reset(json.decode(body))
        elif response.status != 200:
            self.leave()
            raise BrokenError
        else:
            return json.decode(body, type=Page)
        self._leave_quietly()
        return None

    async def _read(self, page: Page) -> None:
        pen, connection = self.pen, self.connection
        assert connection is not None
        pen.announced(connection, page.folded, page.cursor, None)
        for raw in page.events:
            await self.take(bytes(raw))
        if not page.more:
            pen.synced(connection, page.cursor, page.folded)
            pen.cursor = page.cursor
        self._leave_quietly()

    def _leave_quietly(self) -> None:
        """The answer has come: that the request is over cuts nobody off."""
        if self.connection is not None:
            self.pen.shut(self.connection)
            self.connection = None
