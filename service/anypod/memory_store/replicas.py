"""The replicas that serve, in the memory server.

Owns the entry of each life of a replica and how long it holds. Must not know what an entry says.
"""

from collections.abc import Sequence
from typing import NamedTuple


class ReplicaEntry(NamedTuple):
    """Holds until then."""

    text: bytes
    until_ms: int


class Replicas:
    """`_of_life`: one entry for each life of a replica; those that are over are forgotten at the next call."""

    def __init__(self) -> None:
        self._of_life: dict[str, ReplicaEntry] = {}

    def announce(self, life: str, text: bytes, *, ttl_ms: int, now_ms: int) -> Sequence[bytes]:
        self._of_life = {name: entry for name, entry in self._of_life.items() if entry.until_ms > now_ms and name != life}
        if text:
            self._of_life[life] = ReplicaEntry(text, now_ms + ttl_ms)
        return [entry.text for entry in self._of_life.values()]
