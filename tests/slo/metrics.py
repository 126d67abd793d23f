"""What a replica tells of itself, read from outside.

Owns the reading of its metrics and of what the kernel knows of its process. Must not know why.
"""

import re
import urllib.request
from pathlib import Path
from typing import Final

from tests.support.replica_process import Replica

PAGE_BYTES: Final = 4_096
_ESTABLISHED: Final = "01"  # of /proc/net/tcp


def metric(replica: Replica, name: str) -> float:
    """`name`: with its labels, as the text has it."""
    with urllib.request.urlopen(f"{replica.admin_url}/metrics") as response:
        found = re.search(rf"^anypod_{re.escape(name)} (\S+)", response.read().decode(), re.MULTILINE)
    assert found is not None, f"there is no metric anypod_{name}"
    return float(found[1])


def resident_bytes(replica: Replica) -> int:
    return int(Path(f"/proc/{replica.pid}/statm").read_text().split()[1]) * PAGE_BYTES


def open_sockets(replica: Replica) -> int:
    """Connections that somebody has opened to its public port, and that have not ended."""
    return len(_connections(replica))


def queued_bytes(replica: Replica) -> int:
    """What the kernel holds of what the replica has written: sent and not acknowledged, or not sent yet."""
    return sum(int(row[4].partition(":")[0], 16) for row in _connections(replica))


def _connections(replica: Replica) -> list[list[str]]:
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return [row for row in rows if row[1].endswith(f":{replica.port:04X}") and row[3] == _ESTABLISHED]
