"""Which node of a cluster serves which partition.

Owns the slot of each partition, and the reading and comparing of what nodes say of the slots. Must not know connections.
"""

from binascii import crc_hqx
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple

from anypod.redis_store.keys import SLOTS, tags
from anypod.redis_store.url import Endpoint
from anypod.redis_store.wire.connection import Reply
from anypod.redis_store.wire.errors import list_of

Owners = Sequence[Endpoint]  # the primary of each partition
OnChange = Callable[[Owners], None]

UNKNOWN_HOSTS: Final = (b"", b"?")  # of a node that does not tell its own address, or null: it is where it was asked
FLAGS_FIELD: Final = 2  # in a line of CLUSTER NODES
EPOCH_FIELD: Final = 6


class Claim(NamedTuple):
    """That a primary serves a slot. The greatest of several holds: what a node says of itself, and of two such the newer one.

    What nodes say of others may be old, and newer epochs of those others are no proof of it: epochs are of nodes, not of slots.
    """

    is_own: bool
    epoch: int
    primary: Endpoint


View = Sequence[Claim | None]  # what one node believes of each partition


class _Range(NamedTuple):
    first: int
    last: int
    claim: Claim


@cache
def partition_slots() -> Sequence[int]:
    """The slot of each partition's keys and channels, by its number."""
    return tuple(crc_hqx(text.encode(), 0) % SLOTS for text in tags())


def partition_of(name: bytes) -> int:
    """Of a key or channel, from its hash tag: no prefix has a brace."""
    start = name.index(b"{") + 1
    return int(name[start : name.index(b".", start)])


def read_view(slots: Reply, nodes: Reply, asked: Endpoint) -> View:
    """The replies of CLUSTER SLOTS, which has addresses that clients can use, and of CLUSTER NODES, which has the epochs."""
    assert isinstance(nodes, bytes)
    lines = [line.split() for line in nodes.splitlines()]
    own = next(line[0] for line in lines if b"myself" in line[FLAGS_FIELD])
    epochs = {line[0]: int(line[EPOCH_FIELD]) for line in lines}
    ranges = list[_Range]()
    for first, last, primary, *_ in map(list_of, list_of(slots)):
        endpoint, name = _node(list_of(primary), asked)
        assert isinstance(first, int)
        assert isinstance(last, int)
        ranges.append(_Range(first, last, Claim(name == own, epochs.get(name, 0), endpoint)))
    return [next((item.claim for item in ranges if item.first <= slot <= item.last), None) for slot in partition_slots()]


def newest(views: Sequence[View]) -> View:
    """The claim that holds, for each partition: None, where nobody knows."""
    return [max((claim for claim in claims if claim is not None), default=None) for claims in zip(*views, strict=True)]


def _node(primary: list[Reply], asked: Endpoint) -> tuple[Endpoint, bytes]:
    """Where it is, and its name."""
    host, port, name = primary[0], primary[1], primary[2]
    assert isinstance(port, int)
    assert isinstance(name, bytes)
    return Endpoint(host.decode() if isinstance(host, bytes) and host not in UNKNOWN_HOSTS else asked.host, port), name
