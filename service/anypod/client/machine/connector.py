"""Keep a session connected: which links there are, when the next one is opened, and with what credential.

Owns the links, the wait between attempts, the credential's freshness and the phase. Must not know frames or events.
There is at most one link in use and one being opened: a replica that leaves, or a lesser transport that works, is left only for a link
that has been opened.
"""

from collections.abc import Callable
from typing import Final, assert_never

from anypod.client.machine.commands import AskCredential, Close, Command, Open, Show
from anypod.client.machine.inputs import ConnectionClosed
from anypod.client.machine.position import Position
from anypod.client.machine.transport_fallback import OPEN_S_MAX, ConnectionState, TransportFallback, full_jitter_s
from anypod.client.types import CLOSE_LOST, IDLE, Phase, PhaseName, Transport

ATTEMPT_S_MIN: Final = 0.1  # a server's hint of nothing is not an invitation to spin


class Connector:
    """`link`: the one in use. `opening`: the one that is to take its place."""

    def __init__(
        self,
        ladder: TransportFallback,
        position: Position,
        chance: Callable[[], float],
        emit: Callable[[Command], None],
        *,
        fold: bool | None,
    ) -> None:
        self.phase = IDLE
        self.link: ConnectionState | None = None
        self.opening: ConnectionState | None = None
        self._ladder = ladder
        self._position = position
        self._fold = fold
        self._chance = chance
        self._emit = emit
        self._links = 0
        self._failures = 0
        self._attempt_at: float | None = None
        self._is_told = False  # the server named the time of the next attempt
        self._credential = ""
        self._has_credential = False
        self._is_asking = False
        self._is_second = False  # the credential was refused, and a fresh one was asked for
        self._ask_at: float | None = None

    def attempt(self, now: float) -> None:
        """Open the next link, after asking for what it needs."""
        self._attempt_at, self._is_told = None, False
        if not self._has_credential:
            self._ask()
        elif self.opening is None:
            self._open(self._ladder.transport, now)
        if self.link is None:
            self._show("connecting")

    def _open(self, transport: Transport, now: float) -> None:
        self._links += 1
        self.opening = ConnectionState(self._links, transport, now + OPEN_S_MAX)
        self._emit(Open(self._links, transport, self._position.cursor, self._fold))

    def opened(self, number: int, now: float) -> ConnectionState | None:
        """The link that is now in use; the one before it is closed by then."""
        link = self.opening
        if link is None or link.id != number:
            return None
        if self.link is not None:
            self._emit(Close(self.link.id, "another link has taken over"))
        self.link, self.opening = link, None
        self._attempt_at = None
        link.open(now)
        self._show("syncing")
        return link

    def heard(self, now: float, *, is_refusal: bool = False) -> None:
        """Something arrived by the link in use.

        A refusal before anything else is no proof that the link works. Were it one, a credential that is refused by a frame would count
        as accepted, and fresh ones would be asked for without end.
        """
        link = self.link
        assert link is not None
        if not link.is_heard:
            if is_refusal:
                return  # nor does it earn the link more time
            link.is_heard = True
            self._is_second = False
            self._ladder.worked(link.transport, now)
        link.hear(now)

    def synced(self) -> None:
        assert self.link is not None
        self.link.is_synced = True
        self._failures = 0
        self._show("live")

    def unsynced(self) -> None:
        """The history was reset under way: what follows is a replay."""
        assert self.link is not None
        self.link.is_synced = False
        self._show("syncing")

    def drop(self, number: int) -> ConnectionState | None:
        """Forget a link that is closed."""
        if self.link is not None and self.link.id == number:
            link, self.link = self.link, None
        elif self.opening is not None and self.opening.id == number:
            link, self.opening = self.opening, None
        else:
            return None
        return link

    def retry(self, link: ConnectionState, closed: ConnectionClosed, now: float, *, is_silent: bool = False) -> None:
        """A link has been dropped: when comes the next one?

        1. The link in use goes on, the one to replace it failed: later again. A probe has its own times.
        2. The next one is being opened already, or its time was named by `goaway`.
        3. The transport does not get through: the next transport at once.
        4. The server said when, or the back-off does.
        """
        is_blocked = not link.is_heard and closed.code == CLOSE_LOST
        has_stepped = is_blocked and self._ladder.failed(
            link.transport, is_certain=is_silent and (link.is_opened or link.transport == "sse")
        )
        wait_s = self._wait_s(closed.retry_after_ms)
        if self.link is not None:
            if link.transport == self._ladder.transport:
                self._attempt_at = now + wait_s
        elif self.opening is not None:
            self._show("connecting", closed.code, closed.reason)
        elif self._attempt_at is not None:
            self._show("waiting", closed.code, closed.reason)
        elif has_stepped:
            self.attempt(now)
        else:
            self._attempt_at, self._is_told = now + wait_s, closed.retry_after_ms is not None
            self._show("waiting", closed.code, closed.reason)

    def _wait_s(self, told_ms: int | None) -> float:
        failures, self._failures = self._failures, self._failures + 1
        if told_ms is not None:
            return max(told_ms / 1000, ATTEMPT_S_MIN)
        return full_jitter_s(failures, self._chance())

    def leave(self, after_ms: int, now: float) -> None:
        """The replica is leaving: take another one then, and read this one as long as it talks."""
        self._attempt_at, self._is_told = now + max(after_ms / 1000, ATTEMPT_S_MIN), True

    def replace(self, now: float) -> None:
        """The link in use cannot be trusted or is out of date: open another beside it."""
        if self.opening is None:
            self._open(self._ladder.transport, now)

    def hurry(self, now: float) -> None:
        """Do not wait out a back-off. What the server asked for is kept."""
        if self.link is None and self._attempt_at is not None and not self._is_told:
            self.attempt(now)

    # The credential.
    def renew(self) -> None:
        """The credential will expire: ask for the next one while this one holds."""
        self._ask()

    def _ask(self) -> None:
        self._ask_at = None
        if not self._is_asking:
            self._is_asking = True
            self._emit(AskCredential())

    def given(self, credential: str, now: float) -> bool:
        """False: it is the one that was given before."""
        is_new, self._credential = credential != self._credential, credential
        self._has_credential, self._is_asking = True, False
        if self.link is None and self.opening is None and self._attempt_at is None:
            self.attempt(now)
        elif is_new and self.link is not None and self.link.transport == "sse":
            self.replace(now)  # a stream cannot be told a new credential
        return is_new

    def not_given(self, reason: str, now: float) -> None:
        """The provider failed, which may pass."""
        self._is_asking = False
        wait_s = self._wait_s(None)
        if self._has_credential:
            self._ask_at = now + wait_s
        else:
            self._attempt_at = now + wait_s
            self._show("waiting", None, reason)

    def refused(self, now: float) -> bool:
        """The server takes the credential no longer. False: it refuses a fresh one, too."""
        if self._is_second:
            return False
        self._is_second, self._has_credential = True, False
        if self.opening is not None:
            self._emit(Close(self.opening.id, "its credential was refused"))
            self.opening = None
        self.attempt(now)
        return True

    # Time.
    def tick(self, now: float) -> None:
        if self._attempt_at is not None and self._attempt_at <= now:
            self.attempt(now)
        if self._ask_at is not None and self._ask_at <= now:
            self._ask()
        probe_at = self._probe_at
        if probe_at is not None and probe_at <= now:
            self._ladder.probed(now)
            self._open("websocket", now)

    @property
    def _probe_at(self) -> float | None:
        is_free = self.link is not None and self.link.is_synced and self.opening is None
        return self._ladder.probe_at if is_free else None

    def due_at(self, *, is_paused: bool) -> list[float]:
        """Whatever has to be looked at, and when."""
        times = [self._attempt_at, self._ask_at, self._probe_at]
        if self.opening is not None:
            times.append(self.opening.give_up_at)
        if self.link is not None:
            times += [self.link.beat_at, self.link.fetch_at]
            if not is_paused:
                times.append(self.link.give_up_at)
        return [time for time in times if time is not None]

    # The phase.
    def stop(self, code: int, reason: str) -> None:
        for link in (self.link, self.opening):
            if link is not None:
                self._emit(Close(link.id, reason))
        self.link = self.opening = self._attempt_at = self._ask_at = None
        self._show("stopped", code, reason)

    def _show(self, name: PhaseName, code: int | None = None, reason: str = "") -> None:
        phase = Phase(name, self._transport(name), code, reason, self._attempt_at if name == "waiting" else None)
        if phase != self.phase:
            self.phase = phase
            self._emit(Show(phase))

    def _transport(self, name: PhaseName) -> Transport | None:
        match name:
            case "connecting" | "waiting":
                return self.opening.transport if self.opening is not None else self._ladder.transport
            case "syncing" | "live":
                return self.link.transport if self.link is not None else None
            case "idle" | "stopped":
                return None
            case _:
                assert_never(name)
