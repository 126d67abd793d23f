"""`python -P own_append.py PORT PID SESSIONS EVENTS AT_ONCE…`: the append load of whichever checkout PYTHONPATH names.

Owns the hand-over to that checkout's load, and its answer as JSON. Must not know the calls: they are the product's own, so a revision is
measured with the load that belongs to it.
"""

import asyncio
import json
import sys
from contextlib import closing

from loadtests.bench.loads.append import Appender, create_sessions
from loadtests.bench.store import Redis


class Running(Redis):
    """A Redis that the benchmark has started, in another process."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._pid = pid

    @property
    def pid(self) -> int:
        return self._pid


def main(port: int, pid: int, sessions: int, events: int, *at_once: int) -> None:
    store = Running(port, pid)
    with closing(Appender(store)) as appender:
        costs = [appender.appended(asyncio.run(create_sessions(store, sessions)), events=events, at_once=size) for size in at_once]
    print(json.dumps([tuple(cost) for cost in costs]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
