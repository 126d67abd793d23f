"""What one reader has applied, and whether it may have come to that.

Owns guarantees 1 and 4 as far as one reader can judge them, frame by frame. Must not know connections, nor what others have read.
It is stricter than a client library, which passes over what comes twice and reconnects at a hole: the proof has to name both.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from anypod.client.machine.inputs import PageReceived
from anypod.core import frames
from anypod.core.cursor import START
from anypod.core.frames import Event

BODY_BYTES: Final = 12  # of a digest: that two bodies of one proof have the same one is out of the question

Tell = Callable[[int, str, int | None, str | None], None]  # guarantee, what is wrong, seq, cursor


class Applied(NamedTuple):
    """An event as it was read. `body`: digest of kind and data."""

    seq: int
    cursor: str
    id: str
    author: str
    ts: int
    body: bytes


class ResetSeen(NamedTuple):
    """`last`: what the reader had applied last. `common_seq`: what it kept, 0 when nothing."""

    reason: str
    last: Applied | None
    common_seq: int


def body_digest(kind: str, data: Any) -> bytes:
    kinds_of_data = b"binary" if isinstance(data, bytes) else b"json"
    text = data if isinstance(data, bytes) else msgspec.json.encode(data, order="deterministic")
    return blake2b(b"\n".join((kind.encode(), kinds_of_data, text)), digest_size=BODY_BYTES).digest()


class HistoryChecker:
    """`by_seq`: everything applied. `resets`: what was announced on the way."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._missing: set[int] = set()  # jumped over on this connection, and not folded
        self._folded = 0
        self.by_seq: dict[int, Applied] = {}
        self.last: Applied | None = None
        self.last_seq = 0
        self.cursor = START  # to resume from
        self.resets: list[ResetSeen] = []

    def take(self, frame: frames.ServerFrame) -> Applied | None:
        """What an event became, None for whatever else a connection brings."""
        match frame:
            case Event():
                return self.event(frame)
            case frames.CreatedFrame() | frames.RestoredFrame():
                self.fold(frame.folded)
            case frames.SyncDoneFrame():
                self._synced(frame)
            case frames.ResetFrame():
                self._reset(frame)
            case frames.HeartbeatFrame():
                self.fold(frame.folded or 0)
            case _:
                pass  # nothing of the log
        return None

    def turn(self, page: PageReceived) -> list[Applied | None]:
        """What each event of a page became."""
        self.fold(page.folded)
        return [self.event(event) for event in page.events]

    def event(self, event: Event) -> Applied | None:
        """The event as applied, None when it was already."""
        seq = event.seq
        applied = Applied(seq, event.cursor, event.id, event.author, event.ts, body_digest(event.kind, event.data))
        if seq in self._missing:
            self._missing.discard(seq)
            self._tell(1, f"out of order: came after {self.last_seq}", seq, event.cursor)
        elif seq <= self.last_seq:
            self._again(applied)
            return None
        else:
            self._skip(range(self.last_seq + 1, seq))
            self.last, self.last_seq, self.cursor = applied, seq, event.cursor
        self.by_seq[seq] = applied
        return applied

    def _again(self, applied: Applied) -> None:
        before = self.by_seq.get(applied.seq)
        if before is None or before == applied:
            self._tell(1, "duplicate: came twice", applied.seq, applied.cursor)
        else:
            self._tell(1, f"another event than before stands at this seq: {applied.id}, it was {before.id}", applied.seq, applied.cursor)

    def _skip(self, seqs: range) -> None:
        self._missing.update(seq for seq in seqs if seq > self._folded)

    def fold(self, folded: int) -> None:
        self._folded = max(self._folded, folded)

    def _synced(self, frame: frames.SyncDoneFrame) -> None:
        """The replica says that everything up to there was sent."""
        self.fold(frame.folded)
        if frame.seq is not None and frame.seq > max(self.last_seq, self._folded):
            self._tell(1, f"lost: everything up to {frame.seq} is said to be sent, {self.last_seq} came last", frame.seq, frame.cursor)

    def _reset(self, frame: frames.ResetFrame) -> None:
        """The history after the common position is void."""
        common_seq = frame.common_seq or self._seq_of(frame.common)
        self.resets.append(ResetSeen(frame.reason, self.last, common_seq))
        self._missing.clear()
        self.by_seq = {seq: applied for seq, applied in self.by_seq.items() if seq <= common_seq}
        self.last_seq = common_seq if frame.common is not None else max(0, frame.oldest - 1)
        self.last, self.cursor = self.by_seq.get(self.last_seq), frame.common or START
        self._folded = frame.folded

    def _seq_of(self, common: str | None) -> int:
        """Over HTTP alone the cursor is told: it is opaque, but the event that it came with is not."""
        return next((applied.seq for applied in self.by_seq.values() if applied.cursor == common), 0)

    def disconnected(self) -> None:
        """What a connection has jumped over does not come any more."""
        for seq in sorted(self._missing):
            self._tell(1, "lost: never came, though what follows it did", seq, None)
        self._missing.clear()
