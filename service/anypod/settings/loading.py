"""Settings as the command line gets them.

Owns how a wrong setting becomes the command's failure. Must not know any setting.
"""

from collections.abc import Mapping

from anypod.core.errors import AnypodError
from anypod.settings import SettingError, Settings, load_settings


def settings_from(environ: Mapping[str, str] | None = None) -> Settings:
    """None: the environment of this process. Raises AnypodError with the one line that says what is wrong."""
    try:
        return load_settings() if environ is None else load_settings(environ)
    except SettingError as exc:
        raise AnypodError("malformed", str(exc)) from exc
