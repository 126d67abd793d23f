"""Histories written by hand, for the tests of the oracle.

Owns a small log and one client's view of it, each step a line of a story. Must not know the product: a scribe's events only
look like its events.
"""

from typing import Any

import msgspec
from tests.simulation.history import (
    Acknowledged,
    Announced,
    Applied,
    Attempted,
    DeltasLost,
    Fenced,
    FinalLog,
    Finished,
    Folded,
    Gone,
    History,
    Logged,
    Opened,
    Received,
    Refused,
    ResetSeen,
    Shut,
    Started,
    Synced,
    TailLost,
    Trimmed,
)
from tests.simulation.truth import Content, parse

S = "s"


def cursor_of(frame: bytes) -> str:
    return parse(frame).cursor


class HistoryBuilder:
    """`log`: the frames that the log has now. One second passes with each call of `wait`."""

    def __init__(self) -> None:
        self.at = 0.0
        self.history = History(lambda: self.at)
        self.records = self.history.records
        self.log: list[bytes] = []
        self._term = 1
        self._epoch = 1
        self._frames_made = 0
        self._connections = 0

    def wait(self, seconds: float) -> None:
        self.at += seconds

    # The truth.
    def frame(self, event_id: str, *, seq: int | None = None, kind: str = "message", **fields: Any) -> bytes:
        self._frames_made += 1
        seq = seq or len(self.log) + 1
        cursor = f"e{self._epoch}-{self._term}abcdef-{seq}-{1_000 + self._frames_made}"
        fields = {"author": "p", "data": event_id, **fields}
        return msgspec.json.encode({"type": "event", "seq": seq, "cursor": cursor, "id": event_id, "kind": kind, **fields})

    def write(self, event_id: str, **fields: Any) -> bytes:
        frame = self.frame(event_id, **fields)
        self.log.append(frame)
        self.history.note(Logged(self.at, S, frame))
        return frame

    def fail_over(self, head: int, *, oldest: int | None = None) -> None:
        """`oldest`: the copy had not been trimmed since."""
        del self.log[head:]
        self._term += 1
        self.history.note(TailLost(self.at, S, head))
        if oldest is not None:
            self.trim(oldest)

    def begin_anew(self) -> None:
        self.log.clear()
        self._epoch, self._term = self._epoch + 1, 1
        self.history.note(Gone(self.at, S, "expired"))

    def fold(self, through: int) -> None:
        self.history.note(Folded(self.at, S, through))

    def lose_deltas(self, through: int) -> None:
        self.history.note(DeltasLost(self.at, S, through))

    def trim(self, oldest: int) -> None:
        self.history.note(Trimmed(self.at, S, oldest))

    def raise_fence(self, turn: str, fence: int) -> None:
        self.history.note(Fenced(self.at, S, turn, fence))

    def end(self, frames: list[bytes] | None = None) -> None:
        self.history.note(FinalLog(self.at, S, tuple(self.log if frames is None else frames)))

    # A client.
    def start(self, after: str | None = None, client: str = "c") -> None:
        self.history.note(Started(self.at, S, client, after))

    def open(self, after: str | None = None, *, folded: int = 0, client: str = "c") -> None:
        self._connections += 1
        self.history.note(Opened(self.at, S, client, self._connections, "r1", after))
        self.history.note(Announced(self.at, S, client, self._connections, folded, self.head))

    def shut(self, client: str = "c") -> None:
        self.history.note(Shut(self.at, S, client, self._connections, 1006))

    def come(self, *frames: bytes, client: str = "c") -> None:
        """They come over the connection and are applied."""
        for frame in frames:
            self.receive(frame, client=client)
            self.apply(frame, client=client)

    def receive(self, frame: bytes, client: str = "c") -> None:
        self.history.note(Received(self.at, S, client, self._connections, frame))

    def apply(self, *frames: bytes, client: str = "c") -> None:
        for frame in frames:
            self.history.note(Applied(self.at, S, client, frame))

    def sync(self, cursor: str | None = None, *, folded: int = 0, client: str = "c") -> None:
        self.history.note(Synced(self.at, S, client, self._connections, cursor or self.head, folded))

    def reset(self, reason: str, common: bytes | None = None, *, head: bytes | None = None, oldest: int = 1, client: str = "c") -> None:
        """`head` and `oldest`: how the log stood when it was read; without a head, as it stands now."""
        at_common, at_head = (cursor_of(frame) if frame else None for frame in (common, head))
        self.history.note(ResetSeen(self.at, S, client, reason, at_common, at_head, oldest))

    def finish(self, *unsettled: str, client: str = "c") -> None:
        self.history.note(Finished(self.at, S, client, self.head, unsettled))

    # A publisher.
    def attempt(self, event_id: str, body: str | None = None) -> None:
        self.history.note(Attempted(self.at, S, "p", event_id, str(Content("message", body or event_id))))

    def acknowledge(self, frame: bytes, *, body: str | None = None) -> None:
        seen = parse(frame)
        shown = str(Content(seen.kind, body or seen.data, seen.turn, seen.part))
        self.history.note(Acknowledged(self.at, S, "p", seen.id, shown, seen.seq, seen.cursor))

    def refuse(self, event_id: str, code: str, body: str | None = None) -> None:
        self.history.note(Refused(self.at, S, "p", event_id, str(Content("message", body or event_id)), code))

    @property
    def head(self) -> str:
        return cursor_of(self.log[-1]) if self.log else f"e{self._epoch}-{self._term}abcdef-0-0"
