"""What a request shows at the door: its credential and, if a browser sent it, its origin.

Owns where a credential may stand and which pages may connect. Must not know whether the credential is good.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from anypod.core.errors import AnypodError

ANY_ORIGIN: Final = "*"
_SUBPROTOCOL_START: Final = "bearer."
_PORTS: Final = {"http": 80, "https": 443}


def credential_of(authorization: str | None, subprotocols: Sequence[str] = ()) -> str:
    """The credential from the header or, for browsers, from the subprotocols of an upgrade. Raises AnypodError `not_authenticated`.

    Never from the query: an address ends up in the log of every proxy.
    """
    if authorization is not None:
        scheme, _, credential = authorization.partition(" ")
        if scheme.lower() == "bearer" and credential.strip():
            return credential.strip()
    else:
        for name in subprotocols:
            if name.startswith(_SUBPROTOCOL_START) and len(name) > len(_SUBPROTOCOL_START):
                return name.removeprefix(_SUBPROTOCOL_START)
    raise AnypodError("not_authenticated", "there is no credential: send Authorization: Bearer <JWT>")


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """May a page of this origin connect; `host` is the request's Host header.

    1. No origin: not a browser's page, and a program could send any.
    2. The page comes from the host that it talks to. The scheme is not compared: TLS ends before us.
    3. The list names it, or a domain above it (`https://*.example.com`), or everybody (`*`).
    """
    if origin is None:
        return True
    origin = origin.lower()
    if ANY_ORIGIN in allowed or origin in allowed:
        return True
    parts = _split(origin)
    if parts is None:
        return False  # `null` too: a sandboxed or local page is nobody's
    scheme, name, port = parts
    return _is_same_host(parts, host) or any(_covers(pattern, scheme, name, port) for pattern in allowed)


def _split(origin: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(origin)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    is_bare = f"{parts.scheme}://{parts.netloc}" == origin and "@" not in origin
    return (parts.scheme, parts.hostname, port) if is_bare and parts.hostname else None


def _is_same_host(parts: tuple[str, str, int], host: str | None) -> bool:
    scheme, name, port = parts
    served = _split(f"{scheme}://{host.lower()}") if host else None
    return served is not None and served[1:] == (name, port)


def _covers(pattern: str, scheme: str, name: str, port: int) -> bool:
    start, _, domain = pattern.partition("*")
    served = _split(f"{start}{domain.removeprefix('.')}") if domain.startswith(".") else None
    return served is not None and (served[0], served[2]) == (scheme, port) and name.endswith("." + served[1])
