"""Frames that leave together, encoded once for each transport.

Owns the frames of one delivery and their encodings. Must not know what an encoding looks like: the port brings it.
"""

from collections.abc import Callable, Sequence

from anypod.core.frames import Heartbeat, encode

Encoding = Callable[[Sequence[bytes]], bytes]


class Batch:
    """Many subscribers get the same batch; the first of each transport pays for its encoding."""

    __slots__ = ("_encoded", "frames")

    def __init__(self, frames: Sequence[bytes]) -> None:
        self.frames = frames
        self._encoded: dict[Encoding, bytes] = {}

    def encoded(self, encode: Encoding) -> bytes:
        made = self._encoded.get(encode)
        if made is None:
            made = self._encoded[encode] = encode(self.frames)
        return made


def announced(events: Sequence[bytes], span: int, *, cursor: str, folded: int, wall_ms: int) -> Sequence[bytes]:
    """Events to be sent during an attachment; `span`: how many seqs they cover, `cursor`: the session's.

    Where some of these were folded away the client is told first: a hole that nobody announced would be a loss to it.
    """
    if len(events) == span:
        return events
    return [encode(Heartbeat(cursor=cursor, ts=wall_ms, folded=folded)), *events]
