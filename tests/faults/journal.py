"""What Redis has on its disk: the record of every write, in order, before anybody else heard of it.

Owns the reading of append-only files and of streams, and what a write means for the history. Must not know clients, nor the
product: of its keys only that they end in `/tenant/session/letter`, and that a stream's entry has one field, the event's frame.

With `appendfsync always` a server writes to its file before it answers or publishes: whatever a client has seen stands there.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import hiredis
from tests.servers import RedisServer
from tests.simulation.history import FinalLog, Folded, Gone, Logged, Trimmed

FILES: Final = "appendonlydir/*.incr.aof"
SHARED_MAX: Final = 10_000  # events written since a promotion, before somebody looked: moments
META, LOG, DELTAS = b"m", b"l", b"d"
_TS: Final = re.compile(rb'"ts":(\d+)')  # a quote within a string is escaped: the first match is the event's own field

Truth = Logged | Folded | Trimmed | Gone


class Journal:
    """`now`: seconds of the history. `heads`: seq of each session's newest event, as far as the file was read."""

    def __init__(self, server: RedisServer, now: Callable[[], float]) -> None:
        self._server = server
        self._now = now
        self._wall_offset_s = time.time() - now()
        self.keys: dict[str, bytes] = {}  # how those of a session begin
        self.heads: dict[str, int] = {}
        self._known: set[tuple[str, bytes]] = set()  # session and id of every entry that was told
        self._file: BinaryIO | None = None
        self.rewind()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def rewind(self) -> None:
        """The file is another one."""
        self.close()
        self._path: Path | None = None
        self._file = None
        self._backlog: list[list[bytes]] = []
        self._reader = hiredis.Reader()

    def skip_to_end(self) -> None:
        """The file was cut, and the server has mended its end: what stands there is known."""
        self._open(max(self._server.folder.glob(FILES), key=_number))
        assert self._file is not None
        self._file.seek(0, os.SEEK_END)

    def turn_to(self, server: RedisServer) -> None:
        """Another server is written to from now on. What its file has of events that were told it got from the one before."""
        self._server = server
        self.rewind()
        self._backlog = list(self._commands())
        known = [index for index, command in enumerate(self._backlog) if self._is_known(command)]
        del self._backlog[: known[-1] + 1 if known else 0]

    def _is_known(self, command: list[bytes]) -> bool:
        return command[0] == b"XADD" and (_session(command[1]), command[2]) in self._known

    def shared_head(self, session: str) -> int:
        """The seq of the newest event that the server has and that was told before, asked of itself."""
        entries = self._server.command("XREVRANGE", self.keys[session] + LOG, "+", "-", "COUNT", SHARED_MAX)
        assert isinstance(entries, list)
        ids = (entry[0] for entry in entries)  # type: ignore[index]
        return next((_seq_of([[one]]) for one in ids if (session, one) in self._known), 0)

    def read(self) -> Iterator[Truth]:
        """Everything since the last time."""
        backlog, self._backlog = self._backlog, []
        for command in (*backlog, *self._commands()):
            yield from self._told(command)

    def _commands(self) -> Iterator[list[bytes]]:
        """A file that was replaced is read to its end first: it stays readable while it is open."""
        while True:
            if self._file is not None:
                self._reader.feed(self._file.read())
                while (command := self._reader.gets()) is not False:
                    yield command
            newest = max(self._server.folder.glob(FILES), key=_number, default=None)
            if newest is None or newest == self._path:
                return
            self._open(newest)

    def _open(self, path: Path) -> None:
        self.close()
        self._path, self._file, self._reader = path, path.open("rb"), hiredis.Reader()

    def _told(self, command: list[bytes]) -> Iterator[Truth]:
        match command:
            case [b"XADD", key, entry, b"f", frame]:
                session = _session(key)
                self._known.add((session, entry))
                self.heads[session] = int(entry.split(b"-")[0])
                self.keys.setdefault(session, key[:-1])
                yield Logged(self._at(frame), session, frame)
            case [b"XTRIM", key, b"MINID", *_, bound]:
                yield self._cut(key, int(bound))
            case [b"DEL" | b"UNLINK", *keys]:
                for key in keys:
                    yield from self._deleted(key)
            case [b"FLUSHALL", *_]:
                for session in list(self.heads):
                    yield self._gone(session)
            case _:
                pass

    def _cut(self, key: bytes, bound: int) -> Truth:
        now, session = self._now(), _session(key)
        return Trimmed(now, session, bound) if key.endswith(LOG) else Folded(now, session, bound - 1)

    def _deleted(self, key: bytes) -> Iterator[Truth]:
        """Without its metadata a session is none, whatever else is left of it."""
        session = _session(key) if key.count(b"/") > 1 else ""
        if session in self.heads and key.endswith(META):
            yield self._gone(session)
        elif session in self.heads and key.endswith(LOG):
            yield Trimmed(self._now(), session, self.heads[session] + 1)

    def _gone(self, session: str) -> Gone:
        del self.heads[session]
        return Gone(self._now(), session, "deleted")

    def _at(self, frame: bytes) -> float:
        match = _TS.search(frame)
        assert match is not None
        return int(match[1]) / 1_000 - self._wall_offset_s

    def head(self, session: str) -> int:
        """The seq of the newest event that the server has, asked of itself."""
        ids = [self._server.command("XREVRANGE", self.keys[session] + letter, "+", "-", "COUNT", 1) for letter in (LOG, DELTAS)]
        return max((_seq_of(entries) for entries in ids), default=0)

    def final(self, at: float, session: str) -> FinalLog:
        """All that the server has."""
        frames: list[bytes] = []
        for letter in (LOG, DELTAS):
            entries = self._server.command("XRANGE", self.keys[session] + letter, "-", "+")
            assert isinstance(entries, list)
            frames += [entry[1][1] for entry in entries]  # type: ignore[index,misc]
        return FinalLog(at, session, tuple(frames))


def _number(path: Path) -> int:
    """`appendonly.aof.7.incr.aof` is the seventh."""
    return int(path.name.split(".")[-3])


def _session(key: bytes) -> str:
    return key.split(b"/")[-2].decode()


def _seq_of(entries: object) -> int:
    if not isinstance(entries, list) or not entries:
        return 0
    return int(entries[0][0].split(b"-")[0])
