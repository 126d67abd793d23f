"""How a replica is set up: read from the environment once, checked, and never changed afterwards."""

from anypod.settings.classes import ClassSettings
from anypod.settings.environment import SettingError, load_settings
from anypod.settings.formats import KeySetSource
from anypod.settings.settings import DEV_SECRET, SECRET_BYTES_MIN, Algorithm, Settings
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
    "load_settings",
    "setting_rows",
]
