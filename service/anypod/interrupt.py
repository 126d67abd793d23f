"""How a person or the system ends a command that runs in the foreground.

Owns which signals ask for the end. Must not know what has to be ended.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a supervisor above us, the terminal that goes away


async def until_signalled(work: Awaitable[None], force: Callable[[], None]) -> None:
    """Do `work` to its end. The first signal cancels it, so that it cleans up; every further one calls `force`."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    was_asked = False

    def ask() -> None:
        nonlocal was_asked
        if was_asked:
            force()
        else:
            was_asked = True
            task.cancel()

    for number in ENDING:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started by nohup: it is meant to outlive the terminal
        loop.add_signal_handler(number, ask)
    try:
        await task
    except asyncio.CancelledError:
        if not was_asked:
            raise
