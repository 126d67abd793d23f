"""How a replica is set up: read from the environment once, checked, and never changed afterwards; but secrets in files are read again."""

from anypod.settings.classes import ClassSettings
from anypod.settings.environment import SettingError, load_settings
from anypod.settings.files import file_marks
from anypod.settings.formats import SECRET_BYTES_MIN, KeySetSource, SigningSecret
from anypod.settings.settings import DEV_SECRET, Algorithm, Settings
from anypod.settings.table import SettingRow, setting_rows

__all__ = [
    "DEV_SECRET",
    "SECRET_BYTES_MIN",
    "Algorithm",
    "ClassSettings",
    "KeySetSource",
    "SettingError",
    "SettingRow",
    "Settings",
    "SigningSecret",
    "file_marks",
    "load_settings",
    "setting_rows",
]
