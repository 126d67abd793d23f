"""The store of one process: everything in memory, the same answers as Redis.

Owns nothing itself: `server` holds the sessions, `log` is one of them, `store` is a replica's door.
"""

from anypod.memory_store.server import MemoryServer
from anypod.memory_store.store import MemoryStore

__all__ = ["MemoryServer", "MemoryStore"]
