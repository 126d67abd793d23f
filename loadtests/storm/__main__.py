"""`python -m loadtests.storm`: thousands are cut at once and come back at once, the worst that clients can do to a replica.

Owns the command. The replica is `anypod serve` with its own limits on arrivals. Prints the time until the last one is back beside
the time that these promise, and the publishers' 99th percentile before and during the storm; fails when in the median of five
storms either is beyond its bound.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop
from loadtests.bench.__main__ import raise_file_limit, say
from loadtests.bench.cores import choose_cores, pinned_to
from loadtests.bench.report import machine
from loadtests.bench.server import ARRIVALS, anypod
from loadtests.bench.store import Redis, find_redis
from loadtests.results import origin, write
from loadtests.storm.storm import P99_RATIO_MAX, Storm, storms

from anypod.devcluster.ports import LOOPBACK
from anypod.replica import hub_options
from anypod.settings import Settings

STORMS: Final = 5  # an odd number; during one of them or two the machine may have something else to do


def main() -> int:
    parser = argparse.ArgumentParser(prog="loadtests.storm", description=__doc__)
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--out", type=Path, help="a JSON file for what was seen")
    given = parser.parse_args()
    raise_file_limit()
    _step_forward()
    program = find_redis()
    if program is None:
        say("this needs redis-server on PATH")
        return 2
    found = measure(program, given.clients, STORMS)
    for storm in found:
        say(str(storm))
    if given.out is not None:
        command = f"make storm CLIENTS={given.clients}"
        write(given.out, {"made": origin(command), "machine": machine(program, None), "storms": [asdict(storm) for storm in found]})
    return 0 if is_good(found) else 1


def _step_forward() -> None:
    """Before the machine's other work, with all that is started from here; the crowds step back. Three processes share a core with
    them, and without an order whoever wakes among these may wait until another has had its slice: the replica has no part in that."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        say("this may not go before the machine's other work (CAP_SYS_NICE): what that does is measured along")


def measure(program: Path, clients: int, count: int) -> list[Storm]:
    """A replica of its own on a core of its own; publishers, clients and the store share another."""
    cores, arrivals = choose_cores(), hub_options(Settings(dev=True, host=LOOPBACK)).arrivals
    limits = (arrivals.accepts_per_s, arrivals.resumes_per_s, arrivals.fresh_per_s, arrivals.tenant_per_s, arrivals.subject_per_s)
    with tempfile.TemporaryDirectory(prefix="anypod-storm-") as folder, pinned_to(cores.client):
        store = Redis(program, Path(folder), cores.client)
        server = anypod("storm", store, Path(folder), cores.server, **{name: f"{at:g}" for name, at in zip(ARRIVALS, limits, strict=True)})
        store.start()
        try:
            server.start()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(storms(server, clients, arrivals, count))
        finally:
            server.stop()
            store.stop()


def is_good(found: Sequence[Storm], ratio_max: float = P99_RATIO_MAX) -> bool:
    """In the median. `ratio_max`: how many times as long as before publishers may wait."""
    is_back, is_served = (
        sum(is_so) > len(found) / 2 for is_so in ([one.is_back for one in found], [one.is_served(ratio_max) for one in found])
    )
    if not is_back:
        say("FAILED: they were back later than the limits promise")
    if not is_served:
        say(f"FAILED: the publishers waited more than {ratio_max:g} times as long as before")
    return is_back and is_served


if __name__ == "__main__":
    sys.exit(main())
