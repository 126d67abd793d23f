"""Read the settings from environment variables, and secrets from the files that they name.

Owns the names of variables and the one line that tells what is wrong with them. Must not know what a setting means.
Nothing else in the product reads the environment.
"""

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from anypod.settings.files import FileError, read_text
from anypod.settings.settings import Settings

PREFIX: Final = "ANYPOD_"
FILE_END: Final = "_FILE"
OPTIONAL_FILES: Final = frozenset({"jwt_previous_secret"})  # a file that is not there, or not yet, is no mistake
FROM_FILES: Final = OPTIONAL_FILES | {
    "redis_url",
    "redis_password",
    "redis_sentinel_password",
    "jwt_secret",
}  # those that may hold a secret
SHOWN_CHARS_MAX: Final = 80  # of a wrong value: enough to recognise it

# Variables that are no mistake although they are no setting: those of our tests, and those that Kubernetes gives
# to every pod for a service whose name begins with `anypod` (ANYPOD_SERVICE_HOST, ANYPOD_PORT=tcp://10.0.0.7:80 …).
_BESIDE: Final = re.compile(rf"{PREFIX}(TEST_.*|(.+_)?SERVICE_HOST|(.+_)?SERVICE_PORT(_.+)?|(.+_)?PORT_[0-9]+_(TCP|UDP|SCTP)(_.+)?)")
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")


class SettingError(Exception):
    """A setting cannot be used. The text is one line: which variable, what is wrong with it, and what to do."""


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingError."""
    given = {name.upper(): value for name, value in environ.items() if name.upper().startswith(PREFIX) and value}
    given = {name: value for name, value in given.items() if not _is_beside(name, value)}
    _refuse_unknown(given)
    paths = {name: given[variable(name) + FILE_END] for name in FROM_FILES if variable(name) + FILE_END in given}
    read = {variable(name): text for name in paths if (text := _read(name, given)) is not None}
    values = given | read
    try:
        source = EnvSettingsSource(Settings)
        source.env_vars = {name.lower(): value for name, value in values.items()}
        return Settings(**source()).read_from_files(paths, OPTIONAL_FILES)
    except SettingsError as exc:
        raise SettingError(_json_line(exc, values)) from exc
    except ValidationError as exc:
        raise SettingError(_line(exc, values)) from None  # its text quotes values, and so secrets


def variable(setting: str) -> str:
    return PREFIX + setting.upper()


def _is_beside(name: str, value: str) -> bool:
    return _BESIDE.fullmatch(name) is not None or (name.endswith("PORT") and _LINK_VALUE.fullmatch(value) is not None)


def _refuse_unknown(names: Iterable[str]) -> None:
    known = {variable(name) for name in Settings.model_fields} | {variable(name) + FILE_END for name in FROM_FILES}
    for name in sorted(names):
        if name not in known:
            nearest = get_close_matches(name, sorted(known), n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else "`anypod config` lists all there are."
            raise SettingError(f"{name} is not a setting: {hint}")


def _read(setting: str, given: Mapping[str, str]) -> str | None:
    """None: it is not there, and need not be."""
    beside = variable(setting)
    name = beside + FILE_END
    if beside in given:
        raise SettingError(f"{beside} and {name} are both set: unset one of them")
    if setting in OPTIONAL_FILES and not Path(given[name]).exists():
        return None
    try:
        return read_text(given[name])
    except FileError as exc:
        raise SettingError(f"{name}={given[name]} {exc}") from exc


def _json_line(error: SettingsError, values: Mapping[str, str]) -> str:
    name = next(name for name in sorted(values) if f'"{name.removeprefix(PREFIX).lower()}"' in str(error))
    return f"{name} is wrong: it should be JSON"


def _line(error: ValidationError, values: Mapping[str, str]) -> str:
    """The first thing that is wrong; the next start tells the next."""
    first = error.errors(include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    setting, *inner = map(str, first["loc"])
    name = variable(setting)
    shown = name if setting in FROM_FILES or name not in values else f"{name}={_short(values[name])}"
    place = f" at {'.'.join(inner)}" if inner else ""
    return f"{shown} is wrong{place}: {message[0].lower()}{message[1:]}. {Settings.model_fields[setting].description}"


def _short(value: str) -> str:
    return value if value.isprintable() and len(value) <= SHOWN_CHARS_MAX else f"{ascii(value)[:SHOWN_CHARS_MAX]}…"
