"""Do what the machine says: open links, wait, deliver, settle.

Owns every task and timer of one session's client, and the receipts that are waited for. Must not know why: the machine decides.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, assert_never

from anypod.client.io.decoding import decode_published
from anypod.client.io.delivery import Delivery
from anypod.client.io.http import HttpEndpoint, publish_body
from anypod.client.io.longpoll import PollTransport
from anypod.client.io.sse import SseTransport
from anypod.client.io.transport import Transport
from anypod.client.io.websocket import WebsocketTransport
from anypod.client.machine.commands import AskCredential, Close, Command, Complete, Deliver, Fetch, Notify, Open, Post, Send, Show, Wake
from anypod.client.machine.inputs import Answered, CredentialFailed, CredentialGiven, Input, Paused, Publish, Resumed, Start, Tick
from anypod.client.machine.machine import Machine
from anypod.client.types import CLOSE_DONE, Attached, Item, Phase, Presence, Signal, attached_of, item_of, presence_of, signal_of
from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt

logger = logging.getLogger(__name__)

CREDENTIAL_S_MAX: Final = 30.0  # a provider that takes longer has failed, and is asked again after the back-off

Credential = str | Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Called soon after what they are told of, from the event loop. What they raise goes to its exception handler."""

    on_phase: Callable[[Phase], object] | None = None
    on_attached: Callable[[Attached], object] | None = None
    on_signal: Callable[[Signal], object] | None = None
    on_presence: Callable[[Presence], object] | None = None


