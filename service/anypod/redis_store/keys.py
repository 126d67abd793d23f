"""The names of a session's keys and channel.

Owns the prefix, the partition tags and the layout `<prefix>:{tag}/tenant/session/<letter>`. Must not know what is kept there.
A tag is the partition's number and a number that puts it into the partition's own band of slots, so that partitions spread
evenly over the nodes of a cluster.
"""

from binascii import crc_hqx
from collections import OrderedDict
from functools import cache
from hashlib import blake2b
from itertools import count
from typing import Final, NamedTuple

from anypod.core.identity import PARTITIONS, SessionKey, Subject, TenantId, partition

SLOTS: Final = 16_384  # of a Redis Cluster
NAMES_MAX: Final = 2_048  # sessions whose names are kept made: about 2 MiB; who publishes is among them


class SessionNames(NamedTuple):
    """`packed_…`: arguments of the append calls, made once: meta, log, deltas (and live), then the channel."""

    meta: bytes
    log: bytes
    deltas: bytes
    live: bytes
    presence: bytes
    channel: bytes
    packed_one: bytes
    packed_many: bytes


class IndexNames(NamedTuple):
    """Two sorted sets of one subject's sessions: by activity, and by expiry."""

    active: bytes
    expiry: bytes


@cache
def tag(number: int) -> str:
    """The hash tag of a partition. Redis' slot is CRC-16/XMODEM of the tag, modulo SLOTS."""
    band = SLOTS // PARTITIONS
    return next(text for text in (f"{number}.{n}" for n in count()) if crc_hqx(text.encode(), 0) % SLOTS // band == number)


class Keyspace:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: OrderedDict[SessionKey, SessionNames] = OrderedDict()

    def session(self, key: SessionKey) -> SessionNames:
        names = self._names.get(key)
        if names is None:
            names = self._names[key] = self._make(key)
            if len(self._names) > NAMES_MAX:
                self._names.popitem(last=False)
        return names

    def index(self, tenant: TenantId, owner: Subject) -> IndexNames:
        """A subject may be any text: its digest stands for it. No session's name has an empty tenant."""
        digest = blake2b(owner.encode(), digest_size=16).hexdigest()
        number = blake2b(f"{tenant}/{digest}".encode(), digest_size=1).digest()[0]
        stem = f"{self._prefix}:{{{tag(number)}}}//{tenant}/{digest}".encode()
        return IndexNames(stem + b"/a", stem + b"/x")

    def probe(self, name: str) -> bytes:
        """A channel that only the replica of this name hears."""
        return f"{self._prefix}:{{{tag(0)}}}//probe/{name}".encode()

    def _make(self, key: SessionKey) -> SessionNames:
        stem = f"{self._prefix}:{{{tag(partition(key))}}}/{key.tenant}/{key.session}/".encode()
        meta, log, deltas, live, presence, channel = (stem + letter for letter in (b"m", b"l", b"d", b"v", b"p", b"c"))
        packed_one = pack_args(meta, log, deltas, channel)
        packed_many = pack_args(meta, log, deltas, live, channel)
        return SessionNames(meta, log, deltas, live, presence, channel, packed_one, packed_many)


def pack_args(*args: bytes) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)
