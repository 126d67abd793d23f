"""What is asked of the log beside its tail: pages of its history, and changes of the session's state.

Owns the durable events of each log as they are now, and the judgement of what was read and what was promised. Must not know how
clients ask.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from typing import Final, NamedTuple

from tests.simulation.history import Gone, Logged, TailLost, Trimmed

SEQ_AT: Final = len(b'{"type":"event","seq":')
_KIND: Final = re.compile(rb'"kind":"([\w.]+)"')  # what comes before it has no quotes in it
_DELTAS: Final = frozenset({b"token", b"reasoning"})
PATCH_KIND: Final = b"context_update"


class Leafed(NamedTuple):
    """A page of history. `before`: the seq that was asked with; `losses`: of the log, then; `known`: how many events it had at least.

    `is_last`: nothing is before it.
    """

    at: float
    session: str
    client: str
    before: int | None
    losses: int
    known: int
    frames: tuple[bytes, ...]
    is_last: bool


class Patched(NamedTuple):
    """A change of the state was accepted, and is told to everybody. `mark`: in its event alone."""

    at: float
    session: str
    client: str
    losses: int
    mark: bytes


class Archive:
    """`losses`: how often each log has lost something, or was trimmed: pages from before do not fit what is there after."""

    def __init__(self) -> None:
        self.losses: dict[str, int] = defaultdict(int)
        self._frames: dict[str, list[bytes]] = defaultdict(list)
        self._seqs: dict[str, list[int]] = defaultdict(list)
        self._patches: dict[str, list[bytes]] = defaultdict(list)

    def take(self, record: Logged | TailLost | Gone | Trimmed) -> None:
        match record:
            case Logged():
                self._log(record.session, record.frame)
            case TailLost():
                self._keep(record.session, 0, record.head)
            case Gone():
                self._keep(record.session, 0, 0)
            case Trimmed():
                self._keep(record.session, record.oldest, None)

    def _log(self, session: str, frame: bytes) -> None:
        match = _KIND.search(frame)
        assert match is not None
        if match[1] in _DELTAS:
            return
        self._frames[session].append(frame)
        self._seqs[session].append(seq_of(frame))
        if match[1] == PATCH_KIND:
            self._patches[session].append(frame)

    def _keep(self, session: str, first: int, last: int | None) -> None:
        self.losses[session] += 1
        seqs = self._seqs[session]
        kept = slice(bisect_left(seqs, first), bisect_left(seqs, last + 1) if last is not None else None)
        self._seqs[session], self._frames[session] = seqs[kept], self._frames[session][kept]
        self._patches[session] = [frame for frame in self._patches[session] if last is None or seq_of(frame) <= last]

    def known(self, session: str) -> int:
        """How many durable events the log has, as far as it was read."""
        return len(self._seqs[session])

    def judge(self, record: Leafed | Patched) -> str | None:
        """What is wrong. Nothing is said of what was asked before the log lost something."""
        if record.losses != self.losses[record.session]:
            return None
        return self._judge_page(record) if isinstance(record, Leafed) else self._judge_patch(record)

    def _judge_page(self, page: Leafed) -> str | None:
        seqs, frames = self._seqs[page.session], self._frames[page.session]
        end = bisect_left(seqs, page.before) if page.before is not None else None
        if not page.frames:
            is_empty = end == 0 or not page.known
            return None if is_empty else f"a page of history before {page.before} was empty"
        first = bisect_left(seqs, seq_of(page.frames[0]))
        last = first + len(page.frames)
        if frames[first:last] != list(page.frames):
            return f"a page of history from {seq_of(page.frames[0])} is not what the log has there"
        if end is not None and last != end:
            return f"a page of history ends at {seq_of(page.frames[-1])}, not before {page.before}"
        if page.is_last and first:
            return f"history was said to begin at {seq_of(page.frames[0])}, and begins at {seqs[0]}"
        return None

    def _judge_patch(self, patch: Patched) -> str | None:
        if any(patch.mark in frame for frame in reversed(self._patches[patch.session])):
            return None
        return f"a change of the state was accepted and is not in the log: {patch.mark!r}"


def seq_of(frame: bytes) -> int:
    return int(frame[SEQ_AT : frame.index(b",", SEQ_AT)])
