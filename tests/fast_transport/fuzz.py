"""A fuzz run against a real replica: `python -m tests.fast_transport.fuzz --bytes 10000000 --seed 1`.

Owns the attempts and the judgement of what came of each. A replica passes when every answer is one of the contract's, nothing
failed inside, its memory has not grown, and nobody is attached any more. The same seed sends the same bytes.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fast_transport.mutation import Attempt, Mutator
from tests.fast_transport.raw import INIT, RawClient, heard_of
from tests.support.replica_process import Replica, credential

from anypod.core.errors import CODES

AT_ONCE: Final = 24
SILENCE_S: Final = 0.03  # after which no answer is expected any more
PIECES_MAX: Final = 6
WARM_UP: Final = 0.2  # of the bytes: caches fill and code is imported
GROWTH_BYTES_MAX: Final = 8 << 20  # of the process between then and the end: the collector's and the allocator's slack
EMPTY_S_MAX: Final = 10.0  # from the last attempt to nobody attached
STATUSES: Final = frozenset({101, 200, 400, 401, 403, 404, 405, 408, 413, 422, 426, 431})
CLOSE_CODES: Final = frozenset({1002, 1007} | {row.close for row in CODES.values() if row.close}) - {1011}
SETTINGS: Final = {
    "store": "memory",
    "events_per_session_max": "200",  # the log's own growth is not what is looked for
    "sessions_per_subject_max": "20",
    "publish_per_s": "5000",
    "max_stream_s": "2",
}


@dataclass(slots=True)
class Tally:
    """What came of a run. `wrong`: the first answers that are not the contract's."""

    sent: int = 0
    attempts: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, answer: str, *, is_right: bool) -> None:
        self.answers[answer] += 1
        if not is_right:
            self.wrong.append(answer)


async def run(port: int, bearer: str, seed: int, bytes_max: int, tally: Tally) -> None:
    """Send as many bytes in a few connections at once. The attempts follow from the seed; how they overlap does not."""
    rng = random.Random(seed)
    mutator = Mutator(rng, bearer)

    async def worker() -> None:
        while tally.sent < bytes_max:
            attempt = mutator.attempt()
            tally.attempts += 1
            tally.sent += len(attempt.head) + len(attempt.body)
            await _try(port, attempt, rng.randrange(1, PIECES_MAX), rng.randrange(3) == 0, tally)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def _try(port: int, attempt: Attempt, pieces: int, vanishes: bool, tally: Tally) -> None:
    async with await RawClient.connect(port) as client:
        answer, whole = b"", attempt.head + attempt.body
        if attempt.waits:
            client.send(attempt.head, INIT)
            answer = await client.until_silent(SILENCE_S)
            whole = attempt.body
        for start in range(0, len(whole), len(whole) // pieces + 1):
            client.send(whole[start : start + len(whole) // pieces + 1])
            await asyncio.sleep(0)
        if vanishes:
            return
        answer += await client.until_silent(SILENCE_S)
        client.end()
        try:
            answer += await client.rest()
        except TimeoutError:
            tally.note("none, and the connection stays", is_right=False)
            return
    _judge(answer, attempt, tally)


def _judge(answer: bytes, attempt: Attempt, tally: Tally) -> None:
    if not answer:
        tally.note("nothing", is_right=True)  # reset, because bytes were left unread
        return
    line = answer.split(b"\r\n")[0].split(b" ")
    status = int(line[1]) if len(line) > 1 and line[0] == b"HTTP/1.1" and line[1].isdigit() else 0
    tally.note(f"status {status}", is_right=status in STATUSES and (status == 101 or not attempt.is_upgrade))
    if status == 101:
        _judge_frames(answer.partition(b"\r\n\r\n")[2], tally)


def _judge_frames(answer: bytes, tally: Tally) -> None:
    frames = RawClient.understood(answer)
    for frame in frames:
        heard = heard_of(frame)
        match heard["type"]:
            case "close":
                code = heard["code"]
                tally.note(f"close {code}", is_right=frame is frames[-1] and (code in CLOSE_CODES or _is_echo(code)))
            case "error":
                tally.note(f"error {heard['code']}", is_right=heard["code"] in CODES and heard["code"] != "internal")
            case type_:
                tally.note(type_, is_right=True)


def _is_echo(code: int) -> bool:
    """May it be the answer to a client's own close frame? What may not stand in one may not in the answer either."""
    return code in {1000, 1001, 1003, 1005, *range(1007, 1015)} or 3000 <= code < 5000


class Subject:
    """The replica that is tried."""

    def __init__(self, directory: Path) -> None:
        self.replica = Replica("fuzzed", SETTINGS, directory)
        self.bearer = credential("acme", "ann")

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.replica.admin_url}/metrics") as response:
            for line in response.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    @property
    def memory_bytes(self) -> float:
        return self.metric("process_resident_memory_bytes")

    def until_empty(self) -> None:
        until = time.monotonic() + EMPTY_S_MAX
        while self.metric("anypod_connections") > 0:
            assert time.monotonic() < until, f"{self.metric('anypod_connections'):g} are still attached"
            time.sleep(0.05)


def fuzz(seed: int, bytes_max: int) -> tuple[Tally, float]:
    """What came of it, and by how many bytes the replica has grown. Raises AssertionError for what must not be."""
    with tempfile.TemporaryDirectory() as directory:
        subject = Subject(Path(directory))
        subject.replica.start()
        try:
            tally = Tally()
            asyncio.run(run(subject.replica.port, subject.bearer, seed, int(bytes_max * WARM_UP), tally))
            subject.until_empty()
            before = subject.memory_bytes
            asyncio.run(run(subject.replica.port, subject.bearer, seed + 1, bytes_max, tally))
            subject.until_empty()
            growth = subject.memory_bytes - before
            assert subject.replica.is_running, subject.replica.output
            assert not subject.replica.failures(), "\n".join(subject.replica.failures()[:5])
            assert subject.metric('anypod_errors_total{code="internal"}') == 0
        finally:
            subject.replica.kill()
    assert not tally.wrong, f"{len(tally.wrong)} answers are not the contract's: {tally.wrong[:5]}"
    assert growth < GROWTH_BYTES_MAX, f"the replica has grown by {growth / (1 << 20):.1f} MiB"
    return tally, growth


def main() -> int:
    parser = argparse.ArgumentParser(description="Send mutated bytes to a replica.")
    parser.add_argument("--bytes", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    args = parser.parse_args()
    print(f"seed {args.seed}")
    tally, growth = fuzz(args.seed, args.bytes)
    print(f"{tally.sent} bytes in {tally.attempts} connections; the replica has grown by {growth / (1 << 20):.1f} MiB")
    for answer, count in sorted(tally.answers.items()):
        print(f"{count:8} {answer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
