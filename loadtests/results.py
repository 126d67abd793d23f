"""Results as they are kept: figures with where they come from.

Owns the head of every file of results (revision, date, machine) and its writing. Must not know what was measured. The tables of the
documents are made from such files, so a figure without an origin stands nowhere.
"""

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
ANSWER_S_MAX: Final = 10.0


def machine() -> dict[str, str]:
    """What the figures hold for."""
    memory_kib = int(_line("/proc/meminfo", "MemTotal").split()[0])
    return {
        "processor": _line("/proc/cpuinfo", "model name"),
        "cores": str(sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())),
        "memory": f"{memory_kib / (1 << 20):.1f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def origin(command: str) -> dict[str, str]:
    """`command`: what measures the same again. A revision with `-dirty` is not what its commit holds."""
    return {"command": command, "revision": _revision(), "date": datetime.now(UTC).strftime("%Y-%m-%d")}


def write(path: Path, results: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def _revision() -> str:
    try:
        done = subprocess.run(
            ("git", "describe", "--always", "--dirty"), cwd=ROOT, capture_output=True, text=True, timeout=ANSWER_S_MAX, check=False
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _line(path: str, name: str) -> str:
    found = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in found if key.strip() == name), "unknown")
