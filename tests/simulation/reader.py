"""What one application has applied, and whether it may have come to that.

Owns guarantees 1 and 4 for one client: order, no gap, no duplicate, no silent loss, resets only when due. Must not know how a client works.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from tests.simulation.history import (
    Announced,
    Applied,
    Asked,
    Calmed,
    Disturbed,
    Finished,
    Opened,
    Received,
    ResetSeen,
    Shut,
    Started,
    Synced,
)
from tests.simulation.truth import Entry, Standing, Truth

LATE_S = 3.0  # what a calm, synced client gets later than this was found by a heartbeat, not by the feed
STALE_S = 24.0  # a replica that hears nothing of a log's end finds out with its next round but one of heartbeats
SENTINELS = ("start", "tail")

Tell = Callable[[int, int | None, str], None]  # guarantee, seq, what is wrong


@dataclass(slots=True)
class Connection:
    """`stand`: the newest event that has come over it or that it began from. `opened`: index of the record.

    `place`: the cursor that it began from or that it was last said to be up to date with.
    """

    number: int
    opened: int
    opened_at: float
    place: str | None
    stand: Entry | None
    is_anchored: bool  # False: it begins wherever the replica says, or at the first event
    is_fresh: bool  # without a stand: True begins at the oldest event kept, False at the very first
    asked: Entry | None = None  # the event that the client named last, when it connected or later
    announced: int = 0
    is_synced: bool = False
    begins: Standing | None = None  # the log that the newest reset told of


@dataclass(slots=True)
class Reader:
    """`last`: the newest event the application has; `is_foreign`: it asked for a history that this log never had.

    `begins`: how the log stood that its newest reset told of.
    """

    truth: Truth
    tell: Tell
    last: Entry | None = None
    is_anchored: bool = True
    is_fresh: bool = True
    is_foreign: bool = False
    begins: Standing | None = None
    calm_since: float = 0.0
    disturbances: set[str] = field(default_factory=set)
    connection: Connection | None = None

    def started(self, record: Started) -> None:
        after = record.after
        self.last = self.truth.find(after)
        self.is_foreign = after is not None and after not in SENTINELS and self.last is None and not _is_beginning(after)
        self.is_anchored = after != "tail"
        self.is_fresh = after is None or not _is_beginning(after)
        self.begins = None
        self.connection = None

    def opened(self, record: Opened, index: int) -> None:
        stand = self.truth.find(record.after)
        is_anchored = record.after != "tail" and not self.is_foreign
        is_fresh = record.after is None or not _is_beginning(record.after)
        place = None if record.after in SENTINELS else record.after
        self.connection = Connection(record.connection, index, record.at, place, stand, is_anchored, is_fresh, asked=stand)

    def asked(self, record: Asked) -> None:
        connection, entry = self._on(record.connection), self.truth.find(record.after)
        connection.asked = entry if entry is not None else connection.asked

    def shut(self, record: Shut) -> None:
        if self.connection is not None and self.connection.number == record.connection:
            self.connection = None

    def announced(self, record: Announced) -> None:
        connection = self._on(record.connection)
        connection.announced = max(connection.announced, record.folded)
        if record.base is not None and not connection.is_anchored:
            connection.stand = self.truth.find(record.base)
            connection.is_anchored = True
        if record.base is not None and not self.is_anchored:
            self.last, self.is_anchored = self.truth.find(record.base), True

    def received(self, record: Received) -> None:
        """A replica never leaves a hole on a connection; what it sends twice the client passes over."""
        connection, entry = self._on(record.connection), self._known(record.frame)
        if entry is None:
            return
        self._check_connection(connection, entry, entry.before)
        if connection.stand is None or entry.seq > connection.stand.seq or connection.stand.lost is not None:
            connection.stand = entry
        connection.is_anchored = True

    def synced(self, record: Synced) -> None:
        connection = self._on(record.connection)
        connection.announced = max(connection.announced, record.folded)
        upto = self.truth.find(record.cursor)
        if upto is not None:
            self._check_connection(connection, upto, upto)
            if self.last is not None and self.last.lost is not None and connection.opened_at > self.last.lost_at + STALE_S:
                self.tell(4, self.last.seq, f"a history that was lost at {self.last.lost_at:.3f} s was accepted in silence")
        if self.is_foreign:
            self.tell(4, None, "a cursor that is not of this log was accepted in silence")
        if upto is None and not self.is_foreign:
            connection.is_fresh = self.is_fresh = False  # there was nothing yet, and the client has all of it
        connection.is_synced, connection.place = True, record.cursor
        self.calm_since = max(self.calm_since, record.at)

    def _check_connection(self, connection: Connection, said: Entry, needed: Entry | None) -> None:
        """`said` came, or is said to be the newest; then everything up to `needed` must have come."""
        stand = connection.stand
        if not connection.is_anchored or (stand is not None and said.seq <= stand.seq):
            return
        if stand is not None and not self.truth.is_history(stand, said):
            self.tell(4, said.seq, f"sent upon {stand.seen.cursor}, which it was not written upon")
        elif (
            hole := self.truth.missing(
                stand,
                needed,
                connection.announced,
                is_fresh=connection.is_fresh,
                begins=connection.begins,
                opened_at=connection.opened_at,
            )
        ) is not None:
            self.tell(
                1, hole.seq, f"a connection comes to {said.seq} without {hole.seq} ({hole.seen.kind}); folded is {connection.announced}"
            )

    def applied(self, record: Applied) -> None:
        entry = self._known(record.frame)
        if entry is None:
            return
        last, announced = self.last, self.connection.announced if self.connection else 0
        opened_at = self.connection.opened_at if self.connection else inf
        if not self.is_anchored:
            self.is_anchored = True
        elif last is not None and entry.seq <= last.seq:
            self.tell(1, entry.seq, f"applied after {last.seq}: " + ("twice" if self._has(entry) else "out of order"))
        elif last is not None and not self.truth.is_history(last, entry):
            self.tell(4, entry.seq, f"applied upon {last.seen.cursor}, which it was not written upon")
        elif (
            hole := self.truth.missing(last, entry.before, announced, is_fresh=self.is_fresh, begins=self.begins, opened_at=opened_at)
        ) is not None:
            self.tell(1, hole.seq, f"{entry.seq} applied without {hole.seq} ({hole.seen.kind}); folded is {announced}")
        self._check_promptness(entry, record.at)
        self.last = entry

    def _check_promptness(self, entry: Entry, at: float) -> None:
        due = max(entry.at, self.calm_since) + LATE_S
        if at > due and not self.disturbances and self.connection is not None and self.connection.is_synced:
            self.tell(1, entry.seq, f"applied {at - entry.at:.1f} s after it was logged, though nothing stood in the way")

    def reset(self, record: ResetSeen) -> None:
        """Judged by the history that the client has, or by one that it named on this connection before it was told.

        What counts is how the log stood when the replica read it: while the answer was on its way a failover may have brought
        trimmed events back, or a trimmed log may have ended. The replica says how it stood, and is believed only if the log
        did stand so since the connection was opened; otherwise the log counts as it stands when the reset arrives.
        """
        now = self.truth.standing
        then = self.truth.stood(record.head, record.oldest, self.connection.opened) if self.connection else None
        read = then or now
        named = self.connection.asked if self.connection else None
        is_named = named is not None and read.is_void(named) and not (self.last is not None and read.is_void(self.last))
        judged = named if is_named else self.last
        if not self._is_due(judged, read):
            self.tell(4, judged.seq if judged else None, f"reset ({record.reason}) of a history that the log has")
        self._check_reason(judged, record.reason, read)
        common = self._common(record) if record.common is not None else None
        self._check_shared(judged, common, record.reason, read)
        self.last, self.is_foreign, self.is_anchored = common, False, True
        self.is_fresh, self.begins = True, read
        if self.connection is not None:
            self.connection.stand, self.connection.is_anchored, self.connection.is_fresh = common, True, True
            self.connection.begins = read

    def _is_due(self, judged: Entry | None, read: Standing) -> bool:
        if self.is_foreign or read.head is None:
            return True
        if judged is None:  # it may have stood before the first event: of another life, or before the oldest
            place = self.connection.place if self.connection else None
            is_other = place is not None and place.split("-")[0] != read.head.seen.cursor.split("-")[0]
            return is_other or read.oldest > 1  # trimmed again while it started over: nothing of its is lost by that
        return read.is_void(judged)

    def _check_reason(self, judged: Entry | None, reason: str, read: Standing) -> None:
        if judged is None or read.head is None:
            return
        was_lost = judged.lost is not None and judged.lost <= read.since
        if reason == "rolled_back" and not was_lost:
            self.tell(4, judged.seq, "rolled_back, but nothing of it was lost")
        if reason == "trimmed" and was_lost:
            self.tell(4, judged.seq, "called trimmed, but it was lost")

    def _common(self, record: ResetSeen) -> Entry | None:
        """The event that the client keeps, if its history really has it."""
        last, seq = self.last, int((record.common or "").split("-")[2])
        kept = next((entry for entry in last.chain() if entry.seq <= seq), None) if last else None
        opened = self.connection.opened if self.connection else 0
        if last is None or seq > last.seq:
            self.tell(4, seq, f"the common position is above the client's own ({last.seq if last else None})")
        elif kept is not None and kept.lost is not None and kept.lost < opened:
            self.tell(4, seq, "the common position is one of the lost events")
        elif kept is not None and kept.seq == seq and not _names(record.common, kept):
            self.tell(4, seq, f"the common cursor {record.common} is not the event's own, {kept.seen.cursor}")
        return kept

    def _check_shared(self, judged: Entry | None, common: Entry | None, reason: str, read: Standing) -> None:
        """Within one term the common position is known exactly; where a whole term was lost, a lower one is allowed."""
        shared = self.truth.shared(judged) if judged is not None and reason == "rolled_back" else None
        if judged is None or shared is None or shared.term != judged.term or shared.seq < read.oldest:
            return
        if common is None or common.seq < shared.seq:
            self.tell(4, shared.seq, f"the common position could have been {shared.seq}, and is {common.seq if common else 'none'}")

    def finished(self, record: Finished) -> None:
        if self.last is not None and self.last.lost is not None:
            self.tell(4, self.last.seq, "the application still holds a lost event and was never told")
            return
        announced = max(self.truth.folded, self.connection.announced if self.connection else 0)
        if self.is_anchored and (hole := self.truth.missing(self.last, self.truth.head, announced, is_fresh=self.is_fresh)) is not None:
            self.tell(1, hole.seq, f"never came; the application stands at {self.last.seq if self.last else 'the beginning'}")

    def vanished(self) -> None:
        self.connection = None

    def weather(self, record: Disturbed | Calmed) -> None:
        (self.disturbances.add if isinstance(record, Disturbed) else self.disturbances.discard)(record.what)
        self.calm_since = max(self.calm_since, record.at)

    def _known(self, frame: bytes) -> Entry | None:
        entry = self.truth.by_frame.get(frame)
        if entry is None:
            self.tell(1, None, f"these bytes were never logged: {frame[:120]!r}")
        return entry

    def _has(self, entry: Entry) -> bool:
        return self.last is not None and self.truth.is_history(entry, self.last)

    def _on(self, number: int) -> Connection:
        assert self.connection is not None, "the record names a connection that is not open"
        assert self.connection.number == number, "the record names a connection that is not open"
        return self.connection


def _is_beginning(cursor: str) -> bool:
    parts = cursor.split("-")
    return len(parts) == 4 and parts[2] == "0"


def _names(cursor: str | None, entry: Entry) -> bool:
    """With tag 0 a cursor names the place of a folded event."""
    return cursor is not None and (cursor == entry.seen.cursor or cursor.endswith("-0"))
