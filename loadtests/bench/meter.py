"""What a process has used, read from /proc.

Owns the reading. Must not know which process it is.
"""

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """User and system time of all its threads. In nanoseconds where the kernel keeps them: a tick of 10 ms is 5 % of a short row."""
    try:
        return sum(_ran_ns(thread / "schedstat") for thread in Path(f"/proc/{pid}/task").iterdir()) / 1e9
    except (OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def main_thread_cpu_s(pid: int) -> float:
    """Of the thread that a Redis runs its commands on."""
    return _ran_ns(Path(f"/proc/{pid}/task/{pid}/schedstat")) / 1e9


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def core_busy_s(core: int) -> float:
    """Of everybody on that core, the kernel included."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S


def _ran_ns(path: Path) -> int:
    return int(path.read_text().split()[0])
