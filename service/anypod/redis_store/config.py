"""What a deployment says of its Redis.

Owns the address and every limit of the connections to it. Must not know where the values come from.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """`url`: redis://, redis+sentinel:// or redis+cluster://, or rediss for TLS, see `redis_store.url`. Times in seconds.

    What the settings say has its default there, and none here.
    """

    url: str = field(repr=False)  # it may hold a password
    prefix: str  # of every key and channel
    incarnation: Literal["info", "process"]  # see `scripts/base.lua`; all replicas must say the same
    durability: Literal["logged", "replicated", "fsynced"]  # what of Redis an acknowledged append survives
    durability_replicas: int | None  # how many replicas of Redis must have it: None: 1 with replicated, 0 with fsynced
    durability_wait_ms: int  # less than a probe may take, which stands behind a wait
    append_wait_s: float  # an append waits this long for the server to come back: about one failover
    appends_max: int  # appends without an answer; a further one is `overloaded`
    append_bytes_max: int  # and their bytes
    url_now: Callable[[], str] | None = field(default=None, repr=False)  # asked for each connection: its user and password count
    sentinel_password: str | None = field(default=None, repr=False)  # of the Sentinels, which have users of their own
    sentinel_password_now: Callable[[], str | None] | None = field(default=None, repr=False)  # the same
    tls_ca_file: str | None = None  # None: the system's authorities
    tls_cert_file: str | None = None  # what we show to a server that asks for a certificate
    tls_key_file: str | None = None  # None: the key is in the same file
    connect_s: float = 2.0  # a connection that takes longer is tried again
    reply_s: float = 2.0  # silence for this long after a request: the connection is dead
    probe_s: float = 2.0  # between two probes of the feed
    probe_limit_s: float = 2.0  # a probe not heard for this long: the feed is dead
    backoff_s_min: float = 0.05  # between two attempts to connect, doubled at each failure
    backoff_s_max: float = 1.0  # a server that is back should not wait for its clients
    library_look_s: float = 60.0  # between two looks at the libraries of other versions
    library_idle_s: float = 3_600.0  # one that no replica has called for this long is removed: longer than a rolling upgrade pauses
