"""One person attached to one session, whatever the transport.

Owns what every transport's driver offers to a case, and what a frame of the contract does to a client. Must not know cases.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

import aiohttp
from tests.protocol.applied import Applied, Frame
from tests.protocol.inbox import Inbox

from anypod.core.errors import CODES

T = TypeVar("T")
DONE: Final = "done"  # the end of a log that was closed: no error

_NAMES: Final[dict[int | None, str]] = {row.close: code for code, row in reversed(CODES.items()) if row.close is not None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody comes to: the replica's URL and the session's name, and with which credential."""

    http: aiohttp.ClientSession
    url: str
    admin_url: str
    session: str
    credential: str

    @property
    def base(self) -> str:
        return f"{self.url}/v1/sessions/{self.session}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credential}"}


class Attachment(ABC):
    """`opening`: what the client was told first. `ended`: how it ended, a code of the table or `done`."""

    asks: ClassVar[frozenset[str]]  # what this transport can ask for when it attaches
    not_told: ClassVar[frozenset[str]] = frozenset()  # what of an opening this transport does not tell

    def __init__(self, place: Place) -> None:
        self.place = place
        self.applied = Applied()
        self.inbox = Inbox()
        self.opening: Frame | None = None
        self.ended: str | None = None
        self.is_synced = False
        self.frames: list[Frame] = []
        self.texts: list[str] = []  # of events, as they came
        self.failure: AssertionError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def cursor(self) -> str | None:
        return self.applied.cursor

    # What a case may do.

    @abstractmethod
    async def open(self, ask: Mapping[str, Any]) -> None:
        """Attach; return when there is an opening or an end."""

    @abstractmethod
    async def publish(self, event: Mapping[str, Any]) -> Frame: ...

    @abstractmethod
    async def patch(self, patch: Mapping[str, Any]) -> Frame: ...

    @abstractmethod
    async def history(self, ask: Mapping[str, Any]) -> Frame: ...

    @abstractmethod
    async def signal(self, signal: Mapping[str, Any]) -> Frame: ...

    async def leave(self) -> None:
        """Give the connection up, and fail if something was wrong with what came."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.check()

    @property
    def transport(self) -> asyncio.Transport:
        """The connection itself, for a case that stops reading."""
        raise AssertionError("this transport cannot stop reading")

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def until(self, find: Callable[[], T | None], what: str) -> T:
        def checked() -> T | None:
            self.check()
            return find()

        try:
            return await self.inbox.until(checked, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; it has ended: {self.ended}" if self.ended else str(error)) from None

    # What a driver does.

    def run(self, reading: "asyncio.Task[None]") -> None:
        self._task = reading

    async def guarded(self, read: Callable[[], Any]) -> None:
        """Read until the end; what contradicts the contract fails the case, not only this task."""
        try:
            await read()
        except AssertionError as error:
            self.failure = error
        finally:
            self.inbox.tell()

    def take(self, frame: Frame) -> None:
        """A frame of the contract, as every transport brings it."""
        self.frames.append(frame | {"arrived_s": time.monotonic()})
        match frame["type"]:
            case "session.created" | "session.restored":
                self.opening = frame
                self.applied.begin(frame.get("after_seq"))
                self.applied.fold(frame["folded"])
            case "session.reset":
                self.applied.reset(frame)
            case "session.closed":
                self.applied.closed(frame)
            case "event":
                self.applied.event(frame)
            case "sync.done":
                self.applied.fold(frame["folded"])
                self.applied.reach(frame["cursor"])
                self.is_synced = True
            case "heartbeat":
                self.applied.fold(frame.get("folded", 0))
            case _:
                pass  # looked for by its type
        self.inbox.tell()

    def end(self, code: str) -> None:
        if self.ended is None:
            self.ended = code
        self.inbox.tell()

    def first(self, kind: str, ref: object = None) -> Frame | None:
        """The first frame of this type that no step has looked at."""
        for index, frame in enumerate(self.frames):
            if frame["type"] == kind and (ref is None or frame.get("ref") == ref):
                return self.frames.pop(index)
        return None


def name_of_close(code: int | None) -> str:
    """The code of the table that a close code stands for; several may share one, then it is the first."""
    if code == 1000:
        return DONE
    return _NAMES.get(code, str(code))
