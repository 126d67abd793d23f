"""What a client of the crowd publishes, one event after the other.

Owns the drafts: messages, and parts of several deltas that end with the whole. Must not know how they are published.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, Final, NamedTuple

TOKENS: Final = 6  # of a part: enough that a fault strikes within one
PARTS_EVERY: Final = 3  # of so many clients one speaks in parts


class Draft(NamedTuple):
    kind: str
    data: Any
    part: str | None = None
    replaces: str | None = None

    def fields(self) -> dict[str, Any]:
        """As they go over the wire."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def messages(name: str) -> Iterator[Draft]:
    return (Draft("message", {"by": name, "n": number}) for number in count(1))


def parts(name: str) -> Iterator[Draft]:
    """As an answer is written: token by token, then all of it."""
    for number in count(1):
        part = f"{name}.{number}"
        for word in range(TOKENS):
            yield Draft("token", f"{word} of {part}. ", part=part)
        yield Draft("message", {"by": name, "whole": number}, replaces=part)
        yield Draft("message", {"by": name, "n": number})
