"""What members of the crowd do beside reading on and publishing: they leaf back in the history, change the session's state, and signal.

Owns these requests, over HTTP as anybody makes them, and their records. Must not know how a client is attached.
"""

import asyncio
import random
from contextlib import suppress
from typing import Final

import aiohttp
from msgspec import Raw, Struct, json
from tests.chaos.access import headers_for
from tests.chaos.archive import Leafed, Patched
from tests.chaos.ephemeral import Ephemeral
from tests.chaos.history import History

EVERY_S: Final = 2.0  # between two of them in one session
PAGE: Final = 40
PAGES_MAX: Final = 3  # in a row
REPLY_S_MAX: Final = 5.0


class HistoryPage(Struct):
    events: list[Raw]
    before: str | None = None


class SideWorkload:
    """`name`: who it is in the records."""

    def __init__(self, session: str, url: str, *, ledger: History, ephemeral: Ephemeral, rng: random.Random) -> None:
        self.name = f"aside-{session}"
        self.session = session
        self._base = f"{url}/v1/sessions/{session}"
        self._headers = headers_for(session)
        self._ledger = ledger
        self._ephemeral = ephemeral
        self._rng = rng
        self._marks = 0

    async def run(self, http: aiohttp.ClientSession, is_over: asyncio.Event) -> None:
        """Until it is over: what is asked then is answered first. A request without an answer is not repeated."""
        while not is_over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S * self._rng.uniform(0.5, 1.5)):
                    await is_over.wait()
                    return
            ask = self._rng.choice((self._leaf, self._patch, self.signal))
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(REPLY_S_MAX):
                    await ask(http)

    async def _leaf(self, http: aiohttp.ClientSession) -> None:
        before: str | None = None
        for _ in range(PAGES_MAX):
            archive = self._ledger.archive
            losses, known = archive.losses[self.session], archive.known(self.session)
            params = {"limit": str(PAGE)} | ({"before": before} if before is not None else {})
            async with http.get(f"{self._base}/history", params=params, headers=self._headers) as response:
                if response.status != 200:
                    return
                page = json.decode(await response.read(), type=HistoryPage)
            seq = int(before.split("-")[2]) if before is not None else None
            frames = tuple(bytes(raw) for raw in page.events)
            self._ledger.note(Leafed(self._ledger.now(), self.session, self.name, seq, losses, known, frames, page.before is None))
            before = page.before
            if before is None:
                return

    async def _patch(self, http: aiohttp.ClientSession) -> None:
        losses, mark = self._ledger.archive.losses[self.session], self._new_mark()
        body = json.encode({"state": {"mark": mark}})  # the log keeps it as it is, spaces and all
        headers = {**self._headers, "Content-Type": "application/json"}
        async with http.patch(self._base, data=body, headers=headers) as response:
            if response.status == 200:
                self._ledger.note(Patched(self._ledger.now(), self.session, self.name, losses, f'"{mark}"'.encode()))

    async def signal(self, http: aiohttp.ClientSession) -> str:
        """The mark of one that was sent, or perhaps was."""
        mark = self._new_mark()
        self._ephemeral.send(self.session, mark)
        body, headers = json.encode({"name": "mark", "data": mark}), {**self._headers, "Content-Type": "application/json"}
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(REPLY_S_MAX), http.post(f"{self._base}/signals", data=body, headers=headers) as response:
                await response.read()
        return mark

    def _new_mark(self) -> str:
        self._marks += 1
        return f"{self.name}.{self._marks}"
