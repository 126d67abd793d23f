"""One case's world: its people, where they are attached, and what was kept.

Owns names and credentials, unique to the case, and which replica somebody comes to. Must not know what steps do.
"""

import asyncio
import random
import string
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
from tests.protocol.asking import ask
from tests.protocol.attachment import Attachment, Place
from tests.protocol.cases import Case, Person
from tests.protocol.cluster import Cluster
from tests.protocol.drivers.client import ClientAttachment
from tests.protocol.drivers.longpoll import PollAttachment
from tests.protocol.drivers.sse import SseAttachment
from tests.protocol.drivers.websocket import WebsocketAttachment
from tests.protocol.pattern import filled
from tests.support.replica_process import credential

DRIVERS: Final[Mapping[str, Callable[[Place], Attachment]]] = {
    "websocket": WebsocketAttachment,
    "sse": SseAttachment,
    "poll": PollAttachment,
    "client": ClientAttachment,
    "client-sse": lambda place: ClientAttachment(place, "sse"),
    "client-poll": lambda place: ClientAttachment(place, "poll"),
    "http": PollAttachment,
}
SPEAKS_ATTACHED: Final = frozenset({"websocket", "client", "client-sse", "client-poll"})  # publishing needs a connection of its own


class Stage:
    """`transport`: what people attach over, unless a step says another. `kept`: what names in the case stand for."""

    def __init__(self, case: Case, transport: str, cluster: Cluster, http: aiohttp.ClientSession) -> None:
        self.cluster = cluster
        suffix = "".join(random.choices(string.ascii_lowercase, k=10))
        self.kept: dict[str, Any] = {"suffix": suffix, "tenant": f"t-{suffix}", "session": f"s-{suffix}"}
        self._transport = transport
        self._http = http
        self._people = list(dict.fromkeys([*case.people, *(step.who for step in case.steps)]))
        self._attached: dict[str, Attachment] = {}
        self._speaking: dict[str, Attachment] = {}
        self._everybody: list[Attachment] = []
        for name in self._people:
            self.kept[f"credential_{name}"] = self._credential(case.people.get(name, Person()), name)

    def _credential(self, person: Person, name: str) -> str:
        return credential(
            filled(person.tenant or "$tenant", self.kept),
            person.subject or name,
            can=person.can,  # type: ignore[arg-type]
            sessions=filled(person.sessions, self.kept),
            kinds=person.kinds,
            ttl_s=person.ttl_s,
            secret=person.secret,
        )

    def place(self, who: str, args: Mapping[str, Any]) -> Place:
        """Everybody comes to another replica, if there is one, unless `at` says which."""
        replicas = self.cluster.replicas
        replica = replicas[args.get("at", self._people.index(who)) % len(replicas)]
        session = f"{args['session']}-{self.kept['suffix']}" if "session" in args else self.kept["session"]
        return Place(self._http, replica.url, replica.admin_url, session, self.kept[f"credential_{who}"])

    def driver(self, who: str, args: Mapping[str, Any]) -> Attachment:
        """A new attachment, not open yet; from now on the person's own."""
        made = DRIVERS[args.get("over", self._transport)](self.place(who, args))
        self._everybody.append(made)
        self._attached[who] = made
        return made

    def heir(self, who: str, args: Mapping[str, Any]) -> Attachment:
        """A new attachment that goes on with what the person's former one has applied."""
        applied = self.attached(who).applied
        made = self.driver(who, args)
        made.applied = applied
        return made

    def attached(self, who: str) -> Attachment:
        assert who in self._attached, f"{who} is not attached"
        return self._attached[who]

    async def speaker(self, who: str, args: Mapping[str, Any]) -> Attachment:
        """By which the person publishes: its attachment, or one that only speaks."""
        if "session" not in args and "over" not in args and who in self._attached and self._attached[who].ended is None:
            return self._attached[who]
        name = f"{who} {args.get('session')} {args.get('over')}"
        if name not in self._speaking:
            transport = args.get("over", self._transport)
            made = self._speaking[name] = DRIVERS[transport](self.place(who, args))
            self._everybody.append(made)
            if transport in SPEAKS_ATTACHED:
                await made.open({"after": "tail"})
                assert made.ended is None, f"{who} came to speak and was refused: {made.ended}"
            else:
                # Attaching would create it; a request to publish does not.
                await ask(made.place, {"method": "POST", "path": "/v1/sessions", "body": {"session_id": made.place.session}})
        return self._speaking[name]

    async def empty(self) -> None:
        """Everybody leaves. Raises AssertionError for whatever was wrong with what came to somebody."""
        results = await asyncio.gather(*(one.leave() for one in self._everybody), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