class Runner:
    """`delivery`: what is to be iterated. `phase`: as last shown."""

    def __init__(self, machine: Machine, endpoint: HttpEndpoint, credential: Credential, listeners: Listeners) -> None:
        self.delivery: Delivery[Item] = Delivery()
        self.started = asyncio.Event()
        self._machine = machine
        self._endpoint = endpoint
        self._credential = credential
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._group = asyncio.TaskGroup()
        self._links: dict[int, tuple[Transport, asyncio.Task[None]]] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._receipts: dict[str, asyncio.Future[Receipt]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._phase_changed = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Until the machine stops. Leaves no task, timer or unanswered receipt behind."""
        try:
            async with self._group:
                self.feed(Start())
                self.started.set()
                await self._stopped.wait()
                for request in self._requests:
                    request.cancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self.delivery.end(AnypodError("internal", "the client has failed"))  # no effect when it ended properly
            for receipt in self._receipts.values():
                receipt.cancel()
            self._show()

    def feed(self, given: Input, *, due: float = 0.0) -> list[Command]:
        """Tell the machine, and do what it says. `due`: the time that a timer was set for; it may fire a clock's tick too early."""
        commands = self._machine.handle(given, max(self._loop.time(), due))
        for command in commands:
            self._obey(command)
        return commands

    async def publish(self, offer: Publish) -> Receipt:
        """Raises AnypodError. A caller that is cancelled does not call the event back: it may be on its way."""
        event_id = offer.publish.id
        if event_id in self._receipts:
            raise AnypodError("conflict", "an event of this id is being published")
        receipt: asyncio.Future[Receipt] = self._loop.create_future()
        self._receipts[event_id] = receipt
        self.delivery.publishing(is_publishing=True)
        self.feed(offer)
        return await receipt

    async def reached(self, names: tuple[str, ...]) -> Phase:
        """Wait for a phase of these names. Raises the error that has stopped the client, `closed` when none has."""
        while (phase := self._machine.phase).name not in names:
            if phase.name == "stopped":
                raise self._machine.stopped_by or AnypodError("closed", phase.reason)
            await self._phase_changed.wait()
        return phase

    # Obeying.

    def _obey(self, command: Command) -> None:
        match command:
            case Open() | Close() | Send() | Fetch():
                self._obey_for_link(command)
            case Deliver() | Notify() | Complete() | Show():
                self._tell(command)
            case AskCredential():
                self._request(self._ask_credential())
            case Post():
                self._request(self._post(command))
            case Wake(at):
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = self._loop.call_at(at, lambda: self.feed(Tick(), due=at))
            case _:
                assert_never(command)

    def _obey_for_link(self, command: Open | Close | Send | Fetch) -> None:
        match command:
            case Open():
                link = self._transport(command)
                self._links[command.link] = link, self._group.create_task(self._run_link(command.link, link), name=f"link {command.link}")
            case Close():
                if command.link in self._links:
                    self._links.pop(command.link)[1].cancel()
            case Send() | Fetch():
                if command.link in self._links:  # it may have ended, with the machine still to be told
                    self._links[command.link][0].obey(command)
            case _:
                assert_never(command)

    def _tell(self, command: Deliver | Notify | Complete | Show) -> None:
        match command:
            case Deliver(frame):
                self.delivery.put(item_of(frame))
            case Notify(frame):
                self._notify(frame)
            case Complete():
                self._settle(command)
            case Show(phase):
                if phase.name == "stopped":
                    self.delivery.end(None if phase.code == CLOSE_DONE else self._machine.stopped_by)
                    self._stopped.set()
                self._show()
                self._call(self._listeners.on_phase, phase)
            case _:
                assert_never(command)

    def _notify(
        self, frame: frames.SignalFrame | frames.PresenceFrame | frames.CreatedFrame | frames.RestoredFrame | frames.ErrorFrame
    ) -> None:
        match frame:
            case frames.CreatedFrame() | frames.RestoredFrame():
                self._call(self._listeners.on_attached, attached_of(frame))
            case frames.SignalFrame():
                self._call(self._listeners.on_signal, signal_of(frame))
            case frames.PresenceFrame():
                self._call(self._listeners.on_presence, presence_of(frame))
            case frames.ErrorFrame():
                logger.warning("the replica refused a frame: %s (%s)", frame.code, frame.message)
            case _:
                assert_never(frame)

    def _call(self, listener: Callable[[Any], object] | None, told: object) -> None:
        """Later, so that nothing it does comes between two commands."""
        if listener is not None:
            self._loop.call_soon(listener, told)

    def _settle(self, command: Complete) -> None:
        receipt = self._receipts.pop(command.id)
        self.delivery.publishing(is_publishing=bool(self._receipts))
        if receipt.done():
            return  # no caller waits any more
        if isinstance(command.outcome, AnypodError):
            receipt.set_exception(command.outcome)
        else:
            receipt.set_result(command.outcome)

    def _show(self) -> None:
        changed, self._phase_changed = self._phase_changed, asyncio.Event()
        changed.set()

    # Links.

    def _transport(self, command: Open) -> Transport:
        match command.transport:
            case "websocket":
                return WebsocketTransport(command.link, self._endpoint, self._feed_and_wait)
            case "sse":
                return SseTransport(self._endpoint, self._feed_and_wait, command)
            case "poll":
                return PollTransport(command.link, self._endpoint, self._feed_and_wait)
            case _:
                assert_never(command.transport)

    async def _run_link(self, number: int, link: Transport) -> None:
        closed = await link.run()
        self._links.pop(number, None)
        self.feed(closed)

    async def _feed_and_wait(self, given: Input) -> None:
        self.feed(given)
        if self.delivery.has_room:
            return
        self.feed(Paused())
        try:
            await self.delivery.room()
        finally:
            self.feed(Resumed())

    # Requests.

    def _request(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _ask_credential(self) -> None:
        try:
            async with asyncio.timeout(CREDENTIAL_S_MAX):
                credential = self._credential if isinstance(self._credential, str) else await self._credential()
        except AnypodError as exc:
            self.feed(CredentialFailed(exc.message, is_final=not exc.row.is_retryable))
        except Exception as exc:  # the application's own code, whatever it raises
            logger.warning("the provider of credentials failed", exc_info=exc)
            self.feed(CredentialFailed(f"the provider of credentials failed: {type(exc).__name__}"))
        else:
            self._endpoint.credential = credential
            self.feed(CredentialGiven(credential))

    async def _post(self, post: Post) -> None:
        event_id, answer = post.publish.id, frames.ErrorFrame
        try:
            body = await self._endpoint.ask("POST", "/events", publish_body(post.publish, post.payload), expect=post.publish.expect or "")
        except AnypodError as exc:
            self.feed(Answered(answer(code=exc.code, message=exc.message, ref=event_id, retry_after_ms=exc.retry_after_ms)))
            return
        try:
            self.feed(Answered(decode_published(body)))
        except AnypodError as exc:
            # A proxy has answered: what became of the event is unknown, and its id makes a retry safe.
            self.feed(Answered(answer(code="unavailable", message=exc.message, ref=event_id)))
