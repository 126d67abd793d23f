"""Run a command that cannot outlive its starter: `python leash.py STARTER_PID COMMAND …`.

Owns the death signal. Must not know what it runs. It becomes the command, so the process keeps its id. The kernel
kills the process when the starter is gone, however that ended; elsewhere than on Linux the starter's own
clean-up is all there is.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(starter: int, command: list[str]) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != starter:
        return  # The starter died before the leash was on.
    os.execv(command[0], command)  # noqa: S606  No shell is wanted.


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
