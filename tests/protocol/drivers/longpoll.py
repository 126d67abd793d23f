"""The driver of the long-poll, written from the contract: publishing goes by HTTP.

Owns the requests, one after the other. Must not know cases.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Raw, Struct
from tests.protocol.applied import Frame
from tests.protocol.asking import ByHttp, ask, problem_of
from tests.protocol.attachment import DONE, Attachment, Place

FIRST_WAIT_S: Final = 0.05  # whoever attaches wants to know what there is
WAIT_S: Final = 30
START: Final = "start"


class _Page(Struct):
    """`closed`: the log ends here."""

    events: list[Raw]
    cursor: str
    folded: int
    more: bool
    closed: bool = False


_decode_page: Final = msgspec.json.Decoder(_Page).decode


class PollAttachment(ByHttp, Attachment):
    asks = frozenset({"after", "fold"})
    not_told = frozenset(
        {"type", "missed", "resumed_at", "replica", "ref"}
    )  # there is no frame that opens a poll; its first page and the session's page tell the rest

    def __init__(self, place: Place) -> None:
        Attachment.__init__(self, place)
        ByHttp.__init__(self, place)
        self._query: dict[str, str] = {}

    async def open(self, asked: Mapping[str, Any]) -> None:
        self._query = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in asked.items()}
        self.run(asyncio.create_task(self.guarded(self._read)))
        await self.until(lambda: self.opening or self.ended, "a first page")

    async def _read(self) -> None:
        wait_s: float = FIRST_WAIT_S
        try:
            while self.ended is None:
                page = await self._page(wait_s)
                if page is None:
                    continue  # it has ended, or begins again
                self._turn(page)
                if self.opening is None:
                    self.opening = (await ask(self.place, {}))["body"] | {"folded": page.folded}
                    self.inbox.tell()
                wait_s = WAIT_S
        except aiohttp.ClientError:
            self.end("1006")

    async def _page(self, wait_s: float) -> _Page | None:
        query = {**self._query, "wait": f"{wait_s:g}"}
        async with self.place.http.get(f"{self.place.base}/events", params=query, headers=self.place.headers) as response:
            if response.status == 200:
                return _decode_page(await response.read())
            problem = await problem_of(response)
        if problem["code"] != "cursor_gone":
            self.end(problem["code"])
        else:
            self._begin_again(problem)
        return None

    def _begin_again(self, problem: Frame) -> None:
        """From the last place that is shared with the log, otherwise from its beginning, folded."""
        self.take({name: value for name, value in problem.items() if name not in ("title", "status", "code", "detail")})
        common = problem.get("common")
        self._query = {"after": common} if common is not None else {"after": START, "fold": "true"}

    def _turn(self, page: _Page) -> None:
        self.applied.fold(page.folded)
        for event in page.events:
            self.texts.append(bytes(event).decode())
            self.take(msgspec.json.decode(event))
        self._query = {"after": page.cursor}
        self.applied.reach(page.cursor)
        if page.closed and not page.more:
            self.take({"type": "session.closed", "cursor": page.cursor})
            self.end(DONE)
        self.is_synced = self.is_synced or not page.more
        self.inbox.tell()
