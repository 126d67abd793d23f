"""One connection of one reader, from its opening until it is cut or ends.

Owns the connection: what is asked on it, how it is cut, and publishing over it while it is up to date. Must not know what
the frames mean to the proof.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

import msgspec

from anypod.client import open_http
from anypod.client.io.http import HttpEndpoint
from anypod.client.io.longpoll import PollTransport
from anypod.client.io.sse import SseTransport
from anypod.client.io.transport import Transport as Link
from anypod.client.io.websocket import WebsocketTransport
from anypod.client.machine.commands import Fetch, Open, Send
from anypod.client.machine.inputs import ConnectionClosed, Input, Opened, PageReceived, Received
from anypod.client.machine.outgoing import error_of
from anypod.client.types import Transport
from anypod.core import frames
from anypod.core.cursor import START
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.prove.record import EventToPublish

LINK: Final = 1  # there is one
POLL_WAIT_S: Final = 25  # longer than any leg: a poll is cut while it waits
POLL_PAUSE_S: Final = 0.25  # between polls that are answered empty and at once, which a proxy may do
ANSWER_S_MAX: Final = 10.0  # of a publish over the connection; then its id is sent again elsewhere


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a leg is for."""

    url: str
    session_id: str
    credential: str = field(repr=False)
    transport: Transport
    after: str


class ReaderConnection:
    """`is_synced`: everything up to now has come."""

    def __init__(self, ask: ReadPlan, hear: Callable[[Received | PageReceived], None]) -> None:
        self._ask = ask
        self._hear = hear
        self._link: Link | None = None
        self._answers: dict[str, asyncio.Future[Receipt]] = {}
        self.is_synced = False

    async def run(self, cut_after_s: float) -> ConnectionClosed | None:
        """None: we have cut it."""
        try:
            async with open_http() as http:  # of its own: a new connection, which a balancer may give to another replica
                endpoint = HttpEndpoint(http, self._ask.url, self._ask.session_id)
                endpoint.credential = self._ask.credential
                self._link = self._transport(endpoint)
                async with asyncio.TaskGroup() as tasks:
                    running = tasks.create_task(self._link.run())
                    done, _ = await asyncio.wait([running], timeout=cut_after_s)
                    await http.close()  # first, so that there is no farewell: a network gives none
                    running.cancel()
                return running.result() if done else None
        finally:
            self.is_synced = False
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(AnypodError("unavailable", "the connection was cut before the answer"))

    async def publish(self, draft: EventToPublish) -> Receipt:
        """Over this connection, a WebSocket. Raises AnypodError, `unavailable` when it ends before the answer."""
        assert self._link is not None
        payload = draft.data if isinstance(draft.data, bytes) else None
        publish = publish_frame(draft)
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._answers[draft.id] = answer
        self._link.obey(Send(LINK, publish, payload))
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await answer
        except TimeoutError as exc:
            raise AnypodError("unavailable", "no answer in time") from exc
        finally:
            del self._answers[draft.id]

    def _transport(self, endpoint: HttpEndpoint) -> Link:
        match self._ask.transport:
            case "websocket":
                return WebsocketTransport(LINK, endpoint, self._feed)
            case "sse":
                return SseTransport(endpoint, self._feed, Open(LINK, "sse", self._ask.after, fold=False))
            case "poll":
                return PollTransport(LINK, endpoint, self._feed)
            case _:
                assert_never(self._ask.transport)

    async def _feed(self, given: Input) -> None:
        match given:
            case Opened():
                self._greet()
            case Received(frame=frame):
                self._answer(frame)
                self.is_synced |= isinstance(frame, frames.SyncDoneFrame)
                self._hear(given)
                self._start_over(frame)
            case PageReceived():
                self.is_synced |= not given.more
                self._hear(given)
                await self._turn(given)
            case _:
                raise AssertionError(f"a transport does not feed {given}")

    def _greet(self) -> None:
        assert self._link is not None
        after = self._ask.after
        match self._ask.transport:
            case "websocket":
                init = frames.InitFrame(protocol=frames.PROTOCOL, resume=after != START, after=after, fold=False)
                self._link.obey(Send(LINK, init))
            case "poll":
                self._link.obey(Fetch(LINK, after, 0, fold=False))
            case "sse":
                pass  # the request has said it all
            case _:
                assert_never(self._ask.transport)

    def _start_over(self, frame: frames.ServerFrame) -> None:
        """After a reset only a poll has to be asked again: the other transports go on by themselves."""
        if self._ask.transport == "poll" and isinstance(frame, frames.ResetFrame):
            assert self._link is not None
            self._link.obey(Fetch(LINK, frame.common or START, 0, fold=False))

    async def _turn(self, page: PageReceived) -> None:
        """Ask for the page that follows."""
        assert self._link is not None
        if not (page.events or page.more):
            await asyncio.sleep(POLL_PAUSE_S)
        self._link.obey(Fetch(LINK, page.cursor, 0 if page.more else POLL_WAIT_S, fold=False))

    def _answer(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.PublishedFrame():
                answer = self._answers.get(frame.id)
                if answer is not None and not answer.done():
                    answer.set_result(Receipt(frame.id, frame.seq, frame.cursor, frame.duplicate))
            case frames.ErrorFrame(ref=str(ref)):
                answer = self._answers.get(ref)
                if answer is not None and not answer.done():
                    answer.set_exception(error_of(frame))
            case _:
                pass  # of no publish of this connection's


def publish_frame(draft: EventToPublish) -> frames.PublishFrame:
    """Without the data where that is binary: a payload travels beside the frame."""
    is_binary = isinstance(draft.data, bytes)
    data = msgspec.UNSET if is_binary else msgspec.Raw(msgspec.json.encode(draft.data))
    return frames.PublishFrame(ref=draft.id, id=draft.id, kind=draft.kind, data=data)
