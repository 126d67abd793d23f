"""The settings as a table: for `anypod config` and for the reference.

Owns what is shown of each and what is masked. Must not know how it is printed.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from anypod.core.timing import Proxy
from anypod.settings.environment import FILE_END, FROM_FILES, variable
from anypod.settings.formats import without_password
from anypod.settings.settings import Settings

MASK: Final = "***"
_UNIT: Final = re.compile(r".*?_(per_s|bytes|ms|s)(_max)?")

Source = Literal["default", "environment", "file"]


class SettingRow(NamedTuple):
    """One setting. `variables`: its own and, for a secret, the one that names a file."""

    name: str
    variables: tuple[str, ...]
    value: str
    default: str
    unit: str
    source: Source
    meaning: str


def setting_rows(settings: Settings) -> Sequence[SettingRow]:
    """All settings there are, secrets masked."""
    return [_row(name, field, settings) for name, field in Settings.model_fields.items()]


def _row(name: str, field: FieldInfo, settings: Settings) -> SettingRow:
    own = variable(name)
    return SettingRow(
        name=name,
        variables=(own, own + FILE_END) if name in FROM_FILES else (own,),
        value=_shown(getattr(settings, name)),
        default="the host's name" if field.default_factory else _shown(field.default),
        unit=_unit(name),
        source=_source(name, settings),
        meaning=field.description or "",
    )


def _source(name: str, settings: Settings) -> Source:
    if name in settings.names_from_files:
        return "file"
    return "environment" if name in settings.model_fields_set else "default"


def _unit(name: str) -> str:
    match = _UNIT.fullmatch(name)
    return match[1].replace("per_s", "1/s") if match else ""


def _shown(value: object) -> str:
    match value:
        case tuple():
            return ",".join(map(_shown, value))
        case dict():
            return " ".join(f"{name}({_shown(fields)})" for name, fields in value.items())
        case BaseModel():
            return ",".join(f"{name}={_shown(field)}" for name, field in value if field is not None)
        case Proxy(name, idle_timeout_ms):
            return f"{name}:{idle_timeout_ms}"
        case _:
            return _shown_alone(value)


def _shown_alone(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return MASK
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return without_password(str(value))
