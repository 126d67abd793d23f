"""The random numbers in cursors.

Owns their range, ten digits and 32 bits, and draws them in blocks. Must not know where they end up.
"""

import random
from collections.abc import Iterator
from struct import iter_unpack
from typing import Final

TAG_MIN: Final = 1_000_000_000
TAG_END: Final = 1 << 32
BLOCK_BYTES: Final = 4_096  # a system's source of randomness costs as much for a thousand as for one


def tags(rng: random.Random) -> Iterator[int]:
    while True:
        for (number,) in iter_unpack("<I", rng.randbytes(BLOCK_BYTES)):
            if number >= TAG_MIN:
                yield number
