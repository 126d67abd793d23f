"""How long to wait before another attempt.

Owns the formula. Must not know what is attempted; chance is given as a number.
"""

from typing import Final

FIRST_S: Final = 1.0  # most reconnects succeed at once; spread over a second they do not arrive together
LAST_S: Final = 30.0  # whoever watches an outage end waits no longer than this
_DOUBLINGS_MAX: Final = 5  # 1 s doubled five times is beyond LAST_S already


def full_jitter_s(failures: int, chance: float) -> float:
    """Anything between nothing and the doubled bound: the whole range, so that a crowd spreads evenly. `chance` is in [0, 1)."""
    return chance * min(LAST_S, FIRST_S * 2.0 ** min(failures, _DOUBLINGS_MAX))
