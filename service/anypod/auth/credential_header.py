"""What a request shows at the door: its credential or ticket and, if a browser sent it, its origin.

Owns where these may stand and which pages may connect. Must not know whether what is shown is good.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from anypod.core.errors import AnypodError

ANY_ORIGIN: Final = "*"
_CREDENTIAL_START: Final = "bearer."
_TICKET_START: Final = "ticket."
_PORTS: Final = {"http": 80, "https": 443}
_ORIGINS_MAX: Final = 256  # remembered taken apart: the pages of a deployment are few, and all of them come back at once
_ORIGIN_CHARS_MAX: Final = 280  # a name of 253 (RFC 1035), scheme and port: nothing longer is an origin, nor worth remembering


class Ticket(NamedTuple):
    """What stands for a credential once (`auth.tickets`)."""

    text: str


def credential_of(authorization: str | None, subprotocols: Sequence[str] = ()) -> str | Ticket:
    """The credential from the header or, for browsers, from the subprotocols of an upgrade; in either place it may be a ticket.

    Never from the query: an address ends up in the log of every proxy. Raises AnypodError `not_authenticated`.
    """
    if authorization is not None:
        scheme, _, shown = authorization.partition(" ")
        shown, scheme = shown.strip(), scheme.lower()
        if shown and scheme == "bearer":
            return shown
        if shown and scheme == "ticket":
            return Ticket(shown)
    else:
        for name in subprotocols:
            if name.startswith(_CREDENTIAL_START) and len(name) > len(_CREDENTIAL_START):
                return name.removeprefix(_CREDENTIAL_START)
            if name.startswith(_TICKET_START) and len(name) > len(_TICKET_START):
                return Ticket(name.removeprefix(_TICKET_START))
    raise AnypodError("not_authenticated", "there is no credential: send Authorization: Bearer <JWT>")


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """May a page of this origin connect; `host` is the request's Host header.

    1. No origin: not a browser's page, and a program could send any.
    2. The page comes from the host that it talks to. The scheme is not compared: TLS ends before us.
    3. The list names it, or a domain above it (`https://*.example.com`), or every origin (`*`).
    """
    if origin is None:
        return True
    origin = origin.lower()
    if ANY_ORIGIN in allowed or origin in allowed:
        return True
    parts = _split(origin)
    if parts is None:
        return False  # `null` too: a sandboxed or local page has no origin
    scheme, name, port = parts
    return _is_same_host(parts, host) or any(_covers(pattern, scheme, name, port) for pattern in allowed)


def _split(origin: str) -> tuple[str, str, int] | None:
    return _parts(origin) if len(origin) <= _ORIGIN_CHARS_MAX else None


@lru_cache(_ORIGINS_MAX)
def _parts(origin: str) -> tuple[str, str, int] | None:
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
