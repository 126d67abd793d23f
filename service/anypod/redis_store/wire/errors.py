"""What a reply of the server means.

Owns the translation of Redis' errors into AnypodError, and the types that replies are taken for. Must not know which call was answered.
"""

import logging
import re
from typing import Final

import hiredis

from anypod.core.errors import CODES, AnypodError, Code, unavailable
from anypod.redis_store.wire.connection import Reply

ERROR_CHARS_MAX: Final = 200  # of a server's message in our log: it may quote what it was sent

# Of an append that is in the log, and may be lost with the server: sent again by its id it is a duplicate, and waited for again.
UNCONFIRMED: Final = hiredis.ReplyError("UNCONFIRMED")
UNCONFIRMED_RETRY_MS: Final = 1_000

logger = logging.getLogger(__name__)

# The server cannot serve now, or no longer has our library: a new connection, which loads it, finds out.
_PASSING: Final = (
    "LOST",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "BUSY",
    "UNBLOCKED",
    "ERR Function not found",
)


# A node of a cluster does not serve the slot, or not for the moment. Nothing was carried out.
_MOVING: Final = ("MOVED ", "ASK ", "TRYAGAIN")


# A command that this user may not use, or that the server does not have under its name.
_DENIED: Final = re.compile(r"NOPERM|(ERR )?unknown (sub)?command|.* has no permissions to run the", re.DOTALL | re.IGNORECASE)


def is_denied(message: str) -> bool:
    return _DENIED.match(message) is not None


class SlotMovedError(Exception):
    """The same request may be repeated, here after a pause, or at the node that serves the slot by then."""


def is_moving(reply: Reply) -> bool:
    """Whether a node of a cluster has sent the request elsewhere."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_MOVING)


def is_passing(reply: Reply) -> bool:
    """Whether the same request may succeed on another connection."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_PASSING)


def translate(error: hiredis.ReplyError) -> AnypodError:
    """Of what we did not expect only the first word is told, the rest is for the log."""
    text = str(error)
    if text.startswith(_PASSING):
        return unavailable()
    if error is UNCONFIRMED:
        line = "it is logged, but not on as many disks or replicas of Redis as it must be; send it again under its id"
        return AnypodError("unavailable", line, retry_after_ms=UNCONFIRMED_RETRY_MS)
    if text.startswith("OOM"):
        return AnypodError("storage_full", retry_after_ms=5_000)
    logger.error("redis: a command was refused: %s", text[:ERROR_CHARS_MAX])
    return AnypodError("internal", f"the store refused a command: {text.split(' ', 1)[0]}")


def checked(reply: Reply) -> Reply:
    """The reply, unless it is an error of the server or a refusal, "!code message", of our functions."""
    if isinstance(reply, hiredis.ReplyError):
        raise translate(reply)
    if isinstance(reply, bytes) and reply.startswith(b"!"):
        raise refusal(reply)
    return reply


def found(reply: Reply) -> Reply:
    """The reply to a plain command about one key. Something of another type in its place is as good as nothing: None."""
    if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("WRONGTYPE"):
        return None
    return checked(reply)


def list_of(reply: Reply) -> list[Reply]:
    assert isinstance(reply, list)
    return reply


def text_of(reply: Reply) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()


def number_or_0(reply: Reply) -> int:
    """0 for an error, and for what is not there."""
    return reply if isinstance(reply, int) else 0


def refusal(reply: bytes) -> AnypodError:
    word, _, message = reply[1:].decode().partition(" ")
    code: Code = next(code for code in CODES if code == word)
    return unavailable(message) if code == "unavailable" else AnypodError(code, message)
