"""`python -m tests.slo`: bad days in full, on a machine that does nothing else.

Owns the command. Prints what was seen of each, and fails when a bound was broken.
"""

import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, get_args

import uvloop
from loadtests.bench.__main__ import raise_file_limit, say
from tests.slo.bound import FLOOR_S, Bound, broken
from tests.slo.killed_replica import kill
from tests.slo.silent_link import silence
from tests.slo.stalled_readers import stall
from tests.slo.stalled_replays import Kind, Transport, stall_replays
from tests.support.redis_servers import RedisServer, running

STALLED: Final = 200
KILLED_UNDER: Final = 300


def stalled_readers(server: RedisServer, folder: Path) -> Sequence[Bound]:
    seen = uvloop.run(stall(server, folder, STALLED))
    say(str(seen))
    return seen.bounds(FLOOR_S)


def stalled_replays(server: RedisServer, folder: Path) -> Sequence[Bound]:
    bounds: list[Bound] = []
    for path, kind in product(get_args(Transport), get_args(Kind)):
        place = folder / f"{path}-{kind}"
        place.mkdir()
        seen = uvloop.run(stall_replays(server, place, STALLED, path=path, kind=kind))
        say(str(seen))
        bounds += seen.bounds(FLOOR_S)
    return bounds


def silent_link(server: RedisServer, folder: Path) -> Sequence[Bound]:
    seen = uvloop.run(silence(server, folder))
    say(str(seen))
    return seen.bounds()


def killed_replica(server: RedisServer, folder: Path) -> Sequence[Bound]:
    seen = uvloop.run(kill(folder, KILLED_UNDER))
    say(str(seen))
    return seen.bounds(is_alone=True)


BAD_DAYS: Final[Sequence[Callable[[RedisServer, Path], Sequence[Bound]]]] = (stalled_readers, stalled_replays, silent_link, killed_replica)


def main() -> int:
    raise_file_limit()
    failures: list[str] = []
    with TemporaryDirectory(prefix="anypod-bounds-") as folder, running("redis", Path(folder) / "redis") as server:
        for day in BAD_DAYS:
            place = Path(folder) / day.__name__
            place.mkdir()
            failures += broken(day(server, place))
    for failure in failures:
        say(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
