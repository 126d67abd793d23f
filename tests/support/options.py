"""What a session layer is told when nothing is set: the defaults of the settings, to be changed by a test.

Owns the one construction of them. Must not know what a test is about.
"""

from dataclasses import replace
from typing import Any, Final

from anypod.hub.config import Arrivals, HubOptions
from anypod.replica import hub_options
from anypod.settings import Settings

DEFAULTS: Final = hub_options(Settings(store="memory", dev=True, host="127.0.0.1"))
CONNECTIONS_MAX: Final = DEFAULTS.allowances.connections_max


def options(replica: str, **changes: Any) -> HubOptions:
    return replace(DEFAULTS, replica=replica, **changes)


def arrivals(**changes: float) -> Arrivals:
    return replace(DEFAULTS.arrivals, **changes)
