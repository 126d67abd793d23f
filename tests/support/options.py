"""What a session layer is told when nothing is set: the defaults of the settings, to be changed by a test.

Owns the one construction of them. Must not know what a test is about.
"""

from dataclasses import replace
from typing import Any, Final

from anypod.hub.config import Arrivals, HubOptions
from anypod.redis_store import RedisOptions
from anypod.replica import hub_options, redis_options
from anypod.settings import Settings

SETTINGS: Final = Settings(store="memory", dev=True, host="127.0.0.1")
DEFAULTS: Final = hub_options(SETTINGS)
CONNECTIONS_MAX: Final = DEFAULTS.allowances.connections_max


def options(replica: str, **changes: Any) -> HubOptions:
    return replace(DEFAULTS, replica=replica, **changes)


def arrivals(**changes: float) -> Arrivals:
    return replace(DEFAULTS.arrivals, **changes)


def redis_options_of(url: str, **changes: Any) -> RedisOptions:
    return replace(redis_options(SETTINGS), url=url, url_now=None, sentinel_password_now=None, **changes)
