"""What a client of a session does next, decided without doing it.

Owns the decisions: what an input means for the history, the links and the outbox. Must not know sockets, tasks, clocks or randomness.

How a shell obeys: it makes one machine, feeds `Start`, and then every input as it happens, never two at once and never while it carries
out the commands of another; it carries out all commands in their order before the next input. `now` is monotonic seconds and never goes
back; `chance` gives numbers in [0, 1). `service/spec/cases/client_machine.json` has what every implementation of this machine must do.
"""

import re
from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from anypod.client.machine.commands import Close, Command, Send, Wake
from anypod.client.machine.connector import Connector
from anypod.client.machine.incoming import Broken, Ended, Incoming, Verdict
from anypod.client.machine.inputs import (
    Answered,
    ConnectionClosed,
    CredentialFailed,
    CredentialGiven,
    Input,
    NetworkChanged,
    Opened,
    PageReceived,
    Paused,
    Publish,
    Received,
    Resumed,
    SendFrame,
    Start,
    Stop,
    Tick,
)
from anypod.client.machine.options import Options
from anypod.client.machine.outbox import PublishOutbox
from anypod.client.machine.outgoing import Outgoing
from anypod.client.machine.position import Position
from anypod.client.machine.transport_fallback import POLL_FIRST_WAIT_S, POLL_WAIT_S, PROBE_S_MAX, ConnectionState, TransportFallback
from anypod.client.types import CLOSE_DONE, CLOSE_LOST, Phase, error_of_close
from anypod.core import frames
from anypod.core.errors import CLOSE_RETRIED, CODES, AnypodError

__all__ = ["Machine", "Options"]

_RETRY_AFTER: Final = re.compile(r"retry_after_ms=([0-9]{1,8})", re.ASCII)


