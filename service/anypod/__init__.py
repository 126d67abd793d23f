"""anypod: sessions that reconnect to any pod and lose nothing. What an application imports, each loaded when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from anypod.version import __version__

if TYPE_CHECKING:
    from anypod.auth.principal import Principal
    from anypod.client.session import Session
    from anypod.core.errors import AnypodError
    from anypod.embed import SessionService, mount
    from anypod.settings import Settings, load_settings

__all__ = ["AnypodError", "Principal", "Session", "SessionService", "Settings", "__version__", "load_settings", "mount"]

_MODULES: Final = {
    "AnypodError": "anypod.core.errors",
    "Principal": "anypod.auth.principal",
    "Session": "anypod.client.session",
    "SessionService": "anypod.embed",
    "Settings": "anypod.settings",
    "load_settings": "anypod.settings",
    "mount": "anypod.embed",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
