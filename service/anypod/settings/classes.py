"""Session classes as they are set up.

Owns the classes that every deployment has and how others are laid over them. Must not know the store, which takes the
same fields as its `SessionClass`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

DAY_MS: Final = 86_400_000

# What a class does not say itself; beside these `events_max`, `deltas_max` and `bytes_max`, which have settings of their own.
STANDARD_CLASSES: Final[Mapping[str, Mapping[str, int]]] = {
    "chat": {"ttl_ms": 7 * DAY_MS, "live_ms": 30_000},
    "voice": {"ttl_ms": 300_000, "live_ms": 30_000},
}

Count = Annotated[int, Field(gt=0)]


class ClassSettings(BaseModel):
    """See `store.SessionClass`: the same fields with the same meaning, name apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl_ms: Count
    live_ms: Count
    events_max: Count
    deltas_max: Count
    bytes_max: Count
    retain_events: Count | None = None
    retain_ms: Count | None = None
    fold_after_ms: Annotated[int, Field(ge=0)] = 60_000
    dedup_ms: Annotated[int, Field(ge=600_000)] = 600_000  # protocol.md, guarantee 3: at least ten minutes
    part_open_ms: Count = 900_000


def with_standard(classes: Mapping[str, Any], limits: Mapping[str, int | None]) -> dict[str, Any]:
    """Every class with what it does not say itself. `limits`: what the settings of the same meaning say."""
    names = sorted(STANDARD_CLASSES.keys() | classes.keys())
    return {name: _laid_over({**limits, **STANDARD_CLASSES.get(name, {})}, classes.get(name, {})) for name in names}


def _laid_over(standard: dict[str, int | None], given: Mapping[str, Any] | ClassSettings) -> Mapping[str, Any] | ClassSettings:
    return given if isinstance(given, ClassSettings) else {**standard, **given}
