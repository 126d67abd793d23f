"""One reader of one session: connects, is cut, resumes from its cursor, wherever that leads.

Owns its legs and when they end. Must not know what other readers saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, assert_never

from anypod.client.machine.connector import ATTEMPT_S_MIN
from anypod.client.machine.inputs import ConnectionClosed, PageReceived, Received
from anypod.client.machine.transport_fallback import full_jitter_s
from anypod.client.types import Transport, error_of_close
from anypod.clock import Clock
from anypod.core import frames
from anypod.core.errors import CLOSE_RETRIED, AnypodError
from anypod.prove.history_checker import Applied
from anypod.prove.plan import ProofPlan
from anypod.prove.reader_connection import ReaderConnection, ReadPlan
from anypod.prove.record import ProofRecord

LEG_S_MIN: Final = 0.3  # an attach and some events
LEG_S_MAX: Final = 5.0  # the least silence after which a replica gives a client up: within it no heartbeat is owed
LEGS: Final = 6  # that a reader has in a short proof, about
DOUBLINGS_MAX: Final = 1  # of the back-off: a proof ends, and until then it is to see the first moment that works
AWAY_S_MAX: Final = 0.4  # after a cut of ours: something is to be missed


@dataclass(frozen=True, slots=True)
class Around:
    """What all readers of a proof share."""

    plan: ProofPlan
    clock: Clock
    rng: Random


class SessionReader:
    """`transports`: each leg takes one of them. `leg`: the one that is up, None between two. `synced_at_s`: when it was up to date last."""

    def __init__(self, around: Around, ledger: ProofRecord, transports: Sequence[Transport], *, starts_after_s: float = 0.0) -> None:
        self.name = "mixed reader" if len(transports) > 1 else f"{transports[0]} reader"
        self.leg: ReaderConnection | None = None
        self.synced_at_s: float | None = None
        self.track = ledger.track(self.name)
        self._around = around
        self._ledger = ledger
        self._evidence = ledger.evidence
        self._transports = transports
        self._starts_after_s = starts_after_s
        self._is_current = False
        self._lost_at: float | None = None  # when it was current last
        self._failures = 0
        self._transport: Transport = transports[0]

    async def run(self) -> None:
        """Until it is cancelled. Raises AnypodError when the deployment says that coming again is of no use."""
        clock, rng = self._around.clock, self._around.rng
        await clock.sleep(self._starts_after_s)
        self._evidence.counts["late"] += self._starts_after_s > 0
        while True:
            lost_at = self._lost_at
            closed = await self._run_leg()
            if closed is None:
                self._evidence.counts["cut"] += 1
                await clock.sleep(rng.uniform(0, AWAY_S_MAX))
                if self._lost_at != lost_at:  # this cut has lost it, and we stayed away on purpose: recovery begins now
                    self._lost_at = clock.now()
            else:
                await clock.sleep(self._wait_s(closed))

    def withdraw(self) -> None:
        """What it has applied is not to be compared: it was kept from the rest."""
        del self._ledger.tracks[self.name]

    async def _run_leg(self) -> ConnectionClosed | None:
        plan, rng = self._around.plan, self._around.rng
        self._transport = rng.choice(self._transports)
        ask = ReadPlan(plan.url, self._ledger.session_id, plan.credential, self._transport, self.track.cursor)
        longest_s = min(LEG_S_MAX, max(2 * LEG_S_MIN, 2 * plan.seconds / LEGS))
        self.leg = leg = ReaderConnection(ask, self._hear)
        try:
            return await leg.run(rng.uniform(LEG_S_MIN, longest_s))
        finally:
            self.leg = None
            self.track.disconnected()
            if self._is_current:
                self._is_current, self._lost_at = False, self._around.clock.now()

    def _wait_s(self, closed: ConnectionClosed) -> float:
        """Raises AnypodError for a close after which no client comes again."""
        if closed.code not in CLOSE_RETRIED:
            error = error_of_close(closed.code, closed.reason)
            raise AnypodError(error.code, f"a {self._transport} connection was refused with {closed.code}: {error.message}")
        self._evidence.counts["broken"] += 1
        self._failures += 1
        if closed.retry_after_ms is not None:
            return max(closed.retry_after_ms / 1000, ATTEMPT_S_MIN)
        return full_jitter_s(min(self._failures - 1, DOUBLINGS_MAX), self._around.rng.random())

    def _hear(self, given: Received | PageReceived) -> None:
        match given:
            case Received(frame=frame):
                self._note(frame, self.track.take(frame))
            case PageReceived():
                for event, applied in zip(given.events, self.track.turn(given), strict=True):
                    self._note(event, applied)
                if not given.more:
                    self._synced()
            case _:
                assert_never(given)

    def _note(self, frame: frames.ServerFrame, applied: Applied | None) -> None:
        counts = self._evidence.counts
        match frame:
            case frames.Event():
                counts["delivered"] += 1
                draft = self._ledger.drafts.get(frame.id)
                if applied is not None and draft is not None and self._is_current:
                    self._evidence.deliveries_s.append(self._around.clock.now() - draft.at)
            case frames.CreatedFrame() | frames.RestoredFrame():
                self._evidence.met[frame.replica] += 1
            case frames.SyncDoneFrame():
                self._synced()
            case frames.ResetFrame():
                counts["reset"] += 1
            case _:
                pass  # the track knows, or it is nothing of the log

    def _synced(self) -> None:
        self._failures = 0
        self._evidence.synced[self._transport] += 1
        self.synced_at_s = self._around.clock.now()
        if not self._is_current and self._lost_at is not None:
            self._evidence.recoveries_s.append(self.synced_at_s - self._lost_at)
        self._is_current = True
