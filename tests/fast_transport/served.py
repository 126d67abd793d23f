"""A replica with a memory store in this process, behind a real uvicorn: so that a test may look at what a client leaves behind.

Owns start and end, and what must be true of a replica that nobody is connected to. Must not know what clients send.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.support.redis_servers import free_port
from tests.support.replica_process import SECRET, credential
from tests.support.waiting import until

from anypod.replica import Replica
from anypod.server import _listen, _server
from anypod.settings import Settings
from anypod.transport.authenticate import Authenticator
from anypod.transport.fast.dispatch import sniffing
from anypod.transport.fast.request_timeouts import RequestTimeouts
from anypod.transport.fast.uvicorn_http import plain

QUIET_S_MAX: Final = 5.0  # from the end of the last client to nothing left of it


class Served:
    def __init__(self, replica: Replica, server: Any, port: int) -> None:
        self.replica = replica
        self.port = port
        self.credential = credential("acme", "ann")
        self.connections: set[Any] = server.server_state.connections

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def be_patient(self, seconds_max: float, debtors_max: int) -> None:
        fast_transport, hub = self.replica.fast_transport, self.replica.layer.hub
        fast_transport.arrivals = RequestTimeouts(hub.clock, seconds_max, debtors_max, metrics=hub.metrics)
        fast_transport.requests = RequestTimeouts(hub.clock, seconds_max, debtors_max, metrics=hub.metrics)

    @property
    def given_up(self) -> dict[str, int]:
        """Connections that owed for too long, by the reason of their end."""
        return self.replica.metrics.connections_given_up

    @property
    def left_behind(self) -> dict[str, int]:
        """What a client has while it is there, and nothing of it afterwards."""
        replica = self.replica
        return {
            "connections": len(self.connections),
            "subscribers": len(replica.layer.attachments.schedule),
            "opening": len(replica.layer.attachments.opening),
            "stalled": len(replica.layer.hub.stalled),
            "arrivals": len(replica.fast_transport.arrivals),
            "requests": len(replica.fast_transport.requests),
            "tasks of the hub": len(replica.layer.hub.tasks),
        }

    async def until_quiet(self) -> None:
        await until(lambda: not any(self.left_behind.values()), "nothing is left of any client", QUIET_S_MAX)


@asynccontextmanager
async def served(
    transport: str = "lean", authenticator: Callable[[Replica], Authenticator] = lambda replica: replica.authenticator, **settings: Any
) -> AsyncIterator[Served]:
    """`settings`: those of the product. `door`: another one than the replica's own."""
    port = free_port()
    given = {"store": "memory", "jwt_secret": SECRET, "host": "127.0.0.1", "port": port, "transport": transport, **settings}
    replica = Replica(Settings(**given))
    await replica.start()
    http = (
        sniffing(lambda: replica.fast_transport, authenticator(replica))
        if transport == "lean"
        else plain(lambda: replica.fast_transport.requests, lambda: replica.layer.hub.ends_connections)
    )
    server = _server(replica.app, replica.settings, http)
    listening = _listen("127.0.0.1", port, replica.settings.unwritable_s_max)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: server.started, "the server listens", QUIET_S_MAX)
    try:
        yield Served(replica, server, port)
    finally:
        server.should_exit = True
        await serving
        await replica.close()
