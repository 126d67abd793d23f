"""The forms that a setting's text may have.

Owns parsing of lists and addresses. Must not know which setting is parsed. Each raises ValueError with words for the operator.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from anypod.core.timing import Proxy

_ORIGIN: Final = re.compile(r"https?://(\*\.)?[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
IDLE_TIMEOUT_MS_MIN: Final = 400  # below that no heartbeat fits that is worth its frames
SECRET_BYTES_MIN: Final = 32  # RFC 7518, 3.2: as long as the hash
SECRETS_MAX: Final = 8  # a credential without a `kid` is tried with each; a rotation needs two
_NAMED_SECRET: Final = re.compile(r"kid=([!-~]{1,64}) +(.+)")


@dataclass(frozen=True, slots=True)
class KeySetSource:
    """Where an issuer publishes its keys; `issuer` None: credentials signed with them may name any issuer."""

    url: str
    issuer: str | None


class SigningSecret(NamedTuple):
    """`kid`: what credentials that are signed with it may name it."""

    secret: str
    kid: str | None = None


def parse_signing_secrets(text: str) -> tuple[SigningSecret, ...]:
    """One secret a line, each perhaps with a name before it: `kid=2026-11 THE-SECRET`."""
    found = tuple(_signing_secret(line) for line in map(str.strip, text.splitlines()) if line)
    if not 0 < len(found) <= SECRETS_MAX:
        raise ValueError(f"it should hold 1 to {SECRETS_MAX} secrets, one a line")
    return found


def _signing_secret(line: str) -> SigningSecret:
    named = _NAMED_SECRET.fullmatch(line)
    item = SigningSecret(named[2], named[1]) if named else SigningSecret(line)
    if len(item.secret.encode()) < SECRET_BYTES_MIN:
        raise ValueError(f"it should have at least {SECRET_BYTES_MIN} bytes; `openssl rand -base64 48` makes one")
    return item


def parse_items(value: object) -> object:
    """`a, b` as a tuple; anything but text is taken as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def parse_proxies(value: object) -> object:
    """`alb:60000,nginx:75000`: the proxies on the path and their idle timeouts in milliseconds."""
    if not isinstance(value, str):
        return value
    found = []
    for part in (part.strip() for part in value.split(",") if part.strip()):
        name, _, timeout = part.rpartition(":")
        if not name or not timeout.isdecimal():
            raise ValueError(f"{part!r} should be name:idle_timeout_ms, as in alb:60000")
        if int(timeout) < IDLE_TIMEOUT_MS_MIN:
            raise ValueError(f"the idle timeout of {name} should be in milliseconds and at least {IDLE_TIMEOUT_MS_MIN}")
        found.append(Proxy(name, int(timeout)))
    return tuple(found)


def parse_origin(text: str) -> str:
    """One origin of the allow-list: `https://app.example.com`, `https://*.example.com`, or `*` for every page."""
    lowered = text.lower().removesuffix("/")
    if lowered != "*" and not _ORIGIN.fullmatch(lowered):
        raise ValueError(f"{text!r} should be an origin such as https://app.example.com, https://*.example.com, or * alone")
    return lowered


def parse_key_set_source(text: str, issuer: str | None) -> KeySetSource:
    """`url`, or `issuer|url`."""
    before, bar, after = text.partition("|")
    source = KeySetSource(after.strip(), before.strip()) if bar else KeySetSource(text, issuer)
    parts = urlsplit(source.url)
    is_local = parts.hostname is not None and is_loopback(parts.hostname)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
        raise ValueError(f"{source.url!r} should be an https:// address: whoever can change it on the way can sign credentials")
    return source


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_password(url: str) -> str:
    """A URL to show: what stands before the @ may be a password."""
    scheme, separator, rest = url.partition("://")
    credentials, at, address = rest.rpartition("@")
    if not at:
        return url
    user = credentials.partition(":")[0]
    return f"{scheme}{separator}{user}:***@{address}"
