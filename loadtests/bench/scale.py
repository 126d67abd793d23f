"""How long and how much each row is measured.

Owns the two forms of the benchmark. Must not know the rows' meaning.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds, and counts of clients or events."""

    repetitions: int
    window_s: float
    probe_s: float  # one offered rate of the search
    resumes: int
    cold_sessions: int
    accepts: int
    idle: int
    beating: int
    beat_s: float
    appended: int


FULL = Scale(
    repetitions=3,
    window_s=3.0,
    probe_s=1.5,
    resumes=3_000,
    cold_sessions=1_000,
    accepts=3_000,
    idle=5_000,
    beating=10_000,
    beat_s=9.0,  # three repetitions are one turn of the heartbeat's wheel, and a little more
    appended=64_000,
)
SHORT = Scale(
    repetitions=1,
    window_s=1.2,
    probe_s=0.7,
    resumes=1_000,
    cold_sessions=300,
    accepts=1_000,
    idle=1_500,
    beating=2_500,
    beat_s=5.0,
    appended=32_000,
)
