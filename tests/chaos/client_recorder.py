"""What one client of a crowd sees and does, written down.

Owns the records of one client, and how it fares: is it up to date, how long was it cut off. Must not know transports.
"""

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.chaos.history import History
from tests.chaos.speech import Draft
from tests.simulation.history import (
    Acknowledged,
    Announced,
    Applied,
    Asked,
    Attempted,
    Finished,
    Opened,
    Received,
    Refused,
    ResetSeen,
    Shut,
    Started,
    Synced,
)
from tests.simulation.truth import Content

START: Final = "start"
_EVENT: Final = re.compile(rb'\{"type":"event",(?:"ref":"[^"]*",)?"seq":(\d+),"cursor":"([^"]+)"')


class Recovery(NamedTuple):
    """`cut_at`: when the last event came before the client noticed that it was cut off. `live_at`: when it was up to date again."""

    cut_at: float
    live_at: float


class Place(NamedTuple):
    """Where an event stands, read off its bytes with a parser of our own."""

    seq: int
    cursor: str


def place_of(frame: bytes) -> Place | None:
    """None: it is no event."""
    match = _EVENT.match(frame)
    return Place(int(match[1]), match[2].decode()) if match else None


@dataclass
class ClientRecorder:
    """`cursor`, `seq`: of the newest event applied. `folded`: up to it deltas may be missing, as it was told.

    `acknowledged_at`: when a publish succeeded last. `unsettled`: contents by id. `answers`: how publishes ended, by code.
    `taken_back`: events that it had and was told to drop, all resets together.
    """

    name: str
    session: str
    transport: str
    ledger: History
    cursor: str = START
    seq: int = 0
    folded: int = 0
    is_live: bool = False
    acknowledged_at: float = 0.0
    delivered: int = 0
    taken_back: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    unsettled: dict[str, str] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    _cut_at: float | None = None
    _heard_at: float = 0.0

    def __post_init__(self) -> None:
        self.ledger.note(Started(self.now(), self.session, self.name, self.cursor))

    def now(self) -> float:
        return self.ledger.now()

    # Connections.
    def opened(self) -> int:
        """The number of a new connection."""
        number = self.ledger.next_connection()
        self.ledger.note(Opened(self.now(), self.session, self.name, number, "", self.cursor))
        return number

    def shut(self, connection: int) -> None:
        self.ledger.note(Shut(self.now(), self.session, self.name, connection, 0))

    def asked(self, connection: int) -> None:
        """Whatever comes after our cursor."""
        self.ledger.note(Asked(self.now(), self.session, self.name, connection, self.cursor))

    def announced(self, connection: int, folded: int, head: str, base: str | None) -> None:
        self.folded = max(self.folded, folded)
        self.ledger.note(Announced(self.now(), self.session, self.name, connection, folded, head, base))

    def synced(self, connection: int, cursor: str, folded: int) -> None:
        self.folded = max(self.folded, folded)
        self.ledger.note(Synced(self.now(), self.session, self.name, connection, cursor, folded))
        self.live()

    def live(self) -> None:
        if self._cut_at is not None:
            self.recoveries.append(Recovery(self._cut_at, self.now()))
        self._cut_at = None
        self._heard_at = self.now()
        self.is_live = True

    def cut(self) -> None:
        """Nothing is heard any more, or it is not up to date."""
        if self.is_live:
            self._cut_at = self._heard_at
        self.is_live = False

    # Events.
    def received(self, connection: int, frame: bytes, place: Place) -> bool:
        """An event came over a connection and is applied, unless it is known. False: something is missing before it."""
        now = self.now()
        self.ledger.note(Received(now, self.session, self.name, connection, frame))
        if place.seq <= self.seq:
            return True
        if place.seq - 1 > max(self.seq, self.folded):
            return False
        self.applied(frame, place)
        return True

    def delivered_by_library(self, frame: bytes, place: Place) -> None:
        """Of the library's connections nothing is seen. That a hole was announced is for it to check; that nothing is in it but deltas
        of parts that have ended is checked here.
        """
        if place.seq == self.seq + 1:
            self.applied(frame, place)
            return
        connection = self.opened()
        self.announced(connection, place.seq - 1, place.cursor, None)
        self.applied(frame, place)
        self.shut(connection)

    def applied(self, frame: bytes, place: Place) -> None:
        self._heard_at = self.now()
        self.ledger.note(Applied(self._heard_at, self.session, self.name, frame))
        self.seq, self.cursor = place
        self.delivered += 1

    def reset(self, reason: str, common: str | None, before: int) -> None:
        """`before`: what follows begins after this seq."""
        self.ledger.note(ResetSeen(self.now(), self.session, self.name, reason, common))
        self.folded = 0
        self.taken_back += max(0, self.seq - before) if common is not None else self.seq
        self.cursor, self.seq = common or START, before

    # Publishes.
    def attempted(self, event_id: str, draft: Draft) -> None:
        text = str(Content(draft.kind, draft.data, None, draft.part, draft.replaces))
        self.unsettled[event_id] = text
        self.ledger.note(Attempted(self.now(), self.session, self.name, event_id, text))

    def acknowledged(self, event_id: str, seq: int, cursor: str) -> None:
        text = self.unsettled.pop(event_id, None)
        if text is not None:  # else it was answered before: a repeated publish has two answers
            self.ledger.note(Acknowledged(self.now(), self.session, self.name, event_id, text, seq, cursor))
            self.acknowledged_at = self.now()
            self.count("accepted")

    def refused(self, event_id: str, code: str, *, is_final: bool) -> None:
        self.count(code)
        if is_final and (text := self.unsettled.pop(event_id, None)) is not None:
            self.ledger.note(Refused(self.now(), self.session, self.name, event_id, text, code))

    def count(self, answer: str) -> None:
        self.answers[answer] = self.answers.get(answer, 0) + 1

    def finished(self) -> None:
        self.ledger.note(Finished(self.now(), self.session, self.name, self.cursor, tuple(self.unsettled)))
