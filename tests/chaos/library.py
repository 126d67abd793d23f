"""A client of the crowd that uses the client library, as an application does.

Owns the writing down of what the application gets. Must not know how the library stays connected: of its links it sees only
the phase.
"""

import asyncio
from typing import Final

from msgspec import json
from tests.chaos.client_recorder import ClientRecorder, Place
from tests.chaos.reference_client import Around
from tests.chaos.speech import Draft

from anypod.client import Attached, Event, Phase, Presence, Session, Signal
from anypod.client.types import Transport
from anypod.core.errors import AnypodError
from anypod.core.frames import encode

ORDER: Final = ("type", "seq", "cursor", "replaces", "id", "kind", "author", "ts", "turn", "attempt", "part", "data")
AGAIN_S: Final = 0.5  # before an application that was stopped begins again


def _frame(event: Event) -> bytes:
    """What the log wrote, byte for byte, if the library has changed nothing: the log writes an event's data last."""
    frame = encode(event)
    if event.part is None and event.replaces is None:
        return frame
    fields = json.decode(frame)
    return json.encode({name: fields[name] for name in sorted(fields, key=ORDER.index)})


class LibraryClient:
    """`stops`: why its session ended, each time that it did; it begins again from its cursor."""

    def __init__(self, pen: ClientRecorder, around: Around, transport: Transport) -> None:
        self.pen = pen
        self.around = around
        self.stops: list[str] = []
        self._transport: Transport = transport
        self._session: Session | None = None
        self._entered = asyncio.Event()
        if transport == "websocket":  # the others are not there for others
            around.ephemeral.join(pen.session, pen.name)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._read()
            except AnypodError as error:
                self.stops.append(error.code)
            self._entered.clear()
            self.pen.cut()
            await asyncio.sleep(AGAIN_S)

    async def _read(self) -> None:
        pen = self.pen
        session = Session(
            self.around.url(pen.session),
            pen.session,
            credential=self.around.credential(pen.session),
            after=pen.cursor,
            transport=self._transport,
            fold=False,
            device=pen.name,  # so that it meets its own former attachment, on whatever replica: `replaced` would stop it
            on_phase=self._note,
            on_attached=self._attached,
            on_signal=self._hear,
            on_presence=self._see if self._transport == "websocket" else None,
            http=self.around.http,
        )
        async with session:
            self._session = session
            self._entered.set()
            async for item in session:
                if isinstance(item, Event):
                    pen.delivered_by_library(_frame(item), Place(item.seq, item.cursor))
                else:
                    pen.reset(item.reason, item.common, item.common_seq or item.oldest - 1)

    def _note(self, phase: Phase) -> None:
        if phase.name == "live":
            self.pen.live()
        else:
            self.pen.cut()

    def _attached(self, _: Attached) -> None:
        self.around.ephemeral.attached(self.pen.name)

    def _hear(self, signal: Signal) -> None:
        self.around.ephemeral.hear(self.pen.session, self.pen.name, signal.data)

    def _see(self, change: Presence) -> None:
        self.around.ephemeral.see(self.pen.name, change.joined, change.left, change.updated)

    async def publish(self, event_id: str, draft: Draft) -> None:
        """Returns when it was answered."""
        self.pen.attempted(event_id, draft)
        while event_id in self.pen.unsettled:
            await self._entered.wait()
            assert self._session is not None
            try:
                receipt = await self._session.publish(id=event_id, **draft.fields())
            except AnypodError as error:
                self.pen.refused(event_id, error.code, is_final=not error.row.is_retryable and error.code != "closed")
                await asyncio.sleep(AGAIN_S)
            else:
                self.pen.acknowledged(receipt.id, receipt.seq, receipt.cursor)
