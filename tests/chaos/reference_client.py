"""A client that does no more than the protocol asks, written without the client library.

Owns the life of such a client: attach, read until the connection ends, wait, attach again from the cursor; and what it does on
each frame. Must not know a transport: that is `websocket`, `sse` or `poll`. It shares no code with the library: what both see is true.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from msgspec import json
from tests.chaos.client_recorder import START, ClientRecorder, place_of
from tests.chaos.ephemeral import Ephemeral
from tests.chaos.speech import Draft

OPEN_S_MAX: Final = 5.0  # a replica that says nothing for so long after the connection was made is hung
SLACK_S: Final = 5.0  # protocol.md, "Heartbeats": two intervals and so much is silence
BACKOFF_S_MAX: Final = 1.0
WATCH_S: Final = 0.5
# What may be sent again; whatever else is said is said for good.
RETRIED: Final = frozenset(
    {
        "unavailable",
        "overloaded",
        "draining",
        "storage_full",
        "rate_limited",
        "too_many_frames",
        "internal",
        "slow_consumer",
        "heartbeat_missed",
    }
)


class BrokenError(Exception):
    """This connection cannot be trusted any more."""


@dataclass(frozen=True, slots=True)
class Around:
    """What clients of a crowd share. `is_over`: nothing new is published."""

    http: aiohttp.ClientSession
    url: Callable[[str], str]
    credential: Callable[[str], str]
    rng: random.Random
    is_over: asyncio.Event
    ephemeral: Ephemeral


class ReferenceClient:
    """`attach` is given by the transport: it opens a connection and reads until its end, and says what it hears to `take`."""

    def __init__(self, pen: ClientRecorder, around: Around) -> None:
        self.pen = pen
        self.around = around
        self.base = f"{around.url(pen.session)}/v1/sessions/{pen.session}"
        self.headers = {"Authorization": f"Bearer {around.credential(pen.session)}"}
        self.silence_s = OPEN_S_MAX
        self.heard_at = 0.0
        self.wait_s: float | None = None  # what the server has asked for before the next attempt
        self.connection: int | None = None
        self.heartbeat_s = OPEN_S_MAX
        self._behind_at: int | None = None

    async def attach(self) -> None:
        raise NotImplementedError

    async def publish(self, event_id: str, draft: Draft) -> None:
        await insist(self, event_id, draft)

    async def answered(self, frame: dict[str, Any]) -> None:
        """`published` or `error`, for transports that publish where they read."""

    async def behind(self) -> None:
        """A heartbeat told of events that have not come. They may be on their way; at the next one they are not."""
        if self._behind_at == self.pen.seq:
            raise BrokenError
        self._behind_at = self.pen.seq

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._attach_watched()
            self.leave()
            wait_s = self.wait_s if self.wait_s is not None else self.around.rng.random() * BACKOFF_S_MAX
            self.wait_s = None
            await asyncio.sleep(wait_s)

    async def _attach_watched(self) -> None:
        """A silent connection is given up."""
        self.silence_s = OPEN_S_MAX
        self.heard_at = self.pen.now()
        self._behind_at = None
        attached = asyncio.ensure_future(self.attach())
        try:
            while not attached.done():
                await asyncio.wait([attached], timeout=WATCH_S)
                if self.pen.now() - self.heard_at > self.silence_s:
                    break
        finally:
            attached.cancel()
            await asyncio.wait([attached])
        error = None if attached.cancelled() else attached.exception()
        if error is not None and not isinstance(error, aiohttp.ClientError | OSError | TimeoutError | BrokenError):
            raise error

    def enter(self) -> None:
        """A connection is open, and our cursor was told."""
        self.connection = self.pen.opened()

    def leave(self) -> None:
        self.pen.cut()
        if self.connection is not None:
            self.pen.shut(self.connection)
            self.connection = None

    async def take(self, frame: bytes) -> None:
        """One frame of the replica. Raises BrokenError."""
        self.heard_at = self.pen.now()
        assert self.connection is not None
        place = place_of(frame)
        if place is None:
            await self._obey(json.decode(frame), self.connection)
        elif not self.pen.received(self.connection, frame, place):
            raise BrokenError

    async def _obey(self, frame: dict[str, Any], connection: int) -> None:
        pen = self.pen
        match frame["type"]:
            case "session.created" | "session.restored":
                self.around.ephemeral.attached(pen.name)
                at = frame.get("resumed_at")
                pen.announced(connection, frame["folded"], frame["cursor"], None if at == START else at)
                self.heartbeat_s = frame["heartbeat_ms"] / 1_000
                self.silence_s = 2 * self.heartbeat_s + SLACK_S
            case "sync.done":
                pen.synced(connection, frame["cursor"], frame["folded"])
            case "session.reset":
                self.reset(frame)
            case "heartbeat":
                if "folded" in frame:  # what follows leaves deltas out
                    pen.announced(connection, frame["folded"], frame["cursor"], None)
                if pen.is_live and frame["cursor"] != pen.cursor:
                    await self.behind()
            case "goaway":
                self.wait_s = frame["reconnect_after_ms"] / 1_000
                raise BrokenError
            case "published" | "error":
                await self.answered(frame)
            case "signal":
                self.around.ephemeral.hear(pen.session, pen.name, frame["data"])
            case "presence":
                self.around.ephemeral.see(pen.name, *(frame.get(change, ()) for change in ("joined", "left", "updated")))
            case _:
                pass  # nothing that is judged

    def reset(self, frame: dict[str, Any]) -> None:
        self.pen.cut()
        common = frame.get("common")
        before = int(common.split("-")[2]) if common is not None else max(0, frame.get("oldest", 0) - 1)
        self.pen.reset(frame["reason"], common, before)
        if self.connection is not None:
            self.pen.announced(self.connection, frame.get("folded", 0), frame.get("cursor", ""), None)


async def insist(client: ReferenceClient, event_id: str, draft: Draft) -> None:
    """Publish by HTTP, again and again under the same id until it is accepted or refused for good."""
    pen, body = client.pen, json.encode({"id": event_id, **draft.fields()})
    headers = {**client.headers, "Content-Type": "application/json"}
    pen.attempted(event_id, draft)
    while event_id in pen.unsettled:
        try:
            async with client.around.http.post(f"{client.base}/events", data=body, headers=headers) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            pen.count("no answer")
            await asyncio.sleep(client.around.rng.random() * BACKOFF_S_MAX)
            continue
        if response.status == 201:
            (result,) = answer["results"]
            pen.acknowledged(event_id, result["seq"], result["cursor"])
        else:
            pen.refused(event_id, answer["code"], is_final=answer["code"] not in RETRIED)
            await asyncio.sleep(client.around.rng.random() * BACKOFF_S_MAX)
