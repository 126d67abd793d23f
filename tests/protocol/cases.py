"""The cases of `service/spec/cases/contract.json`.

Owns the shape of the data file. Must not know how a step is carried out.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from tests.support.replica_process import SECRET

FOLDER: Final = Path(__file__).parents[2] / "service/spec/cases"
USUAL: Final = "usual"
PORTABLE: Final = "portable"
EVERYWHERE: Final = ("websocket", "sse", "poll", "client")


class Step(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`who` does something `with` these arguments. `gets`: what comes of it (see `pattern`). `keeps`: names for parts of that."""

    does: str
    who: str = "ann"
    with_: dict[str, Any] = msgspec.field(default_factory=dict, name="with")
    gets: Any = UNSET
    keeps: dict[str, str] = {}


class Person(Struct, forbid_unknown_fields=True):
    """What a credential says: subject, tenant and secret are the person's name, the case's own and the replicas' unless given."""

    subject: str | None = None
    tenant: str | None = None
    can: list[str] | None = None
    sessions: list[str] | None = None
    kinds: list[str] | None = None
    ttl_s: float = 3_600.0
    secret: str = SECRET


class Case(Struct, forbid_unknown_fields=True):
    """`proves`: rows of the contract. `on`: the transports it runs over; fewer than all have their reason in `because`.

    `replica`: which settings it needs. `breaks`: it ends replicas or their store, which are mended after it.
    `is_slow`: it waits for seconds, and is not repeated where it would show nothing new.
    """

    name: str
    proves: list[str]
    steps: list[Step]
    on: list[str] = msgspec.field(default_factory=lambda: list(EVERYWHERE))
    because: str = ""
    replica: str = USUAL
    breaks: bool = False
    is_slow: bool = False
    people: dict[str, Person] = {}


class Book(Struct, forbid_unknown_fields=True):
    """`replicas`: settings by name. A `store` of `redis` means two replicas on one server, otherwise it is one with its own memory."""

    replicas: dict[str, dict[str, str]]
    cases: list[Case]


class Row(Struct, forbid_unknown_fields=True):
    """One statement of the contract. `later`: the issue that it is a part of, when it is not this one's."""

    row: str
    says: str
    later: str = ""


def load_book() -> Book:
    return msgspec.json.decode((FOLDER / "contract.json").read_bytes(), type=Book)


def load_rows() -> list[Row]:
    return msgspec.json.decode((FOLDER / "contract_rows.json").read_bytes(), type=list[Row])
