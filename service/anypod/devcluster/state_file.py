"""`dev.json`: what runs where, for people and programs beside the cluster.

Owns the file and the lock that keeps a data directory to one cluster. Must not know how the processes are run.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from anypod.core.errors import AnypodError

RECORD_NAME: Final = "dev.json"
LOCK_NAME: Final = "lock"


class ReplicaRow(Struct):
    name: str
    url: str
    admin_url: str
    pid: int | None


class RedisRow(Struct):
    """`pid` is null for a Redis that was there before."""

    url: str
    pid: int | None


class ClusterRow(Struct):
    url: str
    pid: int
    replicas: list[ReplicaRow]
    redis: RedisRow


class StateFile:
    """Stands beside the data directory, and only while the cluster runs."""

    def __init__(self, data: Path) -> None:
        self.path = data.parent / RECORD_NAME
        self._data = data
        self._lock: int | None = None

    def open(self) -> None:
        """Take the data directory. Raises AnypodError when another cluster has it."""
        self._data.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._data / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(lock)
            raise AnypodError("conflict", self._who_has_it()) from exc
        self._lock = lock
        self.path.unlink(missing_ok=True)  # a supervisor that was killed could not take its record away

    def write(self, row: ClusterRow) -> None:
        """Replace the file in one step: a reader sees the old row or the new one."""
        draft = self.path.with_suffix(".json.new")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(row), indent=2) + b"\n")
        draft.replace(self.path)

    def close(self) -> None:
        if self._lock is None:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _who_has_it(self) -> str:
        try:
            row = msgspec.json.decode(self.path.read_bytes(), type=ClusterRow)
        except (OSError, msgspec.MsgspecError):
            return f"another anypod cluster uses {self._data}: stop it, or choose another --data-dir"
        return (
            f"an anypod cluster already runs from {self._data} at {row.url} (pid {row.pid}): use it, stop it, or choose another --data-dir"
        )
