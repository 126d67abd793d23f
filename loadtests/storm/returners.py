"""The process of one crowd: `python -m loadtests.storm.returners cut|back PORT CLIENTS PLACES`.

Owns its clients. Must not know the server's limits: whoever is told to come again later does so then, as clients do. It works
only while the publishers and the store do not want their core: the clients of a storm do not share a machine with those.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import uvloop
from loadtests.bench.__main__ import raise_file_limit
from loadtests.bench.connection import Connection, close_all, open_all
from loadtests.bench.dialect import AnypodDialect, credential
from loadtests.bench.loads.resume import Place

from anypod.devcluster.ports import LOOPBACK

BACK_S_MAX: Final = 120.0
_HINT: Final = re.compile(rb"retry_after_ms=(\d+)")


class Returner(Connection):
    """Notes when it is told to come again later."""

    __slots__ = ("hint_ms",)

    def __init__(self, place: Place, subject: str) -> None:
        super().__init__(AnypodDialect(), place.session, credential(subject, is_guest=True), place.place)
        self.hint_ms = 0
        self.ready.add_done_callback(lambda ready: ready.exception())  # who is refused comes again

    def data_received(self, data: bytes) -> None:
        if not self.is_open and (hint := _HINT.search(data)):
            self.hint_ms = int(hint[1])
            self.transport.abort()
        else:
            super().data_received(data)


async def be_cut(port: int, spread: Sequence[tuple[Place, str]]) -> None:
    """Attached until it is killed."""
    attached = [Returner(*one) for one in spread]
    await open_all(port, attached)
    print("attached", flush=True)
    await asyncio.get_running_loop().create_future()


async def come_back(port: int, spread: Sequence[tuple[Place, str]]) -> None:
    """At the word; then tell how long it took."""
    first = [Returner(*one) for one in spread]
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    began = time.perf_counter()
    async with asyncio.timeout(BACK_S_MAX):
        back = await asyncio.gather(*(_insist(port, one, lambda on=on: Returner(*on)) for one, on in zip(first, spread, strict=True)))  # type: ignore[misc]
    took_s = time.perf_counter() - began
    print(json.dumps({"took_s": took_s, "told": sum(refused > 0 for _, refused in back)}), flush=True)
    close_all([one for one, _ in back])


async def _insist(port: int, one: Returner, again: Callable[[], Returner]) -> tuple[Returner, int]:
    """Until it is served; how often it was told to come again later."""
    refused = 0
    while True:
        await asyncio.get_running_loop().create_connection(lambda one=one: one, LOOPBACK, port)  # type: ignore[misc]
        await asyncio.wait([one.ready])
        if one.is_open:
            return one, refused
        refused += 1
        await asyncio.sleep(one.hint_ms / 1_000)
        one = again()


def main() -> None:
    side, port, clients, told = sys.argv[1:]
    places = [Place(*place) for place in json.loads(told)]
    run_id = os.urandom(4).hex()
    spread = [(places[i % len(places)], f"{run_id}-{i}") for i in range(int(clients))]
    raise_file_limit()
    _step_back()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run((be_cut if side == "cut" else come_back)(int(port), spread))


def _step_back() -> None:
    """One step behind whoever started it, who may have been put before everybody else on this machine."""
    is_usual = os.sched_getscheduler(0) == os.SCHED_OTHER
    os.sched_setscheduler(0, os.SCHED_IDLE if is_usual else os.SCHED_OTHER, os.sched_param(0))


if __name__ == "__main__":
    main()
