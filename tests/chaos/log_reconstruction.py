"""The record of every write to every session, put together from what the servers have on their disks.

Owns whose disk counts for which session, and what a write means for the history. Must not know clients, nor the product: of its
keys only that they end in `/tenant/session/letter`, and that a stream's entry has one field, the event's frame.

A session is at home on one server, whose word on it counts. What other servers write of it waits: a follower of the home server
writes what is known already, a server that is promoted what is new, and one that a slot moves to what comes after the move.
"""

import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from tests.chaos.aof_reader import AofReader
from tests.simulation.history import DeltasLost, FinalLog, Folded, Gone, Logged, Trimmed
from tests.support.redis_servers import RedisServer, Reply, ServerError

SHARED_STEPS: Final = (100, 10_000)  # events written since a promotion, before somebody looked: moments, on a busy machine seconds
FOREIGN_S: Final = 60.0  # a time so far from ours is of a clock that was stepped
META, LOG, DELTAS = b"m", b"l", b"d"
_TS: Final = re.compile(rb'"ts":(\d+)')  # a quote within a string is escaped: the first match is the event's own field

Truth = Logged | Folded | DeltasLost | Trimmed | Gone
Command = list[bytes]


class LogReconstruction:
    """`now`: seconds of the history. `heads`: seq of each session's newest event, as far as the files were read. `leaders`: the servers
    that new sessions may be at home on.
    """

    def __init__(self, servers: Sequence[RedisServer], leaders: Sequence[RedisServer], now: Callable[[], float]) -> None:
        self._now = now
        self._wall_offset_s = time.time() - now()
        self.leaders = leaders
        self.keys: dict[str, bytes] = {}  # how those of a session begin
        self.heads: dict[str, int] = {}
        self.homes: dict[str, RedisServer] = {}
        self._tapes = [AofReader(server) for server in servers]
        self._known: set[tuple[str, bytes]] = set()  # session and id of every entry that was told
        self._waiting: dict[RedisServer, dict[str, deque[Command]]] = {server: defaultdict(deque) for server in servers}

    def close(self) -> None:
        for tape in self._tapes:
            tape.close()

    # What happens to files.
    def rewind(self, server: RedisServer) -> None:
        """Its file is another one."""
        self._tape(server).rewind()

    def skip_to_end(self, server: RedisServer) -> None:
        """Its file was cut, and it has mended the end: what stands there is known."""
        self._tape(server).skip_to_end()

    def turn_to(self, server: RedisServer, sessions: Iterable[str]) -> None:
        """From now on these are at home there. What it has written of them before, and nobody has told, is told next."""
        self._hear(self._tape(server))
        for session in sessions:
            self._prune(server, session)
            self.homes[session] = server

    def _tape(self, server: RedisServer) -> AofReader:
        return next(tape for tape in self._tapes if tape.server is server)

    # What was written.
    def read(self) -> Iterator[Truth]:
        """Everything since the last time."""
        for tape in self._tapes:
            for command in tape.commands():
                yield from self._heard(tape.server, command)
        for server, waiting in self._waiting.items():
            for session in list(waiting):
                if self._is_at_home(session, server):
                    yield from self._released(server, session)
                else:
                    self._prune(server, session)

    def _heard(self, server: RedisServer, command: Command) -> Iterator[Truth]:
        if command[0] == b"FLUSHALL":
            for session in [session for session in self.heads if self.homes[session] is server]:
                yield self._gone(session)
        for session, part in _parts(command):
            if self._is_at_home(session, server):
                yield from self._released(server, session)
                yield from self._told(server, session, part)
            else:
                self._waiting[server][session].append(part)

    def _is_at_home(self, session: str, server: RedisServer) -> bool:
        """A new session is where it is first heard of."""
        if session not in self.homes and server in self.leaders:
            self.homes[session] = server
        return self.homes.get(session) is server

    def _hear(self, tape: AofReader) -> None:
        """What another server has written until now waits, so that it can be looked at."""
        for command in tape.commands():
            for session, part in _parts(command):
                self._waiting[tape.server][session].append(part)

    def _told(self, server: RedisServer, session: str, command: Command) -> Iterator[Truth]:
        match command:
            case [b"XADD", key, entry, frame]:
                self._known.add((session, entry))
                self.heads[session] = int(entry.split(b"-")[0])
                self.keys.setdefault(session, key[:-1])
                yield Logged(self._at(frame), session, frame)
            case [b"XTRIM", key, b"MINID", *_, bound]:
                yield self._cut(session, key, int(bound))
            case [b"DEL", *keys]:
                yield from self._deleted(server, session, keys)
            case _:
                pass

    def _cut(self, session: str, key: bytes, bound: int) -> Truth:
        if key.endswith(LOG):
            return Trimmed(self._now(), session, bound)
        return Folded(self._now(), session, bound - 1)

    def _deleted(self, server: RedisServer, session: str, keys: Sequence[bytes]) -> Iterator[Truth]:
        """Without its metadata a session is none, whatever else is left of it. A key that was restored elsewhere has moved."""
        key = next((key for letter in (META, LOG, DELTAS) for key in keys if key.endswith(letter)), None)
        if key is None or session not in self.heads:
            return
        if (target := self._target(server, session, key)) is not None:
            yield from self._moved(session, target)
        elif key.endswith(META):
            yield self._gone(session)
        elif key.endswith(DELTAS):
            yield DeltasLost(self._now(), session, self.heads[session])
        else:
            yield Trimmed(self._now(), session, self.heads[session] + 1)

    def _target(self, source: RedisServer, session: str, key: bytes) -> RedisServer | None:
        """Who has got the key: a server restores it before its last one deletes it. One that has passed it on already had it first."""
        targets = list[RedisServer]()
        for tape in self._tapes:
            if tape.server is not source and tape.server in self.leaders:
                self._hear(tape)
                waiting = self._waiting[tape.server].get(session, ())
                if any(_is_restore(command) and command[1] == key for command in waiting):
                    targets.append(tape.server)
        passed_on = (
            server for server in targets if any(command[0] == b"DEL" and key in command for command in self._waiting[server][session])
        )
        return next(passed_on, next(iter(targets), None))

    def _moved(self, session: str, target: RedisServer) -> Iterator[Truth]:
        self.homes[session] = target
        waiting = self._waiting[target][session]
        while not _is_restore(waiting[0]):
            waiting.popleft()
        yield from self._released(target, session)

    def _released(self, server: RedisServer, session: str) -> Iterator[Truth]:
        """What waits is told as long as the session is at home there: it may move on."""
        waiting = self._waiting[server].get(session)
        while waiting and self.homes[session] is server:
            yield from self._told(server, session, waiting.popleft())
        if not waiting:
            self._waiting[server].pop(session, None)

    def _prune(self, server: RedisServer, session: str) -> None:
        """What a follower has written up to an event that is known is no news, nor is what began no move and stands before an event."""
        waiting = self._waiting[server][session]
        known = sum(command[0] == b"XADD" and (session, command[2]) in self._known for command in waiting)
        while waiting and (known or not (waiting[0][0] == b"XADD" or _is_restore(waiting[0]))):
            command = waiting.popleft()
            known -= command[0] == b"XADD" and (session, command[2]) in self._known
        if not waiting:
            del self._waiting[server][session]

    def _gone(self, session: str) -> Gone:
        del self.heads[session]
        return Gone(self._now(), session, "deleted")

    def _at(self, frame: bytes) -> float:
        match = _TS.search(frame)
        assert match is not None
        now, at = self._now(), int(match[1]) / 1_000 - self._wall_offset_s
        return at if abs(now - at) < FOREIGN_S else now

    # What servers say themselves. A session of which somebody took the events away still has its head, and knows where it was.
    def shared_head(self, session: str) -> int:
        """The seq of the newest event that the home server has, or had, and that was told before."""
        named = self._named_head(session)
        if (session, named) in self._known:
            return _seq(named)
        for count in SHARED_STEPS:
            entries = (entry for letter in (LOG, DELTAS) for entry in self._entries(session, letter, count))
            if shared := max((_seq(entry) for entry in entries if (session, entry) in self._known), default=0):
                return shared
        return 0

    def head(self, session: str) -> int:
        """The seq of the newest event that the home server has, or had."""
        kept = (_seq(entry) for letter in (LOG, DELTAS) for entry in self._entries(session, letter, 1))
        return max(_seq(self._named_head(session)), *kept)

    def _named_head(self, session: str) -> bytes:
        """The entry that the metadata name, if there are any: they are written together with it."""
        found = self._asked(session, "HGET", META, "s")
        return found if isinstance(found, bytes) else b"0-0"

    def _entries(self, session: str, letter: bytes, count: int) -> Iterator[bytes]:
        found = self._asked(session, "XREVRANGE", letter, "+", "-", "COUNT", count)
        for entry in found if isinstance(found, list) else ():
            yield entry[0]  # type: ignore[index,misc]

    def _asked(self, session: str, command: str, letter: bytes, *words: str | int) -> Reply:
        """None: the key is of another type, and tells nothing."""
        try:
            return self.homes[session].command(command, self.keys[session] + letter, *words)
        except ServerError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return None

    def final(self, at: float, session: str) -> FinalLog:
        """All that the home server has."""
        frames: list[bytes] = []
        for letter in (LOG, DELTAS):
            entries = self.homes[session].command("XRANGE", self.keys[session] + letter, "-", "+")
            assert isinstance(entries, list)
            frames += [entry[1][1] for entry in entries]  # type: ignore[index,misc]
        return FinalLog(at, session, tuple(frames))


def _parts(command: Command) -> Iterator[tuple[str, Command]]:
    """The command for each session that it is about."""
    match command:
        case [b"XADD", key, *_, entry, b"f", frame] if _is_of_session(key):
            yield _session(key), [b"XADD", key, entry, frame]
        case [b"XTRIM", key, *_] if _is_of_session(key):
            yield _session(key), command
        case [b"DEL" | b"UNLINK", *keys]:
            for session, its_keys in groupby(sorted(filter(_is_of_session, keys)), _session):
                yield session, [b"DEL", *its_keys]
        case [_, key, *_] if _is_restore(command) and _is_of_session(key):
            yield _session(key), command
        case _:
            pass


def _is_restore(command: Command) -> bool:
    return command[0].startswith(b"RESTORE")


def _is_of_session(key: bytes) -> bool:
    return key.count(b"/") > 1


def _session(key: bytes) -> str:
    return key.split(b"/")[-2].decode()


def _seq(entry: bytes) -> int:
    return int(entry.split(b"-")[0])
