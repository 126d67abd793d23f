"""Clients of every kind on sessions that replicas of two versions serve, and what they saw.

Owns the clients, what they do, and the comparison at the end. Must not know which version serves whom.

In each session there are a client of each transport and one more of a WebSocket, each with a device: all publish; one is an agent that
streams answers, one patches the state, those on a WebSocket tell of their presence, and every one signals and hears the others.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import aiohttp
from tests.support.replica_process import credential

from anypod.auth.principal import RIGHTS_BY_DEFAULT
from anypod.client import Event, Presence, Session, Signal, open_http
from anypod.core.errors import AnypodError

ROLES: Final = ("websocket", "websocket", "sse", "poll")  # the transports of a session's clients
EVERY_S: Final = 0.3  # between two publishes of one client
DELTAS: Final = 8  # of one answer
SIGNAL_EVERY: Final = 4  # so many publishes
SETTLE_S_MAX: Final = 30.0
POLL_S: Final = 0.05


@dataclass
class Client:
    """`events`: id by seq, in the order in which they came; `sent`: ids that were acknowledged, in order."""

    session: Session
    name: str
    transport: str
    is_agent: bool
    is_patcher: bool
    events: list[tuple[int, str]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    signals: Counter[str] = field(default_factory=Counter)
    present: set[str] = field(default_factory=set)


class Crowd:
    def __init__(self, url: str, sessions: int) -> None:
        self._url = url
        self._names = [f"side-{number}" for number in range(sessions)]
        self.clients: list[Client] = []
        self.patches: dict[str, int] = {}  # the last number that was patched into the state of a session, acknowledged
        self._is_over = False

    async def run(self, disturb: "asyncio.Future[None]") -> None:
        """Until `disturb` is done, and everybody has everything."""
        async with open_http() as http, asyncio.TaskGroup() as tasks:
            self.make(http)
            reading = [tasks.create_task(self._read(client)) for client in self.clients]
            await self._until(lambda: all(client.session.phase.name == "live" for client in self.clients))
            acting = [tasks.create_task(self._act(client)) for client in self.clients]
            await disturb
            self._is_over = True
            await asyncio.wait(acting)
            await self._until(self._has_settled)
            for client in self.clients:
                await client.session.signal("last", client.name)
            await self._until(lambda: all(client.signals["last"] for client in self.clients if client.transport != "poll"))
            for task in reading:
                task.cancel()

    def make(self, http: aiohttp.ClientSession) -> None:
        """The clients, who come when they are run."""
        for name in self._names:
            for index, transport in enumerate(ROLES):
                who = f"{name}.{index}"
                token = credential("acme", who, can=[*RIGHTS_BY_DEFAULT, "turn"], sessions=("side-*",))
                session = Session(
                    self._url,
                    name,
                    credential=token,
                    transport=transport,  # type: ignore[arg-type]
                    device=f"d{index}" if transport == "websocket" else None,
                    fold=False,
                    on_signal=partial(self._heard, who),
                    on_presence=partial(self._saw, who) if transport == "websocket" else None,
                    http=http,
                )
                client = Client(session, who, transport, is_agent=index == 0, is_patcher=index == 1)
                self.clients.append(client)

    def _client(self, name: str) -> Client:
        return next(client for client in self.clients if client.name == name)

    def _heard(self, name: str, signal: Signal) -> None:
        self._client(name).signals[signal.name] += 1

    def _saw(self, name: str, presence: Presence) -> None:
        present = self._client(name).present
        present |= {entry["author"] for entry in presence.joined}
        present -= {entry["author"] for entry in presence.left}

    async def _read(self, client: Client) -> None:
        async with client.session:
            async for item in client.session:
                if isinstance(item, Event):
                    client.events.append((item.seq, item.id))
                else:
                    client.resets.append(item.reason)

    async def _act(self, client: Client) -> None:
        count = 0
        while not self._is_over:
            count += 1
            if client.is_agent:
                await self._answer(client, count)
            else:
                await self._publish(client, f"{client.name}.{count}", "message", count)
            try:
                if client.is_patcher:
                    await client.session.patch_state(state={"count": count})
                    self.patches[client.session.id] = count
                if count % SIGNAL_EVERY == 0:
                    await client.session.signal("typing", {"lines": [count]})
            except AnypodError as error:  # an HTTP request meets a replica that leaves: a client asks again
                client.refusals.append(error.code)
            if client.transport == "websocket":
                client.session.presence({"count": count})
            await asyncio.sleep(EVERY_S)

    async def _answer(self, client: Client, count: int) -> None:
        part = f"{client.name}.p{count}"
        for delta in range(DELTAS):
            await self._publish(client, f"{part}.{delta}", "token", f"word {delta} ", part=part)
        await self._publish(client, f"{part}.whole", "message", "words", replaces=part)

    async def _publish(self, client: Client, event_id: str, kind: str, data: object, **details: str) -> None:
        await client.session.publish(kind, data, id=event_id, **details)  # type: ignore[arg-type]
        client.sent.append(event_id)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        give_up_at = asyncio.get_running_loop().time() + SETTLE_S_MAX
        while not is_so() and asyncio.get_running_loop().time() < give_up_at:  # noqa: ASYNC110 - the verdict tells what is missing then
            await asyncio.sleep(POLL_S)

    def _has_settled(self) -> bool:
        sent = self._sent()
        return all(sent[client.session.id] <= {event for _, event in client.events} for client in self.clients)

    def _sent(self) -> dict[str, set[str]]:
        sent: dict[str, set[str]] = defaultdict(set)
        for client in self.clients:
            sent[client.session.id].update(client.sent)
        return sent

    def wrongs(self) -> Sequence[str]:
        """Everything that no client may see."""
        return [wrong for name in self._names for wrong in self._wrongs([one for one in self.clients if one.session.id == name])]

    def _wrongs(self, clients: Sequence[Client]) -> Sequence[str]:
        found: list[str] = []
        sent = {event for client in clients for event in client.sent}
        longest = max((client.events for client in clients), key=len)
        for client in clients:
            ids = [event for _, event in client.events]
            found += [f"{client.name} was reset: {reason}" for reason in client.resets]
            found += [f"{client.name} lost {event}" for event in sorted(sent - set(ids))]
            found += [f"{client.name} got {event} {times} times" for event, times in Counter(ids).items() if times > 1]
            if [seq for seq, _ in client.events] != list(range(1, len(client.events) + 1)):
                found.append(f"{client.name}: its seqs are not those of the log")
            if client.events != longest[: len(client.events)]:
                found.append(f"{client.name} saw another log than the others")
            if not client.signals["last"] and client.transport != "poll":
                found.append(f"{client.name} hears no signals")
            if len(client.present) < ROLES.count("websocket") and client.transport == "websocket":
                found.append(f"{client.name} sees only {sorted(client.present)}")
            order = [event for _, event in longest if event in set(client.sent)]
            if order != client.sent:
                found.append(f"what {client.name} published stands in another order in the log")
        return found
