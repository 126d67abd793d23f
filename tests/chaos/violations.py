"""What kind of harm a violation is, in the words of a report.

Owns the kinds and which of the oracle's findings belongs to which. Must not know how they were found.
"""

from typing import Final, Literal, get_args

from tests.simulation.oracle import Violation

Loss = Literal[
    "lost prefix",  # before the first event that the client has
    "lost middle",
    "lost tail",  # after the last one
    "duplicated",
    "reordered",  # it had been missing, and came after all
    "silent gap",  # another history was put in the place of the client's without a word
    "unjust reset",
    "conflicting common",
    "foreign bytes",
    "broken acknowledgement",
    "broken idempotency",
    "wrong history",  # a page of it is not what the log has there
    "late",  # delivered long after it was logged, though nothing stood in the way
    "other",
]
HOLES: Final[frozenset[Loss]] = frozenset({"lost prefix", "lost middle", "lost tail"})
LOSSES: Final[tuple[Loss, ...]] = get_args(Loss)

Span = tuple[int, int]  # the first and the last seq that a client has applied

# The oracle's words; the first that is found decides.
_WORDS: Final[tuple[tuple[str, Loss], ...]] = (
    (": twice", "duplicated"),
    ("page of history", "wrong history"),
    ("history was said", "wrong history"),
    (": out of order", "silent gap"),  # of a history that is not the client's
    ("never logged: ", "foreign bytes"),
    ("though nothing stood in the way", "late"),
    ("of a history that the log has", "unjust reset"),
    ("but nothing of it was lost", "unjust reset"),
    ("but it was lost", "unjust reset"),
    ("the common ", "conflicting common"),
    ("which it was not written upon", "silent gap"),
    ("in silence", "silent gap"),
    ("was never told", "silent gap"),
    ("names two events", "silent gap"),
)
_OF_GUARANTEE: Final[dict[int, Loss]] = {2: "broken acknowledgement", 3: "broken idempotency"}
_HOLE_WORDS: Final = (" without ", "never came")


def violation_of(violation: Violation, span: Span | None) -> Loss:
    """`span`: of the client that it is about, None when it has applied nothing."""
    for words, loss in _WORDS:
        if words in violation.what:
            return loss
    if any(words in violation.what for words in _HOLE_WORDS) and violation.seq is not None:
        return _place_of(violation.seq, span)
    return _OF_GUARANTEE.get(violation.guarantee, "other")


def _place_of(seq: int, span: Span | None) -> Loss:
    if span is None or seq < span[0]:
        return "lost prefix"
    return "lost tail" if seq > span[1] else "lost middle"
