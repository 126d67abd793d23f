"""How much memory sessions take in Redis: a model, and a look at a live server that it is compared with.

Owns the model's figures, which the reference's table is made from, and the bounded sample. Must not know how a report looks.
The figures are those of Valkey 8 and Redis 8 with jemalloc, as `MEMORY USAGE` tells; a test measures them on a real server.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import hiredis

from anypod.clock import Clock
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.topology.topology import topology_of
from anypod.redis_store.url import Deployment
from anypod.redis_store.wire.connection import Connection, Reply, pack
from anypod.redis_store.wire.errors import checked, number_or_0
from anypod.redis_store.wire.handshake import dial

SESSION_BYTES: Final = 520  # an empty session: its hash and its two keys, without state and metadata
STREAM_BYTES_MIN: Final = 4_400  # a stream with anything in it: its first node is allocated whole
EVENT_BYTES: Final = 26  # of a stream, beside the frame
FIELD_BYTES: Final = 75  # of the hash, beyond the fixed ones; an id that is remembered has two of them
FIELDS_FIXED: Final = 20
MEMBER_BYTES: Final = 125  # of presence, with 50 bytes of data
LISTED_BYTES: Final = 110  # of a subject's index, for each session
CONNECTION_BYTES: Final = 2_900  # at a replica, over its own protocols; a session that is loaded and its tail come on top

TOLERANCE: Final = 0.4  # a sample that is further off than this share says that the model is not of this server
SAMPLE_MAX: Final = 100  # sessions that are looked at
SCAN_COUNT: Final = 200  # keys that one SCAN looks at
SCANS_MAX: Final = 500  # on each server: a sample comes from the first 100,000 keys it happens to find
FRAMES: Final = 16  # of a session, for the mean size of its frames


class SizingRow(NamedTuple):
    what: str
    figure: int
    unit: str
    meaning: str


def model_rows() -> Sequence[SizingRow]:
    return [
        SizingRow("session", SESSION_BYTES, "bytes", "an empty one, beside its state and metadata"),
        SizingRow("log", STREAM_BYTES_MIN, "bytes", "at least, once there is an event; the same for deltas"),
        SizingRow("event or delta", EVENT_BYTES, "bytes", "beside its frame, which is its data and about 180 bytes"),
        SizingRow("remembered id", 2 * FIELD_BYTES, "bytes", "of each event, as long as the dedup window lasts"),
        SizingRow("member present", MEMBER_BYTES, "bytes", "with 50 bytes of data"),
        SizingRow("session in an index", LISTED_BYTES, "bytes", "of its owner"),
        SizingRow(
            "connection", CONNECTION_BYTES, "bytes", "of a replica's memory, not of Redis'; over the portable transport eight times as much"
        ),
    ]


class Weighed(NamedTuple):
    """One session: what the model says, and what the server says."""

    predicted: int
    measured: int


class Sizing(NamedTuple):
    """`used_bytes`: of all servers, None where they do not tell."""

    sessions: int
    predicted_bytes: int
    measured_bytes: int
    used_bytes: int | None

    @property
    def off(self) -> float:
        """The share by which the model is off, above or below."""
        return abs(self.predicted_bytes - self.measured_bytes) / self.measured_bytes if self.measured_bytes else 0.0

    @property
    def is_within(self) -> bool:
        return self.off <= TOLERANCE


def predicted_bytes(*, fields: int, values: int, events: int, frame_bytes: float, deltas: int) -> int:
    """`fields` of the session's hash, `values`: the bytes of its state and metadata."""
    small = SESSION_BYTES + values + FIELD_BYTES * max(0, fields - FIELDS_FIXED)
    return small + sum(max(STREAM_BYTES_MIN, round(count * (EVENT_BYTES + frame_bytes))) for count in (events, deltas) if count)


async def survey(options: RedisOptions, clock: Clock) -> Sizing:
    """Look at some sessions of every server. Raises AnypodError, OSError or TimeoutError."""
    topology = topology_of(Deployment.parse(options), options, clock)
    try:
        weighed, used = list[Weighed](), list[int | None]()
        for endpoint in dict.fromkeys(await topology.owners()):
            connection = await dial(await topology.place(endpoint).find(), options, lambda: None)
            try:
                weighed += await _sample(connection, options.prefix)
                used.append(await _used(connection))
            finally:
                connection.abort()
    finally:
        topology.close()
    total = None if None in used else sum(filter(None, used))
    return Sizing(len(weighed), sum(one.predicted for one in weighed), sum(one.measured for one in weighed), total)


async def _sample(connection: Connection, prefix: str) -> list[Weighed]:
    place, found = b"0", list[Weighed]()
    for _ in range(SCANS_MAX):
        reply = checked(await connection.ask(pack("SCAN", place, "MATCH", f"{prefix}:{{*}}/*/*/m", "COUNT", SCAN_COUNT)))
        assert isinstance(reply, list)
        following, names = reply
        assert isinstance(following, bytes)
        assert isinstance(names, list)
        for name in names[: SAMPLE_MAX - len(found)]:
            if isinstance(name, bytes) and (one := await _weigh(connection, name[:-1])):
                found.append(one)
        if following == b"0" or len(found) >= SAMPLE_MAX:
            break
        place = following
    return found


async def _weigh(connection: Connection, stem: bytes) -> Weighed | None:
    """None: it has gone meanwhile, or only its tombstone is there."""
    commands = [
        pack("HGETALL", stem + b"m"),
        pack("XLEN", stem + b"l"),
        pack("XLEN", stem + b"d"),
        pack("XREVRANGE", stem + b"l", "+", "-", "COUNT", FRAMES),
        *(pack("MEMORY", "USAGE", stem + letter, "SAMPLES", 0) for letter in (b"m", b"l", b"d")),
    ]
    flat, events, deltas, entries, *sizes = [checked(reply) for reply in await connection.ask_all(commands)]
    assert isinstance(flat, list)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    if b"p" not in fields:
        return None
    frames = [len(_frame(entry)) for entry in entries] if isinstance(entries, list) else []
    mean = sum(frames) / len(frames) if frames else 0.0
    values = sum(len(value) for name in (b"S", b"M") if isinstance(value := fields.get(name), bytes))
    predicted = predicted_bytes(fields=len(fields), values=values, events=number_or_0(events), frame_bytes=mean, deltas=number_or_0(deltas))
    return Weighed(predicted, sum(map(number_or_0, sizes)))


async def _used(connection: Connection) -> int | None:
    told = await connection.ask(pack("INFO", "memory"))
    if isinstance(told, hiredis.ReplyError) or not isinstance(told, bytes):
        return None
    return next((int(line[len(b"used_memory:") :]) for line in told.splitlines() if line.startswith(b"used_memory:")), None)


def _frame(entry: Reply) -> bytes:
    assert isinstance(entry, list)
    assert isinstance(entry[1], list)
    frame = entry[1][1]
    assert isinstance(frame, bytes)
    return frame
