"""The guarantees that can be seen from outside, and what is counted for each.

Owns the list. Must not know how they are checked.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`counts`: names of counts, and what is said with the number before it. The first is the check itself."""

    number: int
    name: str
    counts: tuple[tuple[str, str], ...]


GUARANTEES: Final = (
    Guarantee(
        1,
        "order, no gap, no duplicate",
        (
            ("compared", "events of readers compared with the log"),
            ("delivered", "deliveries judged as they came"),
            ("cut", "connections cut by us and resumed"),
            ("broken", "connections ended by others and resumed"),
            ("late", "readers that began late, from the start"),
        ),
    ),
    Guarantee(
        2,
        "acknowledged means logged",
        (
            ("acknowledged", "acknowledged events looked up in the log"),
            ("refused", "refusals on the way, each sent again by id"),
            ("unanswered", "events given up without an answer, in the log or not"),
            ("announced", "acknowledged events whose loss was announced (rolled_back)"),
        ),
    ),
    Guarantee(
        3,
        "idempotent publish",
        (
            ("repeated", "acknowledged ids sent again, each the same event"),
            ("abandoned", "attempts abandoned under way and sent again"),
            ("contradicted", "ids sent again with another body, each a conflict"),
        ),
    ),
    Guarantee(
        4,
        "no silent loss",
        (
            ("unhonoured", "cursors that cannot be honoured (unknown, another session's, a deleted session's), each announced"),
            ("reset", "resets of our readers, each due"),
        ),
    ),
    Guarantee(
        5,
        "isolation",
        (
            ("anonymous", "requests without a credential or with a forged one, each refused"),
            ("foreign", "requests with another tenant's credential, none of which reached anything"),
            ("outside", "requests with another subject's or a narrowed credential of the same tenant, each refused"),
        ),
    ),
)
