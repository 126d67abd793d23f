"""An application with the product's client machine: the shell around it, over lines instead of sockets.

Owns the obedience to the machine's commands. Must not judge what comes of it: its spectator writes that down.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import Raw, json
from tests.simulation.client_recorder import ClientRecorder, Who
from tests.simulation.history import History
from tests.simulation.network import GRAIN_S, Bytes, End, Item, Line

from anypod.client.io.decoding import decode_binary, decode_text
from anypod.client.machine import commands, inputs
from anypod.client.machine.commands import Command
from anypod.client.machine.inputs import Input
from anypod.client.machine.machine import Machine
from anypod.client.machine.options import Options
from anypod.client.types import CLOSE_DONE, Transport
from anypod.core import frames
from anypod.core.errors import CODES, AnypodError
from anypod.core.event import Receipt, is_binary

OPEN_GRAINS_MAX: Final = 15  # of an upgrade's round trip, and of a request's
TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "websocket", "websocket", "sse")


class Balancer(Protocol):
    """The way to any replica that is up; without a memory."""

    def attach(self, line: Line, who: Who, stream: commands.Open | None) -> str | None:
        """The name of the replica that took the line, None when nobody is there. `stream`: what an SSE request asks for."""

    async def post(self, who: Who, publish: frames.PublishFrame, payload: bytes | None) -> Receipt:
        """Raises AnypodError, `unavailable` also when the answer is lost."""


@dataclass(slots=True)
class Link:
    """One link of the machine. `connection`: its number in the history, None until its cursor is told to the replica."""

    line: Line
    replica: str
    connection: int | None = None
    troubles: dict[str, None] = field(default_factory=dict)


class Application:
    """One life of an application. What it stored is `after`."""

    def __init__(self, who: Who, after: str | None, balancer: Balancer, history: History, *, rng: random.Random) -> None:
        self.who = who
        self.has_vanished = False
        self.seen = ClientRecorder(who, history)
        self._balancer = balancer
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        transport = rng.choice(TRANSPORTS)
        self._machine = Machine(Options(transport=transport, after=after, in_flight_max=rng.choice((1, 4, 32))), rng.random)
        self._links: dict[int, Link] = {}
        self._payload = b""  # what the machine is being fed with
        self._wake: asyncio.TimerHandle | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self.seen.started(after)

    def start(self) -> None:
        self._feed(inputs.Start())

    @property
    def phase(self) -> str:
        return self._machine.phase.name

    @property
    def described_phase(self) -> str:
        phase = self._machine.phase
        return f"{phase.name} ({phase.code} {phase.reason})"

    @property
    def was_told_to_stop(self) -> bool:
        """Its session was deleted, which no client comes back from by itself."""
        phase = self._machine.phase
        return phase.name == "stopped" and phase.code == CODES["no_such_session"].close

    @property
    def has_read_to_the_end(self) -> bool:
        """Its session was closed, and it was told so."""
        phase = self._machine.phase
        return phase.name == "stopped" and phase.code == CLOSE_DONE

    @property
    def is_at_rest(self) -> bool:
        """Live on a line that nothing disturbs, with every publish answered; or at the end of a closed log."""
        return self.has_read_to_the_end or (
            self.phase == "live" and not self.seen.contents and not any(link.troubles for link in self._links.values())
        )

    # What the application does.
    def publish(self, publish: frames.PublishFrame, payload: bytes | None = None) -> None:
        """Nothing, while the same id has no answer yet."""
        if not self.has_vanished and publish.id not in self.seen.contents:
            self.seen.attempted(publish, payload)
            self._feed(inputs.Publish(publish, payload))

    def change_network(self) -> None:
        self._feed(inputs.NetworkChanged())

    def vanish(self) -> None:
        """Killed: nothing is said, the kernel closes what is open."""
        self.has_vanished = True
        for number in list(self._links):
            self._leave(number, 1001)
        self.seen.vanished()

    def finish(self) -> None:
        self.seen.finished(self._machine.cursor)

    # What befalls its lines.
    def lines(self) -> list[Line]:
        return [link.line for link in self._links.values()]

    def trouble(self, what: str) -> list[Line]:
        """From here on its lines are disturbed, until they flow again or end."""
        for link in self._links.values():
            link.troubles[what] = None
            self.seen.disturbed(what)
        return self.lines()

    def flow(self, lines: list[Line], what: str) -> None:
        for link in self._links.values():
            if link.line in lines:
                link.line.down.flow()
                self._calm(link, what)

    def _calm(self, link: Link, what: str) -> None:
        if what in link.troubles:
            del link.troubles[what]
            self.seen.calmed(what)

    # The machine.
    def _feed(self, given: Input) -> None:
        if not self.has_vanished:
            for command in self._machine.handle(given, self._loop.time()):
                self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case commands.Deliver(item):
                self.seen.delivered(item, self._payload)
            case commands.Send(link, frame, payload):
                self._send(link, frame, payload)
            case commands.Wake(at):
                if self._wake is not None:
                    self._wake.cancel()
                self._wake = self._loop.call_at(at, self._feed, inputs.Tick())
            case commands.Complete(event_id, outcome):
                self.seen.settled(event_id, outcome)
            case commands.Open():
                self._loop.call_later(self._round_trip_s(), self._open, command)
            case commands.Close(link):
                self._leave(link, 1000)
            case commands.Post():
                task = self._loop.create_task(self._post(command))
                self._posts.add(task)
                task.add_done_callback(self._posts.discard)
            case commands.AskCredential():
                self._loop.call_later(self._round_trip_s(), self._feed, inputs.CredentialGiven("credential"))
            case commands.Show() | commands.Notify():
                pass
            case commands.Fetch():
                raise AssertionError("nobody polls here")

    def _round_trip_s(self) -> float:
        return GRAIN_S * self._rng.randint(1, OPEN_GRAINS_MAX)

    # Links.
    def _open(self, asked: commands.Open) -> None:
        if self.has_vanished:
            return
        line = Line(self._rng, lambda item: self._take(asked.link, item))
        is_stream = asked.transport == "sse"
        replica = self._balancer.attach(line, self.who, asked if is_stream else None)
        if replica is None:
            self._feed(inputs.ConnectionClosed(asked.link, 1006, "refused"))
            return
        link = self._links[asked.link] = Link(line, replica)
        self._feed(inputs.Opened(asked.link))
        if is_stream and asked.link in self._links:
            link.connection = self.seen.opened(replica, asked.after)

    def _send(self, number: int, frame: frames.ClientFrame, payload: bytes | None) -> None:
        link = self._links[number]
        if isinstance(frame, frames.InitFrame):
            link.connection = self.seen.opened(link.replica, frame.after)
        elif link.connection is not None:
            self.seen.asked(link.connection, frame)
        text = frames.encode(frame)
        link.line.up.send(Bytes(text if payload is None else len(text).to_bytes(4, "big") + text + payload))

    async def _post(self, post: commands.Post) -> None:
        await asyncio.sleep(self._round_trip_s())
        answer: frames.PublishedFrame | frames.ErrorFrame
        try:
            receipt = await self._balancer.post(self.who, post.publish, post.payload)
            answer = frames.PublishedFrame(id=receipt.id, seq=receipt.seq, cursor=receipt.cursor, duplicate=receipt.is_duplicate)
        except AnypodError as exc:
            answer = frames.ErrorFrame(code=exc.code, message=exc.message, ref=post.publish.id, retry_after_ms=exc.retry_after_ms)
        await asyncio.sleep(self._round_trip_s())
        self._feed(inputs.Answered(answer))

    def _leave(self, number: int, code: int) -> None:
        link = self._links.get(number)
        if link is not None:
            link.line.leave_client(code)
            self._forget(number, link, code)

    def _forget(self, number: int, link: Link, code: int) -> None:
        del self._links[number]
        if link.connection is not None:
            self.seen.shut(link.connection, code)
        for what in tuple(link.troubles):
            self._calm(link, what)

    def _take(self, number: int, item: Item) -> None:
        link = self._links.get(number)
        if link is None:
            return
        match item:
            case Bytes(payload):
                frame = decode_binary(payload) if is_binary(payload) else decode_text(payload)
                self._payload = payload
                if link.connection is not None:
                    self.seen.received(link.connection, frame, payload)
                self._feed(inputs.Received(number, frame))
            case End(code, reason):
                self._forget(number, link, code)
                self._feed(inputs.ConnectionClosed(number, code, reason))


def message(event_id: str, text: str, **fields: object) -> frames.PublishFrame:
    return frames.PublishFrame(id=event_id, kind=str(fields.pop("kind", "message")), data=Raw(json.encode(text)), **fields)  # type: ignore[arg-type]
