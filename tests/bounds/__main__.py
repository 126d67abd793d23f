"""`python -m tests.bounds`: bad days in full, on a machine that does nothing else.

Owns the command. Prints what was seen of each, and fails when a bound was broken.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from loadtests.bench.__main__ import raise_file_limit, say
from tests.bounds.bound import FLOOR_S, Bound, broken
from tests.bounds.killed_replica import kill
from tests.bounds.silent_link import silence
from tests.bounds.stalled_readers import stall
from tests.servers import RedisServer, running

STALLED: Final = 200
KILLED_UNDER: Final = 300


def stalled_readers(server: RedisServer, folder: Path) -> Sequence[Bound]:
    seen = uvloop.run(stall(server, folder, STALLED))
    say(str(seen))
    return seen.bounds(FLOOR_S)


def silent_link(server: RedisServer, folder: Path) -> Sequence[Bound]:
    seen = uvloop.run(silence(server, folder))
    say(str(seen))
    return seen.bounds()


def killed_replica(server: RedisServer, folder: Path) -> Sequence[Bound]:
    seen = uvloop.run(kill(folder, KILLED_UNDER))
    say(str(seen))
    return seen.bounds(is_alone=True)


BAD_DAYS: Final[Sequence[Callable[[RedisServer, Path], Sequence[Bound]]]] = (stalled_readers, silent_link, killed_replica)


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
