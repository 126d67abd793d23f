"""The driver of the Python client: the same cases as an application meets them.

Owns a `Session`. Must not know cases.
"""

import asyncio
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from tests.protocol.applied import Frame
from tests.protocol.attachment import DONE, Attachment, Place

from anypod.client import AnypodError, Attached, Event, HistoryPage, Phase, Presence, Session, SessionReset, Signal
from anypod.client.machine.transport_fallback import Wanted

_EVENT_FIELDS: Final = ("seq", "cursor", "id", "kind", "author", "ts", "data", "turn", "attempt", "part", "replaces")


class ClientAttachment(Attachment):
    """`wanted`: the transport it is told to take."""

    asks = frozenset({"after", "fold", "class", "device", "features", "credentials"})
    not_told = frozenset({"missed", "resumed_at", "ref", "cursor", "folded", "heartbeat_ms", "limits", "session_id"})

    def __init__(self, place: Place, wanted: Wanted = "auto") -> None:
        super().__init__(place)
        self._wanted: Wanted = wanted
        self.session: Session | None = None
        self.phases: list[Phase] = []
        if wanted == "poll":
            self.opening = {}
            self.not_told |= {"type", "state", "live", "turns", "replica"}  # type: ignore[misc]

    @property
    def cursor(self) -> str | None:
        return self.session.cursor if self.session is not None else None

    async def open(self, ask: Mapping[str, Any]) -> None:
        await self.begin(ask)
        await self.until(lambda: self.ended or (self.opening if self._wanted != "poll" or self.is_synced else None), "an opening")

    async def begin(self, ask: Mapping[str, Any]) -> None:
        """`credentials`: those that its provider gives, one after the other."""
        credentials = deque(ask.get("credentials", ()))

        async def next_credential() -> str:
            assert credentials, "a further credential is asked for"
            return str(credentials.popleft())

        self.session = Session(
            self.place.url,
            self.place.session,
            credential=next_credential if "credentials" in ask else self.place.credential,
            after=ask.get("after"),
            transport=self._wanted,
            fold=ask.get("fold"),
            session_class=ask.get("class"),
            device=ask.get("device"),
            on_phase=self._phase,
            on_attached=self._attached,
            on_signal=self._signal,
            on_presence=self._presence if "presence" in ask.get("features", ()) else None,
            http=self.place.http,
        )
        await self.session.__aenter__()
        self.run(asyncio.create_task(self.guarded(self._read)))

    async def leave(self) -> None:
        if self.session is not None:
            await self.session.close()
        await super().leave()

    async def publish(self, event: Mapping[str, Any]) -> Frame:
        assert self.session is not None
        fields = {name: value for name, value in event.items() if name not in ("kind", "data", "data_base64")}
        data = b64decode(event["data_base64"]) if "data_base64" in event else event["data"]
        try:
            receipt = await self.session.publish(event["kind"], data, **fields)
        except AnypodError as error:
            return _refusal(error)
        return {"id": receipt.id, "seq": receipt.seq, "cursor": receipt.cursor, "duplicate": receipt.is_duplicate}

    async def patch(self, patch: Mapping[str, Any]) -> Frame:
        assert self.session is not None
        try:
            await self.session.patch_state(**patch)
        except AnypodError as error:
            return _refusal(error)
        return {}

    async def history(self, ask: Mapping[str, Any]) -> Frame:
        assert self.session is not None
        try:
            page: HistoryPage = await self.session.history(**ask)
        except AnypodError as error:
            return _refusal(error)
        return {"events": [_frame_of(event) for event in page.events], **({"before": page.before} if page.before else {})}

    async def signal(self, signal: Mapping[str, Any]) -> Frame:
        assert self.session is not None
        try:
            await self.session.signal(signal["name"], signal.get("data"), to=signal.get("to"))
        except AnypodError as error:
            return _refusal(error)
        return {}

    def _phase(self, phase: Phase) -> None:
        self.phases.append(phase)
        self.is_synced = phase.name == "live"
        self.inbox.tell()

    def _attached(self, told: Attached) -> None:
        kind = "session.created" if told.was_created else "session.restored"
        self.opening = {"type": kind, "state": told.state, "live": told.live, "turns": list(told.turns), "replica": told.replica}
        self.inbox.tell()

    def _signal(self, told: Signal) -> None:
        origin = {"author": told.author} | ({"device": told.device} if told.device is not None else {})
        self.take({"type": "signal", "name": told.name, "data": told.data, "from": origin})

    def _presence(self, told: Presence) -> None:
        parts = {"joined": told.joined, "left": told.left, "updated": told.updated}
        self.take({"type": "presence", **{name: list(entries) for name, entries in parts.items() if entries}})

    async def _read(self) -> None:
        assert self.session is not None
        try:
            async for item in self.session:
                match item:
                    case Event():
                        self.take(_frame_of(item))
                    case SessionReset():
                        fields = {name: getattr(item, name) for name in ("reason", "oldest", "folded", "state", "live")}
                        common = {"common": item.common, "common_seq": item.common_seq} if item.common is not None else {}
                        self.take({"type": "session.reset", **fields, **common})
        except AnypodError as error:
            self.end(error.code)
        else:
            self.take({"type": "session.closed"})
            self.end(DONE)


def _frame_of(event: Event) -> Frame:
    """As the wire has it."""
    frame: Frame = {"type": "event"}
    for name in _EVENT_FIELDS:
        value = getattr(event, name)
        if isinstance(value, bytes):
            frame["data_base64"] = b64encode(value).decode()
        elif value is not None:
            frame[name] = msgspec.to_builtins(value)
    return frame


def _refusal(error: AnypodError) -> Frame:
    wait = {"retry_after_ms": error.retry_after_ms} if error.retry_after_ms is not None else {}
    return {"error": error.code, **wait}
