"""Guarantee 4, tried from outside: a cursor that cannot be honoured is never taken in silence.

Owns the cursors that are tried, on every transport. Must not know what is published meanwhile.
"""

import asyncio
from typing import Final

from anypod.client.machine.inputs import PageReceived, Received
from anypod.client.types import Transport
from anypod.clock import Clock
from anypod.core import frames
from anypod.prove.history_checker import HistoryChecker
from anypod.prove.http_probe import HttpProbe
from anypod.prove.reader import Around
from anypod.prove.reader_connection import ReaderConnection, ReadPlan
from anypod.prove.record import ProofRecord

UNKNOWN: Final = "nobody-ever-issued-this"
LEG_S: Final = 1.0  # a reset comes with the attach
LEGS_MAX: Final = 20  # without an answer: the deployment is away, and nothing is proven
TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "sse", "poll")
GONE: Final = frozenset({"cursor_gone", "no_such_session"})


async def try_cursors(around: Around, ledger: ProofRecord, foreign: str) -> None:
    """`foreign`: a cursor of another session."""
    async with asyncio.TaskGroup() as tasks:
        for what, cursor in (("a cursor that nobody issued", UNKNOWN), ("a cursor of another session", foreign)):
            for transport in TRANSPORTS:
                ask = ReadPlan(around.plan.url, ledger.session_id, around.plan.credential, transport, cursor)
                tasks.create_task(_try(around.clock, ledger, ask, what))


async def _try(clock: Clock, ledger: ProofRecord, ask: ReadPlan, what: str) -> None:
    for _ in range(LEGS_MAX):
        track = HistoryChecker(ledger.teller(f"{ask.transport} reader that came with {what}"))
        claim = _Claim(track)
        await ReaderConnection(ask, claim.hear).run(LEG_S)
        track.disconnected()
        if claim.is_refused is not None:
            break
        await clock.sleep(LEG_S)
    ledger.evidence.counts["unhonoured"] += claim.is_refused is not None
    if claim.is_refused is False:
        ledger.accuse(4, f"{what} was taken in silence ({ask.transport})", None, ask.after)


class _Claim:
    """`is_refused`: was the reader reset before anything else? None: nothing came. The log follows, judged like that of others."""

    def __init__(self, track: HistoryChecker) -> None:
        self._track = track
        self.is_refused: bool | None = None

    def hear(self, given: Received | PageReceived) -> None:
        match given:
            case Received(frame=frames.ResetFrame()) if self.is_refused is None:
                self.is_refused = True
            case Received(frame=frames.Event() | frames.SyncDoneFrame()) | PageReceived() if self.is_refused is None:
                self.is_refused = False
            case _:
                pass
        if self.is_refused and isinstance(given, Received):
            self._track.take(given.frame)
        elif self.is_refused and isinstance(given, PageReceived):
            self._track.turn(given)


async def try_deleted(asker: HttpProbe, ledger: ProofRecord, cursor: str) -> None:
    """A cursor of a session that was deleted."""
    answer = await asker.insist("GET", f"/v1/sessions/{ledger.session_id}/events", params={"after": cursor})
    ledger.evidence.counts["unhonoured"] += 1
    if answer.code not in GONE:
        ledger.accuse(4, f"a cursor of the deleted session was answered with {answer.status}", None, cursor)
