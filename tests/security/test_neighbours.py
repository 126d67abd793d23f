"""What one subject does to a replica, a publisher of another tenant hardly notices: a flood of each kind beside it, in turns with quiet."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Final

import pytest
import uvloop
from tests.repository.not_run import elsewhere
from tests.security.flooder import FLOODS
from tests.slo.bound import FLOOR_S, RATIO_MAX, unchanged
from tests.slo.publishing import Neighbour, neighbour
from tests.support.redis_servers import RedisServer
from tests.support.replica_process import Replica

from anypod.core.statistics import percentile

TURNS: Final = 3  # of quiet and of flood each
TURN_S: Final = 2.0
SETTLING_S: Final = 1.2  # a flood begins with a full bucket, and ends with what is under way
EVERY_S: Final = 0.005  # between two events of the neighbour: 1,200 waits a side, so that a pause of the machine is not a percentile
MORE: Final = {"events_per_session_max": "1000000"}


async def window(seen: Neighbour) -> list[float]:
    seen.waits_s = []
    await asyncio.sleep(TURN_S)
    return seen.waits_s


async def measure(replica: Replica, name: str) -> tuple[float, float, int, int]:
    """The neighbour's p99 in quiet and in flood, and how often the flood was answered and refused."""
    flooder = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.security.flooder", str(replica.port), name, stdin=PIPE, stdout=PIPE
    )
    assert flooder.stdin is not None
    assert flooder.stdout is not None
    quiet, flooded = list[float](), list[float]()
    try:
        assert await flooder.stdout.readline() == b"ready\n"
        async with neighbour(replica.port, EVERY_S) as seen:
            await asyncio.sleep(SETTLING_S)
            for _ in range(TURNS):
                quiet += await window(seen)
                flooder.stdin.write(b"on\n")
                await asyncio.sleep(SETTLING_S)
                flooded += await window(seen)
                flooder.stdin.write(b"off\n")
                await asyncio.sleep(SETTLING_S)
        flooder.stdin.close()
        answered, refused = map(int, (await flooder.stdout.readline()).split())
    finally:
        if flooder.returncode is None:
            flooder.kill()
        await flooder.wait()
    return percentile(quiet, 99), percentile(flooded, 99), answered, refused


@pytest.mark.alone
@pytest.mark.skipif("MEASURE_NEIGHBOURS" not in os.environ, reason=elsewhere("make neighbours", "fifteen floods, on a quiet machine"))
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FLOODS)
def test_a_neighbours_p99_is_at_most_twice_what_it_is_in_quiet(name: str, redis_server: RedisServer, tmp_path: Path) -> None:
    settings = {"redis_url": f"{redis_server.url}/0", "key_prefix": f"n{FLOODS.index(name)}", "log_level": "WARNING", **MORE}
    replica = Replica("flooded", settings, tmp_path)
    replica.start()
    try:
        quiet_s, flooded_s, answered, refused = uvloop.run(measure(replica, name))
    finally:
        replica.kill()
    told = (
        f"{name}: p99 {quiet_s * 1e3:.2f} ms quiet, {flooded_s * 1e3:.2f} ms flooded ({RATIO_MAX:g} × allowed), "
        f"{answered} answered, {refused} refused"
    )
    print(told)
    assert answered + refused > 10, "that was no flood"
    assert unchanged(name, quiet_s, flooded_s, FLOOR_S).is_kept, told
