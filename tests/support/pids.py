"""Look at processes by their ids.

Owns the reading of /proc. Must not know what a process is for.
"""

import os
from pathlib import Path


def is_alive(pid: int) -> bool:
    """A process that has ended but was not collected yet is not alive."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def kill(pid: int, number: int) -> None:
    os.kill(pid, number)
