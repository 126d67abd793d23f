"""A crowd of real clients on a real cluster, and what they saw.

Owns the clients, what they publish, and the comparison at the end. Must not know what is done to the cluster meanwhile.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

import aiohttp

from anypod.client import Attached, Event, Phase, Session, open_http
from anypod.client.io.runner import Credential
from anypod.clock import SystemClock
from anypod.core.statistics import percentile
from anypod.devcluster.credentials import reader_credential

PUBLISH_EVERY_S: Final = 0.25  # by each client
SETTLE_S_MAX: Final = 60.0  # after the last fault everybody has everything within this time
POLL_S: Final = 0.05
TRANSPORTS: Final = ("websocket", "sse", "poll")


@dataclass
class Member:
    """One client: what it read, and when it was last up to date. `recoveries_s`: from being cut until then.

    `attached`: when, and to which replica, as it was told; a poll is told nothing. `closed`: when, with which code.
    """

    session: Session
    transport: str
    seqs: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)
    phase: str = ""
    cut_at: float | None = None
    recoveries_s: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    attached: list[tuple[float, str]] = field(default_factory=list)
    closed: list[tuple[float, int | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    clients: int
    acknowledged: int
    delivered: int
    lost: int
    duplicated: int
    gaps: int
    resets: int
    recoveries_s: tuple[float, ...]
    by_transport: dict[str, tuple[float, ...]]

    def __str__(self) -> str:
        times = (
            f"p50 {percentile(self.recoveries_s, 50):.2f} s, p95 {percentile(self.recoveries_s, 95):.2f} s" if self.recoveries_s else "none"
        )
        apart = "".join(f"; {name} p95 {percentile(took, 95):.2f} s" for name, took in self.by_transport.items() if took)
        return (
            f"{self.clients} clients, {self.acknowledged} events acknowledged, {self.delivered} deliveries: "
            f"{self.lost} lost, {self.duplicated} duplicated, {self.gaps} gaps, {self.resets} resets; "
            f"{len(self.recoveries_s)} recoveries, {times}{apart}"
        )

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.gaps or self.resets)


class Crowd:
    """`clients` spread over `sessions` and over the transports in turn. `credential`: for a session's name."""

    def __init__(
        self,
        url: Callable[[], str],
        clients: int,
        sessions: int,
        name: str,
        *,
        credential: Callable[[str], Credential] = reader_credential,
        publish_every_s: float = PUBLISH_EVERY_S,
    ) -> None:
        self._clock = SystemClock()
        self._credential = credential
        self._publish_every_s = publish_every_s
        self._is_over = False
        self._url = url
        self._plan = [
            (f"{name}-{index % sessions}", transport) for index, transport in zip(range(clients), cycle(TRANSPORTS), strict=False)
        ]
        self.members: list[Member] = []

    async def run(self, disturb: Callable[[], "asyncio.Future[None] | asyncio.Task[None]"]) -> Outcome:
        """Everybody attaches, reads and publishes while `disturb` runs, and then until all have everything."""
        async with open_http() as http, asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(self._read(http, *place)) for place in self._plan]
            await self._until(lambda: len(self.members) == len(self._plan) and all(one.phase == "live" for one in self.members))
            publishing = [tasks.create_task(self._publish(member, index)) for index, member in enumerate(self.members)]
            await disturb()
            self._is_over = True
            await asyncio.wait(publishing)
            await self._until(self._has_settled)
            for task in reading:
                task.cancel()
        return self._outcome()

    async def _read(self, http: aiohttp.ClientSession, session_id: str, transport: str) -> None:
        member: Member | None = None

        def note(phase: Phase) -> None:
            if member is not None:
                self._note(member, phase)

        def note_attached(attached: Attached) -> None:
            if member is not None:
                member.attached.append((self._clock.now(), attached.replica))

        session = Session(
            self._url(),
            session_id,
            credential=self._credential(session_id),
            transport=transport,  # type: ignore[arg-type]
            fold=False,
            on_phase=note,
            on_attached=note_attached,
            http=http,
        )
        member = Member(session, transport)
        self.members.append(member)
        async with session:
            async for item in session:
                if isinstance(item, Event):
                    member.seqs.append(item.seq)
                    member.ids.append(item.id)
                else:
                    member.resets.append(item.reason)

    def _note(self, member: Member, phase: Phase) -> None:
        now = self._clock.now()
        if phase.name == "live":
            if member.cut_at is not None:
                member.recoveries_s.append(now - member.cut_at)
            member.cut_at = None
        elif member.phase == "live":
            member.cut_at = now
            member.closed.append((now, phase.code))
        member.phase = phase.name

    async def _publish(self, member: Member, index: int) -> None:
        count = 0
        while not self._is_over:
            receipt = await member.session.publish("message", {"from": index, "number": count})
            member.acknowledged.add(receipt.id)
            count += 1
            await self._clock.sleep(self._publish_every_s)

    def _has_settled(self) -> bool:
        wanted = self._acknowledged()
        return all(wanted[member.session.id] <= set(member.ids) for member in self.members)

    def _acknowledged(self) -> dict[str, set[str]]:
        wanted: dict[str, set[str]] = defaultdict(set)
        for member in self.members:
            wanted[member.session.id] |= member.acknowledged
        return wanted

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """The comparison at the end tells what is missing, so running out of time is no error here."""
        give_up_at = self._clock.now() + SETTLE_S_MAX
        while not is_so() and self._clock.now() < give_up_at:
            await self._clock.sleep(POLL_S)

    def _outcome(self) -> Outcome:
        wanted = self._acknowledged()
        members = self.members
        return Outcome(
            clients=len(members),
            acknowledged=sum(map(len, wanted.values())),
            delivered=sum(len(member.ids) for member in members),
            lost=sum(len(wanted[member.session.id] - set(member.ids)) for member in members),
            duplicated=sum(times - 1 for member in members for times in Counter(member.ids).values()),
            gaps=sum(member.seqs != list(range(1, len(member.seqs) + 1)) for member in members),
            resets=sum(len(member.resets) for member in members),
            recoveries_s=tuple(took for member in members for took in member.recoveries_s),
            by_transport={
                name: tuple(took for one in members if one.transport == name for took in one.recoveries_s) for name in TRANSPORTS
            },
        )
