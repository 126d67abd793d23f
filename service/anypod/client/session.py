"""A session as a Python application holds it: events to iterate, ways to publish, a phase to show.

Owns the public interface. Must not know how a session stays connected: `machine` decides that and `runner` does it.
"""

import asyncio
import random
from base64 import b32encode
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from anypod.client.io.decoding import decode_history
from anypod.client.io.http import HttpEndpoint, open_http
from anypod.client.io.runner import Credential, Listeners, Runner
from anypod.client.machine.commands import Send
from anypod.client.machine.inputs import NetworkChanged, Publish, SendFrame, Stop
from anypod.client.machine.machine import Machine
from anypod.client.machine.options import Options
from anypod.client.machine.outbox import OUTBOX_BYTES_MAX, OUTBOX_COUNT_MAX
from anypod.client.machine.outgoing import IN_FLIGHT_MAX
from anypod.client.machine.transport_fallback import Wanted
from anypod.client.types import Attached, HistoryPage, Item, Phase, PhaseName, Presence, Signal
from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.identity import is_name

ID_BYTES: Final = 15  # 120 random bits: ids never meet; 24 letters of base32 without padding

JsonObject = Mapping[str, Any]


class Session:
    """`async with Session(...) as session`, then iterate it. It connects by itself, for ever, until it is closed or the server says stop.

    `credential`: a JWT, or what gives a fresh one. `after`: a `cursor` kept from earlier, `start` (the default) or `tail`.
    `http`: a shared client from `open_http`, which is then yours to close. `in_flight_max`: 1 keeps the order of concurrent
    publishes even when one of them is refused for a while and sent again.
    """

    def __init__(
        self,
        url: str,
        session_id: str,
        *,
        credential: Credential,
        after: str | None = None,
        transport: Wanted = "auto",
        fold: bool | None = None,
        session_class: str | None = None,
        device: str | None = None,
        in_flight_max: int = IN_FLIGHT_MAX,
        outbox_count_max: int = OUTBOX_COUNT_MAX,
        outbox_bytes_max: int = OUTBOX_BYTES_MAX,
        on_phase: Callable[[Phase], object] | None = None,
        on_attached: Callable[[Attached], object] | None = None,
        on_signal: Callable[[Signal], object] | None = None,
        on_presence: Callable[[Presence], object] | None = None,
        http: aiohttp.ClientSession | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if not is_name(session_id):
            raise AnypodError("malformed", "a session id is 1 to 64 of A-Z a-z 0-9 _ . : -")
        self.id = session_id
        self._url = url
        self._credential = credential
        self._http = http
        self._rng = rng if rng is not None else random.Random()  # noqa: S311 - spreads waits and names events; nothing rests on its secrecy
        self._listeners = Listeners(on_phase, on_attached, on_signal, on_presence)
        options = Options(
            transport=transport,
            after=after,
            fold=fold,
            session_class=session_class,
            device=device,
            features=("presence",) if on_presence is not None else (),
            in_flight_max=in_flight_max,
            outbox_count_max=outbox_count_max,
            outbox_bytes_max=outbox_bytes_max,
        )
        self._machine = Machine(options, self._rng.random)
        self._cursor = after  # of the item that was iterated last
        self._own_http: aiohttp.ClientSession | None = None
        self._endpoint: HttpEndpoint | None = None
        self._runner: Runner | None = None
        self._owner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        assert self._owner is None, "a session is entered once"
        if self._http is None:
            self._http = self._own_http = open_http()
        self._endpoint = HttpEndpoint(self._http, self._url, self.id)
        self._runner = Runner(self._machine, self._endpoint, self._credential, self._listeners)
        self._owner = asyncio.get_running_loop().create_task(self._runner.run(), name=f"session {self.id}")
        try:
            await self._runner.started.wait()
        except BaseException:  # cancelled: no caller will close it
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop. Events that were not acknowledged are settled with an error; whether the log has them is then unknown."""
        assert self._owner is not None
        self._running.feed(Stop())
        try:
            await self._owner
        finally:
            if self._own_http is not None:
                await self._own_http.close()

    @property
    def _running(self) -> Runner:
        assert self._runner is not None, "use `async with`"
        return self._runner

    @property
    def _at(self) -> HttpEndpoint:
        assert self._endpoint is not None, "use `async with`"
        return self._endpoint

    # Reading.

    @property
    def phase(self) -> Phase:
        """`next_attempt_at` is on the clock of the event loop."""
        return self._machine.phase

    @property
    def cursor(self) -> str | None:
        """Where to resume from: `after` for a later session, once everything iterated so far has been dealt with."""
        has_all = self._runner is not None and not len(self._runner.delivery)
        return self._machine.cursor if has_all else self._cursor

    async def reached(self, *names: PhaseName) -> Phase:
        """Wait for one of these phases. Raises AnypodError when the client has stopped and that is not among them."""
        return await self._running.reached(names)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """The next event, each once and in order, or a `Reset`. Ends with the log; raises AnypodError when the server says stop."""
        item = await self._running.delivery.take()
        self._cursor = item.cursor if isinstance(item, frames.Event) else item.common
        return item

    async def history(self, *, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Durable events backwards: the latest page, or the one before the cursor `before`."""
        params = {"limit": str(limit)} | ({"before": before} if before is not None else {})
        return decode_history(await self._at.ask("GET", "/history", params=params))

    # Writing.

    async def publish(
        self,
        kind: str,
        data: Any,
        *,
        id: str | None = None,  # noqa: A002 - the wire's own word
        turn: str | None = None,
        fence: int | None = None,
        attempt: int | None = None,
        part: str | None = None,
        replaces: str | None = None,
        intent: str | None = None,
        on_busy: str | None = None,
        expect: str | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """Returns when the log has the event. `data`: a JSON value, or bytes for binary data. `id`: generated unless given.

        Waits while there is no connection, and sends again what may have been lost: the id makes that safe. Raises AnypodError:
        `outbox_full` when too much waits already, otherwise what the replica says. Cancelling the wait does not call the event back.
        """
        event_id = id if id is not None else self._new_id()
        if not is_name(event_id) or not is_name(kind):
            raise AnypodError("malformed", "id and kind are 1 to 64 of A-Z a-z 0-9 _ . : -")
        payload = bytes(data) if isinstance(data, bytes | bytearray | memoryview) else None
        publish = frames.PublishFrame(
            ref=event_id,
            id=event_id,
            kind=kind,
            data=msgspec.Raw(msgspec.json.encode(data)) if payload is None else msgspec.UNSET,
            turn=turn,
            fence=fence,
            attempt=attempt,
            part=part,
            replaces=replaces,
            intent=intent,
            on_busy=on_busy,
            expect=expect,
            traceparent=traceparent,
        )
        return await self._running.publish(Publish(publish, payload))

    async def signal(self, name: str, data: Any = None, *, to: str | None = None) -> None:
        """Send a signal to the subscribers attached now; never logged, never repeated. `to`: an author, author/device, or an own device."""
        if not self._tell(frames.ClientSignalFrame(name=name, data=_raw(data), to=to)):
            body = {"name": name, "data": data} | ({"to": to} if to is not None else {})
            await self._at.ask("POST", "/signals", body)

    def presence(self, data: Any) -> None:
        """What others see of this device, told again after every reconnect. Only a WebSocket carries it."""
        self._tell(frames.ClientPresenceFrame(data=_raw(data)))

    async def patch_state(
        self,
        *,
        state: JsonObject | None = None,
        live: JsonObject | None = None,
        metadata: JsonObject | None = None,
        expect: str | None = None,
        is_silent: bool = False,
    ) -> None:
        """Merge into the session's state. `is_silent`: without an event in the log. `expect`: only while that is the head."""
        parts = {"state": state, "live": live, "metadata": metadata}
        body = {name: part for name, part in parts.items() if part is not None}
        await self._at.ask("PATCH", "", body, params={"silent": "true"} if is_silent else None, expect=expect or "")

    async def cancel(self, *, turn: str | None = None, cause: str | None = None, is_all: bool = False) -> None:
        """Cancel a turn by its id, by the id of the event that is its cause (even before it exists), or all of them."""
        if turn is not None:
            await self._at.ask("POST", f"/turns/{turn}/cancel")
        elif not self._tell(frames.CancelFrame(input=cause, all=is_all)):
            raise AnypodError("unavailable", "only a WebSocket carries this, and none is attached")

    def network_changed(self) -> None:
        """A hint: the network is back, or another one. Skips a back-off, and makes an open connection prove itself."""
        self._running.feed(NetworkChanged())

    def _tell(self, frame: frames.ClientFrame) -> bool:
        return any(isinstance(command, Send) for command in self._running.feed(SendFrame(frame)))

    def _new_id(self) -> str:
        return b32encode(self._rng.randbytes(ID_BYTES)).decode().lower()


def _raw(data: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(data))