class Machine:
    def __init__(self, options: Options, chance: Callable[[], float]) -> None:
        self._options = options
        self._now = 0.0
        self._commands: list[Command] = []
        self._position = Position(options.after)
        self._connector = Connector(TransportFallback(options.transport), self._position, chance, self._emit, fold=options.fold)
        outbox = PublishOutbox(options.outbox_count_max, options.outbox_bytes_max)
        self._publisher = Outgoing(outbox, options.in_flight_max, chance, self._emit)
        self._reader = Incoming(self._position, self._connector, self._publisher, self._emit)
        self._presence: frames.ClientPresenceFrame | None = None  # shown again after every attach
        self._stopped: AnypodError | None = None
        self._is_paused = False
        self._wake_at: float | None = None

    @property
    def cursor(self) -> str | None:
        """The resume point: the last event delivered, or where the replica said that everything was sent."""
        return self._position.cursor

    @property
    def stopped_by(self) -> AnypodError | None:
        """What unsettled events were settled with; None while it runs."""
        return self._stopped

    @property
    def phase(self) -> Phase:
        return self._connector.phase

    def handle(self, given: Input, now: float) -> list[Command]:
        self._now = now
        self._commands = []
        if self._stopped is None:
            self._take(given)
        elif isinstance(given, Publish):
            self._publisher.offer(given)
            self._publisher.give_up(self._stopped)
        if self._stopped is None:
            self._flush()
            self._arm()
        return self._commands

    def _emit(self, command: Command) -> None:
        self._commands.append(command)

    def _take(self, given: Input) -> None:
        match given:
            case Received() | PageReceived():
                self._read(given)
            case Publish() | Answered() | SendFrame():
                self._speak(given)
            case Start() | Opened() | ConnectionClosed():
                self._connect(given)
            case CredentialGiven() | CredentialFailed():
                self._authenticate(given)
            case Paused() | Resumed():
                self._pause(given)
            case NetworkChanged():
                self._prove()
            case Tick():
                self._tick()
            case Stop():
                self._stop(CLOSE_DONE, "", AnypodError("unavailable", "stopped before the answer: the log may have the event or not"))
            case _:
                assert_never(given)

    # What arrives.
    def _read(self, given: Received | PageReceived) -> None:
        link = self._connector.link
        if link is None or link.id != given.link:
            return
        was_synced = link.is_synced
        self._connector.heard(self._now, is_refusal=_is_refusal(given))
        if isinstance(given, Received):
            verdict = self._reader.read(link, given.frame, self._now)
        else:
            verdict = self._reader.turn(link, given, self._now)
        if link.is_synced and not was_synced and self._presence is not None:
            self._tell(self._presence)
        self._judge(link, verdict)

    def _judge(self, link: ConnectionState, verdict: Verdict) -> None:
        match verdict:
            case Broken(reason):
                self._give_up(link, reason)
            case Ended():
                self._stop(CLOSE_DONE, "the session is closed", AnypodError("closed"))
            case None:
                pass
            case _:
                assert_never(verdict)

    # What the application says.
    def _speak(self, given: Publish | Answered | SendFrame) -> None:
        match given:
            case Publish():
                self._publisher.offer(given)
            case Answered():
                self._answered(given.frame)
            case SendFrame():
                if isinstance(given.frame, frames.ClientPresenceFrame):
                    self._presence = given.frame
                self._tell(given.frame)
            case _:
                assert_never(given)

    def _answered(self, frame: frames.PublishedFrame | frames.ErrorFrame) -> None:
        """A request may have carried a credential that has just run out: with the next one it is made again."""
        if isinstance(frame, frames.ErrorFrame) and frame.code == "not_authenticated":
            self._connector.renew()
            frame = msgspec.structs.replace(frame, code="unavailable")
        self._publisher.answered(frame, self._now)

    def _tell(self, frame: frames.ClientFrame) -> None:
        link = self._connector.link
        if link is not None and link.is_heard and link.transport == "websocket":
            self._emit(Send(link.id, frame))

    def _flush(self) -> None:
        link = self._connector.link
        if link is not None and link.is_synced:
            self._publisher.flush(link, self._now)

    # Links come and go.
    def _connect(self, given: Start | Opened | ConnectionClosed) -> None:
        match given:
            case Start():
                self._connector.attempt(self._now)
            case Opened():
                before = self._connector.link
                link = self._connector.opened(given.link, self._now)
                if link is not None:
                    if before is not None:
                        self._publisher.lost(before)
                    self._greet(link)
            case ConnectionClosed():
                link = self._connector.drop(given.link)
                if link is not None:
                    self._lost(link, given)
            case _:
                assert_never(given)

    def _greet(self, link: ConnectionState) -> None:
        match link.transport:
            case "websocket":
                options, position = self._options, self._position
                first = frames.InitFrame(
                    protocol=frames.PROTOCOL,
                    resume=position.is_held,
                    after=position.cursor,
                    fold=options.fold,
                    class_=options.session_class,
                    device=options.device,
                    features=list(options.features),
                )
                self._emit(Send(link.id, first))
            case "poll":
                link.fold = self._options.fold if self._options.fold is not None or self._position.cursor is not None else True
                self._reader.fetch(link, self._now, wait_s=0 if self._position.is_held else POLL_FIRST_WAIT_S)
            case "sse":
                pass  # the request has said it all
            case _:
                assert_never(link.transport)

    def _give_up(self, link: ConnectionState, reason: str, *, is_silent: bool = False) -> None:
        self._emit(Close(link.id, reason))
        self._connector.drop(link.id)
        self._lost(link, ConnectionClosed(link.id, CLOSE_LOST, reason), is_silent=is_silent)

    def _lost(self, link: ConnectionState, closed: ConnectionClosed, *, is_silent: bool = False) -> None:
        self._publisher.lost(link)
        hint = _RETRY_AFTER.search(closed.reason)
        if hint is not None and closed.retry_after_ms is None:
            closed = ConnectionClosed(closed.link, closed.code, closed.reason, int(hint[1]))
        if closed.code in CLOSE_RETRIED:
            self._connector.retry(link, closed, self._now, is_silent=is_silent)
        elif closed.code != CODES["not_authenticated"].close or not self._connector.refused(self._now):
            self._stop(closed.code, closed.reason, error_of_close(closed.code, closed.reason))

    def _stop(self, code: int, reason: str, error: AnypodError) -> None:
        self._stopped = error
        self._publisher.give_up(error)
        self._connector.stop(code, reason)

    # Credentials, pauses, time.
    def _authenticate(self, given: CredentialGiven | CredentialFailed) -> None:
        match given:
            case CredentialGiven():
                if self._connector.given(given.credential, self._now):
                    self._tell(frames.AuthFrame(token=given.credential))
            case CredentialFailed(reason, is_final=True):
                self._stop(CODES["not_authenticated"].close or CLOSE_DONE, reason, AnypodError("not_authenticated", reason))
            case CredentialFailed():
                self._connector.not_given(given.reason, self._now)
            case _:
                assert_never(given)

    def _pause(self, given: Paused | Resumed) -> None:
        self._is_paused = isinstance(given, Paused)
        if not self._is_paused and self._connector.link is not None:
            self._connector.link.hear(self._now)

    def _prove(self) -> None:
        link = self._connector.link
        self._connector.hurry(self._now)
        if link is None or not link.is_synced:
            return
        if link.transport == "websocket":
            self._reader.catch_up(link)
            link.give_up_at = min(link.give_up_at, self._now + PROBE_S_MAX)
        else:
            self._connector.replace(self._now)

    def _tick(self) -> None:
        self._wake_at = None
        opening, link = self._connector.opening, self._connector.link
        if opening is not None and opening.give_up_at <= self._now:
            self._give_up(opening, "not open in time", is_silent=True)
        if link is not None and not self._is_paused and link.give_up_at <= self._now:
            self._give_up(link, "nothing was heard", is_silent=True)
        elif link is not None and link.beat_at is not None and link.beat_at <= self._now:
            # What is on its way to us is not missing: a replica that was told of our place would send it again.
            is_current = link.is_synced and not self._is_paused
            self._emit(Send(link.id, frames.ClientHeartbeatFrame(cursor=self._position.cursor if is_current else None)))
            link.beat_at = self._now + link.heartbeat_s
        link = self._connector.link
        if link is not None and link.fetch_at is not None and link.fetch_at <= self._now:
            self._reader.fetch(link, self._now, wait_s=POLL_WAIT_S)
        self._connector.tick(self._now)

    def _arm(self) -> None:
        """A wake-up that comes too early finds nothing to do and is set again: cheaper than setting it anew with every frame."""
        due = self._connector.due_at(is_paused=self._is_paused)
        link, retry_at = self._connector.link, self._publisher.retry_at
        if link is not None and link.is_synced and retry_at is not None:
            due.append(retry_at)
        at = min(due, default=None)
        if at is not None and (self._wake_at is None or at < self._wake_at):
            self._wake_at = at
            self._emit(Wake(at))


def _is_refusal(given: Received | PageReceived) -> bool:
    """An error that answers nothing we sent is about the connection itself, and its end follows."""
    return isinstance(given, Received) and isinstance(given.frame, frames.ErrorFrame) and given.frame.ref is None
