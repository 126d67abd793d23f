"""The names of a session's keys and channel, and the random tags of its cursors.

Owns the prefix, the hash tags of the partitions, the layout `<prefix>:{tag}/tenant/session/<letter>`, and the range of random tags (ten
digits, 32 bits), drawn in blocks. Must not know what is kept under a name.

A hash tag is the partition's number and a number that puts it into the partition's own band of slots, so that partitions spread
evenly over the nodes of a cluster.
"""

import random
from binascii import crc_hqx
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from itertools import count
from struct import iter_unpack
from typing import Final, NamedTuple

from anypod.core.identity import PARTITIONS, SessionKey, Subject, TenantId, partition

SLOTS: Final = 16_384  # of a Redis Cluster
NAMES_MAX: Final = 2_048  # sessions whose names are kept made: about 2 MiB if all are published to
TAG_MIN: Final = 1_000_000_000
TAG_END: Final = 1 << 32
BLOCK_BYTES: Final = 4_096  # a system's source of randomness costs as much for a thousand as for one


class SessionNames:
    """What the session's keys and its channel are called. Of a session that is only listened to little more than the stem is kept."""

    __slots__ = ("_packed", "_stem")

    def __init__(self, stem: bytes) -> None:
        self._stem = stem
        self._packed: bytes | None = None

    @property
    def meta(self) -> bytes:
        return self._stem + b"m"

    @property
    def log(self) -> bytes:
        return self._stem + b"l"

    @property
    def deltas(self) -> bytes:
        return self._stem + b"d"

    @property
    def live(self) -> bytes:
        return self._stem + b"v"

    @property
    def presence(self) -> bytes:
        return self._stem + b"w"

    @property
    def claims(self) -> bytes:
        return self._stem + b"k"

    @property
    def channel(self) -> bytes:
        return self._stem + b"c"

    @property
    def packed(self) -> bytes:
        """The first arguments of an append, made once: meta, log, deltas, live, then the channel.

        All appends name the same keys, whatever they touch: while a slot moves, a server refuses calls by the keys that have left it
        or never were, and must not take an append behind one that it has refused.
        """
        if self._packed is None:
            self._packed = pack_args(self.meta, self.log, self.deltas, self.live, self.channel)
        return self._packed


class IndexNames(NamedTuple):
    """One subject's sessions: sorted by activity, sorted by expiry, and the bytes of each."""

    active: bytes
    expiry: bytes
    sizes: bytes


class TenantNames(NamedTuple):
    """One tenant's subjects: sorted by expiry, and the bytes of each."""

    expiry: bytes
    sizes: bytes


def hash_tag(number: int) -> str:
    """The hash tag of a partition. Redis' slot is CRC-16/XMODEM of the tag, modulo SLOTS."""
    band, start = SLOTS // PARTITIONS, f"{number}."
    checked = crc_hqx(start.encode(), 0)
    return start + next(text for text in map(str, count()) if crc_hqx(text.encode(), checked) % SLOTS // band == number)


@cache
def hash_tags() -> Sequence[str]:
    """All of them, in some milliseconds: call it before a client waits for an answer."""
    return tuple(map(hash_tag, range(PARTITIONS)))


class Keyspace:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._starts = [f"{prefix}:{{{text}}}/" for text in hash_tags()]
        self._names: OrderedDict[SessionKey, SessionNames] = OrderedDict()

    def session(self, key: SessionKey) -> SessionNames:
        names = self._names.get(key)
        if names is None:
            names = self._names[key] = SessionNames(self._stem(key))
            if len(self._names) > NAMES_MAX:
                self._names.popitem(last=False)
        return names

    def meta(self, key: SessionKey) -> bytes:
        """The one name, for a walk over every session, which would evict the kept ones."""
        return self._stem(key) + b"m"

    def index(self, tenant: TenantId, owner: Subject) -> IndexNames:
        """A subject may be any text: its digest stands for it. No session's name has an empty tenant."""
        digest = self.digest(owner)
        number = blake2b(f"{tenant}/{digest}".encode(), digest_size=1).digest()[0]
        stem = f"{self._starts[number]}/{tenant}/{digest}".encode()
        return IndexNames(stem + b"/a", stem + b"/x", stem + b"/b")

    def tenant(self, tenant: TenantId) -> TenantNames:
        """Beside the indexes of its subjects: no digest is as short."""
        number = blake2b(f"{tenant}/".encode(), digest_size=1).digest()[0]
        stem = f"{self._starts[number]}/{tenant}/all".encode()
        return TenantNames(stem + b"/x", stem + b"/b")

    @staticmethod
    def digest(owner: Subject) -> str:
        return blake2b(owner.encode(), digest_size=16).hexdigest()

    def probe(self, name: str, number: int) -> bytes:
        """A channel that is subscribed by name alone, of a partition that its server has."""
        return f"{self._starts[number]}/probe/{name}".encode()

    def calendar(self, number: int) -> bytes:
        """The sessions of a partition by when something is to be done for them."""
        return f"{self._starts[number]}/calendar".encode()

    def replicas(self) -> bytes:
        """The one hash of replicas that serve. No session's name has an empty tenant."""
        return f"{self._starts[0]}/replicas".encode()

    def lives(self, number: int) -> bytes:
        """The one sorted set of a partition's lives. No session's name has an empty tenant."""
        return f"{self._starts[number]}/lives".encode()

    def erasures(self) -> bytes:
        """The one hash of what is being erased."""
        return f"{self._starts[0]}/erasures".encode()

    def pattern(self, tenant: TenantId) -> str:
        """For SCAN: the keys of this tenant, and perhaps some others."""
        return f"{self._prefix}:{{*}}/*{tenant}/*/?"

    def note(self, name: str) -> bytes:
        """What stands beside all sessions, spread over the partitions by its name."""
        number = blake2b(name.encode(), digest_size=1).digest()[0]
        return f"{self._starts[number]}/note/{name}".encode()

    def _stem(self, key: SessionKey) -> bytes:
        return f"{self._starts[partition(key)]}{key.tenant}/{key.session}/".encode()


def pack_args(*args: bytes) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)


def random_tags(rng: random.Random) -> Iterator[int]:
    while True:
        for (number,) in iter_unpack("<I", rng.randbytes(BLOCK_BYTES)):
            if number >= TAG_MIN:
                yield number
