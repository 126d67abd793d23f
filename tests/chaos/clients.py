"""A crowd of clients: who they are, where they read, and whether all is well with them.

Owns the clients and their publishing. Must not know what is done to the cluster.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from tests.chaos.access import credential_for
from tests.chaos.client_recorder import ClientRecorder
from tests.chaos.ephemeral import Ephemeral
from tests.chaos.history import History
from tests.chaos.library import LibraryClient
from tests.chaos.reference_client import Around, ReferenceClient
from tests.chaos.side_workload import SideWorkload
from tests.chaos.speech import PARTS_EVERY, messages, parts
from tests.chaos.transports import PollClient, SseClient, WebsocketClient

from anypod.client import open_http
from anypod.client.types import Transport

SETTLE_S_MAX: Final = 60.0  # after the last fault everybody has everything within this time
POLL_S: Final = 0.1
ROLL_CALL_S: Final = 2.0  # between two signals when all is calm
START_S: Final = 3.0  # over which clients come: a crowd is no storm, unless a row makes it one

Client = ReferenceClient | LibraryClient


@dataclass(frozen=True, slots=True)
class Group:
    """`count` clients of one kind in one session, each of which publishes every `every_s`. `is_library`: through the client library."""

    session: str
    count: int
    transport: Transport
    is_library: bool
    every_s: float


def groups(rate: float = 1.0) -> tuple[Group, ...]:
    """Two halls where each event goes to many, and rooms with every kind of client. A higher `rate` publishes more often."""
    often, seldom = 0.4 / rate, 0.6 / rate
    halls = (
        Group("hall-0", 12, "websocket", True, often),
        Group("hall-0", 14, "websocket", False, often),
        Group("hall-0", 6, "sse", False, often),
        Group("hall-1", 4, "websocket", True, often),
        Group("hall-1", 4, "sse", True, often),
        Group("hall-1", 8, "websocket", False, often),
        Group("hall-1", 2, "poll", False, often),
    )
    kinds: tuple[tuple[Transport, bool], ...] = (("websocket", True), ("sse", True), ("poll", True), ("sse", False), ("poll", False))
    rooms = (Group(f"room-{number}", 1, transport, is_library, seldom) for number in range(3) for transport, is_library in kinds)
    return (*halls, *rooms)


class Clients:
    def __init__(self, url: Callable[[str], str], ledger: History, rng: random.Random, members: tuple[Group, ...]) -> None:
        self._url = url
        self._ledger = ledger
        self._rng = rng
        self._groups = members
        self.clients: list[Client] = []
        self.ephemeral = Ephemeral()

    @asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """All are there inside, reading and publishing; at the end they have had the time to come to rest."""
        self._is_over = asyncio.Event()
        async with open_http() as http:
            around = Around(http, self._url, credential_for, self._rng, self._is_over, self.ephemeral)
            self._tasks = tasks = list[asyncio.Future[None]]()
            publishing: list[asyncio.Future[None]] = []
            asides = self._asides()
            asking: list[asyncio.Future[None]] = []
            try:
                for client, every_s in self._made(around):
                    tasks.append(asyncio.ensure_future(client.run()))
                    publishing.append(asyncio.ensure_future(self._publish(client, every_s)))
                    await asyncio.sleep(START_S / 60)
                asking += [asyncio.ensure_future(aside.run(http, self._is_over)) for aside in asides]
                tasks += asking
                yield
                self._is_over.set()
                # What is logged after the last look at the log would seem to be lost.
                await asyncio.wait([*publishing, *asking], timeout=SETTLE_S_MAX)
                await self.until(self._has_settled, SETTLE_S_MAX)
                await self._settle_ephemeral(http, asides)
            finally:
                for task in (*tasks, *publishing):
                    task.cancel()
                await asyncio.gather(*tasks, *publishing, return_exceptions=True)

    async def _settle_ephemeral(self, http: aiohttp.ClientSession, asides: list[SideWorkload]) -> None:
        """A signal to every session again and again, until every member has heard one and sees who is there."""
        marks: dict[str, set[str]] = {aside.session: set() for aside in asides}
        give_up_at = self._ledger.now() + SETTLE_S_MAX
        while (self.ephemeral.who_lacks(marks) or self.ephemeral.who_is_wrong()) and self._ledger.now() < give_up_at:
            for aside in asides:
                marks[aside.session].add(await aside.signal(http))
            await self.until(lambda: not (self.ephemeral.who_lacks(marks) or self.ephemeral.who_is_wrong()), ROLL_CALL_S)
        self.ephemeral.conclude(self.ephemeral.who_lacks(marks))

    async def _publish(self, client: Client, every_s: float) -> None:
        """One event after the other, from when the client is attached, which makes its session, until it is over. What ends a part comes
        after all of it."""
        await self._until_live(client)
        name = client.pen.name
        speech = parts(name) if self.clients.index(client) % PARTS_EVERY == 0 else messages(name)
        for count, draft in enumerate(speech, 1):
            if draft.replaces is not None:
                await self._until_settled(client)
            if self._is_over.is_set():
                return
            await client.publish(f"{name}.{count}", draft)
            await asyncio.sleep(every_s * self._rng.uniform(0.5, 1.5))

    async def _until_live(self, client: Client) -> None:
        while not client.pen.is_live and not self._is_over.is_set():  # noqa: ASYNC110 - the same
            await asyncio.sleep(POLL_S)

    async def _until_settled(self, client: Client) -> None:
        while client.pen.unsettled and not self._is_over.is_set():  # noqa: ASYNC110 - answers come to the pen, which wakes nobody
            await asyncio.sleep(POLL_S)

    def _asides(self) -> list[SideWorkload]:
        sessions = sorted({group.session for group in self._groups})
        return [SideWorkload(name, self._url(name), ledger=self._ledger, ephemeral=self.ephemeral, rng=self._rng) for name in sessions]

    def _made(self, around: Around) -> list[tuple[Client, float]]:
        made = []
        for number, group in enumerate(self._groups):
            for index in range(group.count):
                pen = ClientRecorder(f"c{number}-{index}", group.session, group.transport, self._ledger)
                made.append((_client(pen, around, group), group.every_s))
        self.clients = [client for client, _ in made]
        return made

    @property
    def delivered(self) -> int:
        return sum(client.pen.delivered for client in self.clients)

    def is_well(self, since: float, heads: dict[str, int]) -> bool:
        """Everybody is up to date, has what the log had then, and has published since."""
        return all(
            client.pen.is_live and client.pen.seq >= heads.get(client.pen.session, 0) and client.pen.acknowledged_at > since
            for client in self.clients
        )

    def unwell(self, since: float, heads: dict[str, int]) -> list[str]:
        """For a person: who is not, and why."""
        pens = [client.pen for client in self.clients]
        return [
            f"{pen.name} ({pen.transport}, {pen.session}): live={pen.is_live} seq={pen.seq}/{heads.get(pen.session, 0)} "
            f"acknowledged={pen.acknowledged_at > since} unsettled={len(pen.unsettled)} answers={pen.answers}"
            for pen in pens
            if not (pen.is_live and pen.seq >= heads.get(pen.session, 0) and pen.acknowledged_at > since)
        ]

    async def until(self, is_so: Callable[[], bool], s_max: float) -> bool:
        """False: not within that time. Raises what a member of the crowd has died of."""
        give_up_at = self._ledger.now() + s_max
        while not is_so():
            for task in self._tasks:
                if task.done():
                    task.result()
            if self._ledger.now() > give_up_at:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _has_settled(self) -> bool:
        self._ledger.settle()
        return all(
            client.pen.is_live and not client.pen.unsettled and client.pen.seq == self._ledger.head(client.pen.session)
            for client in self.clients
        )


def _client(pen: ClientRecorder, around: Around, group: Group) -> Client:
    if group.is_library:
        return LibraryClient(pen, around, group.transport)
    kinds: dict[Transport, type[ReferenceClient]] = {"websocket": WebsocketClient, "sse": SseClient, "poll": PollClient}
    return kinds[group.transport](pen, around)
