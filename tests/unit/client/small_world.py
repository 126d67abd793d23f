"""A session in miniature around one machine: a log, a replica, the links between, and an application that only counts.

Owns what the replica would do and what the application has seen. Must not know what is checked. Time is a number; nothing
happens by itself: a test chooses what moves next.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from anypod.client.machine.commands import AskCredential, Close, Command, Complete, Deliver, Open, Post, Send, Wake
from anypod.client.machine.inputs import Answered, ConnectionClosed, CredentialGiven, Input, Opened, Publish, Received, Start, Tick
from anypod.client.machine.machine import Machine
from anypod.client.machine.options import Options
from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt

LIMITS = frames.ConnectionLimits(frame_bytes=1 << 20, publish_per_s=100, data_bytes=1 << 16)


@dataclass
class Wire:
    """One link. `up`, `down`: frames under way. `sent`: up to which seq the replica has served, None before it has begun."""

    transport: str
    after: str | None
    is_open: bool = False
    up: deque[frames.ClientFrame] = field(default_factory=deque)
    down: deque[frames.ServerFrame] = field(default_factory=deque)
    sent: int | None = None


class SmallWorld:
    def __init__(self, options: Options, chance: Callable[[], float]) -> None:
        self.machine = Machine(options, chance)
        self.now = 0.0
        self.log: list[frames.Event] = []
        self.term = 0
        self.connections: dict[int, Wire] = {}
        self.posts: deque[frames.PublishFrame] = deque()
        self.applied: list[frames.Event] = []
        self.settled: dict[str, Receipt | AnypodError] = {}
        self.offered: list[str] = []
        self.refuse_next = 0
        self.forgotten = 0  # events up to this seq are out of the dedup window
        self._wake_at: float | None = None
        self._asked = 0
        self.feed(Start())

    def feed(self, given: Input) -> None:
        for command in self.machine.handle(given, self.now):
            self._obey(command)
        while self._asked:
            self._asked -= 1
            self.feed(CredentialGiven("credential"))

    def _obey(self, command: Command) -> None:
        match command:
            case AskCredential():
                self._asked += 1
            case Open():
                self.connections[command.link] = Wire(command.transport, command.after)
            case Close():
                self.connections.pop(command.link, None)
            case Send():
                if command.link in self.connections:
                    self.connections[command.link].up.append(command.frame)
            case Post():
                self.posts.append(command.publish)
            case Deliver(frames.Event() as event):
                assert not self.applied or event.seq == self.applied[-1].seq + 1, "a gap, a duplicate, or out of order"
                self.applied.append(event)
            case Deliver(frames.ResetFrame() as reset):
                kept = [event.cursor for event in self.applied].index(reset.common) + 1 if reset.common else 0
                del self.applied[kept:]
            case Complete():
                assert command.id not in self.settled, "settled twice"
                self.settled[command.id] = command.outcome
            case Wake():
                self._wake_at = command.at
            case _:
                pass

    # The log.

    def append(self, event_id: str) -> frames.Event:
        known = next((event for event in self.log[self.forgotten :] if event.id == event_id), None)
        if known is None:
            seq = len(self.log) + 1
            known = frames.Event(seq=seq, cursor=f"{self.term}-{seq}", id=event_id, kind="message", author="a", ts=1, data=1)
            self.log.append(known)
            for wire in self.connections.values():
                if wire.sent is not None:
                    self._serve(wire)
        return known

    def fail_over(self, lost: int) -> None:
        """The last events never were; whoever is attached and was sent them is told."""
        del self.log[len(self.log) - min(lost, len(self.log)) :]
        self.forgotten = min(self.forgotten, len(self.log))
        self.term += 1
        for wire in self.connections.values():
            if wire.sent is not None and wire.sent > len(self.log):
                wire.sent = len(self.log)
                wire.down.append(self._reset(wire.sent))
                wire.down.append(self._done())

    def _head(self) -> str:
        return self.log[-1].cursor if self.log else "0-0"

    def _reset(self, shared: int) -> frames.ResetFrame:
        common = self.log[shared - 1].cursor if shared else None
        return frames.ResetFrame(reason="rolled_back", common=common, common_seq=shared or None, cursor=self._head(), oldest=1)

    def _shared(self, lost: str) -> int:
        """Up to which seq the log still has the history of a cursor that it does not have: whatever is not of a later term."""
        term, seq = map(int, lost.split("-"))
        return sum(event.seq <= seq and int(event.cursor.split("-")[0]) <= term for event in self.log)

    def _done(self) -> frames.SyncDoneFrame:
        return frames.SyncDoneFrame(cursor=self._head(), seq=len(self.log), folded=0)

    # The replica.

    def _serve(self, wire: Wire) -> None:
        assert wire.sent is not None
        wire.down.extend(self.log[wire.sent :])
        wire.sent = len(self.log)

    def _attach(self, wire: Wire, after: str | None) -> None:
        cursors = ["0-0", *(event.cursor for event in self.log)]
        if after is None or after in cursors:
            wire.sent = cursors.index(after or "0-0")
        else:
            wire.sent = self._shared(after)
            wire.down.append(self._reset(wire.sent))
        empty = msgspec.Raw(b"{}")
        attached = frames.RestoredFrame(
            session_id="s", cursor=self._head(), after_seq=wire.sent, folded=0, heartbeat_ms=10_000, missed=0,
            state=empty, live=empty, turns=[], limits=LIMITS, replica="r",
        )  # fmt: skip
        wire.down.append(attached)
        self._serve(wire)
        wire.down.append(self._done())

    def replica_takes(self, wire: Wire) -> None:
        match wire.up.popleft():
            case frames.InitFrame() as init:
                self._attach(wire, init.after)
            case frames.SyncFrame() as sync:
                cursors = ["0-0", *(event.cursor for event in self.log)]
                if sync.after in cursors:
                    wire.sent = cursors.index(sync.after)
                self._serve(wire)
                wire.down.append(self._done())
            case frames.PublishFrame() as publish:
                wire.down.append(self._answer(publish))
            case _:
                pass

    def _answer(self, publish: frames.PublishFrame) -> frames.PublishedFrame | frames.ErrorFrame:
        if self.refuse_next:
            self.refuse_next -= 1
            return frames.ErrorFrame(code="unavailable", message="", ref=publish.id, retry_after_ms=100)
        count = len(self.log)
        event = self.append(publish.id)
        return frames.PublishedFrame(id=event.id, seq=event.seq, cursor=event.cursor, duplicate=event.seq <= count)

    # What a test may let happen.

    def publish(self, event_id: str) -> None:
        self.offered.append(event_id)
        self.feed(Publish(frames.PublishFrame(ref=event_id, id=event_id, kind="message", data=msgspec.Raw(b"1"))))

    def open(self, number: int) -> None:
        wire = self.connections[number]
        wire.is_open = True
        self.feed(Opened(number))
        if wire.transport == "sse":
            self._attach(wire, wire.after)

    def bring(self, number: int) -> None:
        self.feed(Received(number, self.connections[number].down.popleft()))

    def cut(self, number: int, code: int = 1006) -> None:
        del self.connections[number]
        self.feed(ConnectionClosed(number, code))

    def be_away(self) -> None:
        """So long that the session has forgotten the ids of all events."""
        for number in list(self.connections):
            self.cut(number)
        self.forgotten = len(self.log)

    def answer_post(self, *, is_lost: bool = False) -> None:
        publish = self.posts.popleft()
        answer = self._answer(publish)
        self.feed(Answered(frames.ErrorFrame(code="unavailable", message="", ref=publish.id) if is_lost else answer))

    def sleep(self) -> bool:
        """Until the machine wants to be woken. False: it does not."""
        if self._wake_at is None:
            return False
        self.now, self._wake_at = max(self.now, self._wake_at), None
        self.feed(Tick())
        return True

    def settle_down(self) -> None:
        """No more faults: everything under way arrives, until the client is live and nothing waits."""
        for _ in range(2_000):
            if self._move_anything():
                continue
            if self.machine.phase.name == "live" and len(self.settled) == len(self.offered) and self.applied[-1:] == self.log[-1:]:
                return
            assert self.sleep(), "the machine waits for nothing"
        raise AssertionError(f"the world does not settle down: {self.machine.phase}")

    def _move_anything(self) -> bool:
        for number, wire in list(self.connections.items()):
            if not wire.is_open:
                self.open(number)
            elif wire.up:
                self.replica_takes(wire)
            elif wire.down:
                self.bring(number)
            else:
                continue
            return True
        if self.posts:
            self.answer_post()
            return True
        return False
