"""When the garbage collector looks for cycles, and at how much.

Owns the collector's thresholds and the moments of its larger looks. Must not know what is served. A look stops the loop for as
long as it has objects to walk over: 0.25 ms for a thousand new ones, 20 ms for what three thousand connections have left since the
last larger look. The interpreter takes the larger ones by count, which is in the midst of a rush; here they come after it.
"""

import asyncio
import gc
from typing import Final

NEW_OBJECTS: Final = 1_000  # before a look at them, by the interpreter itself
NEVER: Final = 1 << 30  # the interpreter's own larger looks
EVERY_S: Final = 1.0
LOOKS_MIN: Final = 10  # at new objects, before a larger one at what these have left
CALM_SHARE: Final = 0.1  # of these looks, or less, fell into the last second: a rush is over, or as steady as it gets
LOOKS_BEFORE_ALL: Final = 5_000  # at new objects, before one at everything


class GcTuner:
    """One larger look about every ten seconds while the load is even; after a rush, however long, instead of in it."""

    def __init__(self) -> None:
        """What was made so far stays for good, and what a frame allocates dies by its count: with the interpreter's own thresholds
        a third of a core goes into looks that find nothing."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS, NEVER, NEVER)
        self._seen = self._older_at = self._all_at = _looks()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.look()

    def look(self) -> None:
        """To be called every second."""
        seen, before = _looks(), self._seen
        self._seen = seen
        pending = seen - self._older_at
        if pending < LOOKS_MIN or seen - before > pending * CALM_SHARE:
            return
        self._older_at = seen
        if seen - self._all_at < LOOKS_BEFORE_ALL:
            gc.collect(1)
        else:
            self._all_at = seen
            gc.collect()


def _looks() -> int:
    """At new objects, by the interpreter."""
    return int(gc.get_stats()[0]["collections"])
