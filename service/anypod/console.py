"""What a command prints while it runs.

Owns the way to standard output. Must not know what is said. The reader may be gone (a closed terminal, a
finished `head`): that silences the command and does not stop it, because what it started must be ended in order.
"""

import os
import sys


def say(line: str = "") -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        silence()


def silence() -> None:
    """Send whatever is still printed to nowhere, the interpreter's last flush too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
