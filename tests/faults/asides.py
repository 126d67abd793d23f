"""What members of the crowd do beside reading on and publishing: they leaf back in the history, and change the session's state.

Owns these requests, over HTTP as anybody makes them, and their records. Must not know how a client is attached.
"""

import asyncio
import random
from typing import Final

import aiohttp
from msgspec import Raw, Struct, json
from tests.faults.archive import Leafed, Patched
from tests.faults.ledger import Ledger

EVERY_S: Final = 2.0  # between two of them in one session
PAGE: Final = 40
PAGES_MAX: Final = 3  # in a row
REPLY_S_MAX: Final = 5.0


class HistoryPage(Struct):
    events: list[Raw]
    before: str | None = None


class Aside:
    """`name`: who it is in the records."""

    def __init__(self, session: str, base: str, headers: dict[str, str], ledger: Ledger, rng: random.Random) -> None:
        self.name = f"aside-{session}"
        self._session = session
        self._base = base
        self._headers = headers
        self._ledger = ledger
        self._rng = rng
        self._patches = 0

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Until it is cancelled. Whatever is not answered is not insisted upon."""
        while True:
            await asyncio.sleep(EVERY_S * self._rng.uniform(0.5, 1.5))
            try:
                async with asyncio.timeout(REPLY_S_MAX):
                    await (self._leaf(http) if self._rng.random() < 0.5 else self._patch(http))
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass

    async def _leaf(self, http: aiohttp.ClientSession) -> None:
        before: str | None = None
        for _ in range(PAGES_MAX):
            archive = self._ledger.archive
            losses, known = archive.losses[self._session], archive.known(self._session)
            params = {"limit": str(PAGE)} | ({"before": before} if before is not None else {})
            async with http.get(f"{self._base}/history", params=params, headers=self._headers) as response:
                if response.status != 200:
                    return
                page = json.decode(await response.read(), type=HistoryPage)
            seq = int(before.split("-")[2]) if before is not None else None
            frames = tuple(bytes(raw) for raw in page.events)
            self._ledger.note(Leafed(self._ledger.now(), self._session, self.name, seq, losses, known, frames, page.before is None))
            before = page.before
            if before is None:
                return

    async def _patch(self, http: aiohttp.ClientSession) -> None:
        self._patches += 1
        losses, mark = self._ledger.archive.losses[self._session], f"{self.name}.{self._patches}"
        body = json.encode({"state": {"mark": mark}})  # the log keeps it as it is, spaces and all
        headers = {**self._headers, "Content-Type": "application/json"}
        async with http.patch(self._base, data=body, headers=headers) as response:
            if response.status == 200:
                self._ledger.note(Patched(self._ledger.now(), self._session, self.name, losses, f'"{mark}"'.encode()))
