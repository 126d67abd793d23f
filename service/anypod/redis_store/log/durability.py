"""Appends are answered once they are as durable as the deployment wants.

Owns the WAIT behind each batch of appends, and the replies that are held until it is answered. Must not know what is appended,
nor what is sent again.

WAIT speaks of what its own connection has written last, so it follows its batch there; an append that finds a duplicate writes
something too. Until it is answered the server reads nothing more of the connection: only one is under way, and what comes
meanwhile makes the next batch. So whatever shares the connection is delayed by one wait and no more.
"""

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

import hiredis

from anypod.redis_store.config import RedisOptions
from anypod.redis_store.log.append_queue import AppendQueue
from anypod.redis_store.wire.connection import LOST, Connection, OnReply, Reply, pack
from anypod.redis_store.wire.errors import UNCONFIRMED, number_or_0

REPLICAS: Final = {"replicated": 1, "fsynced": 0}  # of Redis that must have an append, unless the deployment says how many

logger = logging.getLogger(__name__)


class Wait(NamedTuple):
    """The words of the command but for how long, and whether its reply is enough."""

    words: tuple[str | int, ...]
    is_enough: Callable[[Reply], bool]

    def command(self, wait_ms: int) -> bytes:
        return pack(*self.words, wait_ms)


def wait_of(options: RedisOptions) -> Wait | None:
    """None: to be in the log is enough."""
    if options.durability == "logged":
        return None
    replicas = REPLICAS[options.durability] if options.durability_replicas is None else options.durability_replicas
    if options.durability == "replicated":
        return Wait(("WAIT", replicas), lambda reply: isinstance(reply, int) and reply >= replicas)
    return Wait(("WAITAOF", 1, replicas), lambda reply: isinstance(reply, list) and reply[0] == 1 and number_or_0(reply[1]) >= replicas)


class DurableWrites:
    """Stands between the connection and the append queue, which is given a pipe that waits."""

    def __init__(self, writer: AppendQueue, wait: Wait, wait_ms: int) -> None:
        self._writer = writer
        self._wait = wait
        self._command = wait.command(wait_ms)

    def on_up(self, connection: Connection) -> None:
        self._writer.on_up(DurableLine(connection, self._command, self._wait.is_enough))

    def on_down(self) -> None:
        self._writer.on_down()


class DurableLine:
    """A connection as the writer knows it. Whatever has succeeded and is not durable in time is answered with UNCONFIRMED."""

    def __init__(self, connection: Connection, command: bytes, is_enough: Callable[[Reply], bool]) -> None:
        self._connection = connection
        self._command = command
        self._is_enough = is_enough
        self._asked: list[OnReply] = []  # of the batch under way, which is bounded as the writer is
        self._held: list[Reply] = []
        self._next_asked: list[OnReply] = []  # of the batch behind it
        self._next: list[bytes] = []
        self._is_late = False

    def send(self, data: bytes, on_reply: OnReply, count: int = 1) -> None:
        self._next.append(data)
        self._next_asked.extend([on_reply] * count)
        if not self._asked:
            self._begin()

    def abort(self) -> None:
        self._connection.abort()

    def _begin(self) -> None:
        batch, self._next = [*self._next, self._command], []
        self._asked, self._next_asked = self._next_asked, []
        self._connection.send(b"".join(batch), self._take, len(self._asked) + 1)

    def _take(self, reply: Reply) -> None:
        if reply is LOST:
            return  # the writer has taken everything back
        if len(self._held) < len(self._asked):
            self._held.append(reply)
            return
        self._note(reply)
        asked, held = self._asked, self._held
        self._asked, self._held = [], []
        for on_reply, found in zip(asked, held, strict=True):
            # An error says that nothing was written. A refusal may rest on what is not durable, as a receipt may.
            on_reply(UNCONFIRMED if self._is_late and not isinstance(found, hiredis.ReplyError) else found)
        if self._next:
            self._begin()

    def _note(self, reply: Reply) -> None:
        """Whether it was enough; told when that changes."""
        is_late = not self._is_enough(reply)
        if is_late and not self._is_late:
            logger.warning("redis writes: appends are logged, but not as durable as they must be: they are refused (%s)", reply)
        elif self._is_late and not is_late:
            logger.warning("redis writes: appends are durable in time again")
        self._is_late = is_late
