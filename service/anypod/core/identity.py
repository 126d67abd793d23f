"""Names: which are well formed, and how a session's name becomes a partition.

Owns patterns and the partition formula. Must not know what a name gives access to.
"""

import re
from base64 import b32encode
from hashlib import blake2b
from typing import Final, NamedTuple, NewType

TenantId = NewType("TenantId", str)
SessionId = NewType("SessionId", str)
Subject = NewType("Subject", str)

PARTITIONS: Final = 256
SESSION_ID_BYTES: Final = 20  # 160 random bits: not to be guessed, and 32 base32 letters without padding
SUBJECT_CHARS_MAX: Final = 256
NAME_CHARS_MAX: Final = 64

_TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class SessionKey(NamedTuple):
    """The full name of a session. Neither half contains a slash, so that the two joined by one name it alone."""

    tenant: TenantId
    session: SessionId


# Ids of events, sessions, turns, parts, devices and kinds: 1 to 64 of these, safe in JSON, in a URL and in a key. Asked for every
# event, so it is the pattern's own method; what it returns is true for a name.
is_name: Final = re.compile(rf"[A-Za-z0-9_.:-]{{1,{NAME_CHARS_MAX}}}").fullmatch


def is_tenant(text: str) -> bool:
    return _TENANT.fullmatch(text) is not None


def new_session_id(entropy: bytes) -> SessionId:
    """An unguessable name, from SESSION_ID_BYTES of entropy."""
    assert len(entropy) == SESSION_ID_BYTES
    return SessionId(b32encode(entropy).decode().lower())


def partition(key: SessionKey) -> int:
    """0 … PARTITIONS - 1, even over any set of names (BLAKE2b, RFC 7693)."""
    return blake2b(f"{key.tenant}/{key.session}".encode(), digest_size=1).digest()[0]
