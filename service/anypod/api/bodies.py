"""Bodies of requests: read within a limit, decoded and checked at the edge.

Owns their shapes. Must not know what is done with them.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec
from fastapi import Request
from msgspec import UNSET, Raw, Struct, UnsetType
from starlette.requests import ClientDisconnect

from anypod.core import frames
from anypod.core.byte_budget import RETRY_MS, ByteBudget
from anypod.core.errors import AnypodError
from anypod.core.patch import parse_object

LIST_MAX: Final = 100  # events of one atomic list
METADATA_BYTES: Final = 65_536
BODIES_BYTES_MAX: Final = 32 << 20  # of all requests under way: thirty of the largest, thousands of usual ones

_T = TypeVar("_T")


class EventBody(Struct, kw_only=True):
    """One event to publish; `data_base64` instead of `data` for bytes."""

    kind: str
    id: str | None = None
    data: Raw | UnsetType = UNSET
    data_base64: bytes | None = None
    turn: str | None = None
    fence: int | None = None
    attempt: int | None = None
    part: str | None = None
    replaces: str | None = None
    intent: str | None = None
    on_busy: str | None = None
    traceparent: str | None = None

    def as_frame(self, event_id: str) -> frames.PublishFrame:
        names = ("kind", "data", "turn", "fence", "attempt", "part", "replaces", "intent", "on_busy", "traceparent")
        return frames.PublishFrame(id=event_id, **{name: getattr(self, name) for name in names})


class SessionBody(Struct, kw_only=True):
    """A session to create; objects in JSON."""

    session_id: str | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    state: Raw | UnsetType = UNSET
    live: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET


class PatchBody(Struct, kw_only=True):
    """Merge patches (RFC 7396)."""

    state: Raw | UnsetType = UNSET
    live: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET


class SignalBody(Struct, kw_only=True):
    name: str
    data: Raw | UnsetType = UNSET
    to: str | None = None


class Bodies:
    """The bodies that are being read, of all requests: beyond BODIES_BYTES_MAX the one that began first gives way."""

    def __init__(self) -> None:
        self.held: ByteBudget[asyncio.Timeout] = ByteBudget(BODIES_BYTES_MAX)

    async def read(self, request: Request, bytes_max: int) -> bytes:
        """Raises AnypodError `too_large`, before the rest of the body has come, `malformed` when that never does, and `overloaded`."""
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdecimal() and int(declared) > bytes_max:
            raise _too_large(bytes_max)
        async with asyncio.timeout(None) as until:
            try:
                return await self._read(request, bytes_max, until)
            except asyncio.CancelledError as exc:
                if until.when() is None:
                    raise
                raise AnypodError("overloaded", "too many bodies come too slowly", retry_after_ms=RETRY_MS) from exc
            finally:
                self.held.drop(until)

    async def _read(self, request: Request, bytes_max: int, until: asyncio.Timeout) -> bytes:
        chunks, size = list[bytes](), 0
        async for chunk in _chunks(request):
            size += len(chunk)
            if size > bytes_max:
                raise _too_large(bytes_max)
            chunks.append(chunk)
            for oldest in self.held.note(until, size):
                oldest.reschedule(0)
        return b"".join(chunks)


def _too_large(bytes_max: int) -> AnypodError:
    return AnypodError("too_large", f"the body is at most {bytes_max} bytes")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as exc:
        raise AnypodError("malformed", "the client left before the end of the body") from exc


def decode(text: bytes, shape: type[_T]) -> _T:
    """Raises AnypodError `malformed`, naming what is wrong without quoting it."""
    try:
        text.decode()
        return msgspec.json.decode(text, type=shape)
    except UnicodeDecodeError as exc:
        raise AnypodError("malformed", "the body is not UTF-8") from exc
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise AnypodError("malformed", str(exc)[:200]) from exc


def decode_events(text: bytes) -> list[EventBody]:
    """One event or a list of them. Raises AnypodError `malformed`."""
    if text.lstrip()[:1] != b"[":
        return [decode(text, EventBody)]
    bodies = decode(text, list[EventBody])
    if not 0 < len(bodies) <= LIST_MAX:
        raise AnypodError("malformed", f"a list holds 1 to {LIST_MAX} events")
    return bodies


def objects(*texts: Raw | UnsetType) -> list[bytes]:
    """Compact JSON objects, each within METADATA_BYTES; empty where none is given. Raises AnypodError."""
    made = [b"{}" if text is UNSET else msgspec.json.encode(parse_object(bytes(text))) for text in texts]
    if any(len(text) > METADATA_BYTES for text in made):
        raise AnypodError("too_large", f"state, live and metadata are at most {METADATA_BYTES} bytes each")
    return made
