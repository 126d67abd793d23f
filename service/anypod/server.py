"""Run one replica as a process.

Owns the sockets, the servers on them, the signals, and the order of leaving. Must not know what is served.

Leaving: not ready, wait until balancers have noticed, send all clients away over the drain window, then stop the servers. uvicorn
alone would close every socket within milliseconds, and all clients would come to the other replicas at once.
"""

import asyncio
import contextlib
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

import uvicorn
import uvloop
from fastapi import FastAPI

from anypod.core.errors import AnypodError
from anypod.gc_tuning import GcTuner
from anypod.replica import Replica
from anypod.settings import Settings
from anypod.telemetry import configure_logging
from anypod.transport.fast.dispatch import sniffing
from anypod.transport.fast.uvicorn_http import plain, release_idle

logger = logging.getLogger(__name__)

START_S_MAX: Final = 45.0  # for the store to be there; less than the minute that platforms give a start
BACKLOG: Final = 4_096  # connections that wait for accept: a storm of reconnects comes within a second
UNSENT_BYTES_MAX: Final = 128 << 10  # that the kernel holds for one client before the network takes them
FIRST_WORD_S_MAX: Final = 1  # for a connection's first bytes, before it is accepted without any: as soon as the kernel can
WS_SIZE_FACTOR: Final = 4  # frames a little too large get our own close code; beyond that the server's
BELT_S: Final = 5.0  # time for the close of a stalled reader, and for its abort


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code of the process."""
    configure_logging(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(Process(settings).run())
        except AnypodError as error:
            print(f"anypod: {error.message}", file=sys.stderr)  # noqa: T201 - the one line that says why it does not start
        except OSError as error:
            print(f"anypod: cannot listen: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - the same for its port
        return 1


class Process:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._replica = Replica(settings)
        self._leaving = asyncio.Event()
        self._is_urgent = asyncio.Event()

    async def run(self) -> int:
        settings = self._settings
        with contextlib.ExitStack() as sockets:
            public = sockets.enter_context(_listen(settings.host, settings.port, settings.unwritable_s_max))
            admin = sockets.enter_context(_listen(*settings.admin_address, settings.unwritable_s_max))
            await self._start()
            looking = asyncio.create_task(GcTuner().run(), name="collector")
            try:
                await self._serve(public, admin)
            finally:
                looking.cancel()
                await self._replica.close()
        return 0

    async def _start(self) -> None:
        """A store that starts at the same time is waited for. Raises AnypodError for one that cannot be used, or does not come."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for attempt in count():
            try:
                await self._replica.start()
            except AnypodError as error:
                if error.retry_after_ms is None or loop.time() > began + START_S_MAX:
                    raise
                if attempt == 0:
                    logger.warning("%s; it is waited for, %g s at most", error.message, START_S_MAX)
                await asyncio.sleep(error.retry_after_ms / 1_000)
            else:
                return

    async def _serve(self, public: socket.socket, admin: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        is_lean = self._settings.transport == "lean"
        http = (
            sniffing(lambda: self._replica.fast_transport, self._replica.authenticator)
            if is_lean
            else plain(lambda: self._replica.fast_transport.requests, lambda: self._replica.layer.hub.ends_connections)
        )
        servers = [_server(self._replica.app, self._settings, http), _server(self._replica.admin_app, self._settings, "httptools")]
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(server.serve(sockets=[at]), name="server") for server, at in zip(servers, (public, admin), strict=True)
            ]
            logger.info("serving on %s, admin on %s", _address(public), _address(admin))
            await self._until(self._leaving, lambda: any(task.done() for task in running))
            await self._leave(servers[0])
            for server in servers:
                server.should_exit = True

    def _on_signal(self) -> None:
        if self._leaving.is_set():
            self._is_urgent.set()  # asked twice: do not wait any longer
        self._leaving.set()

    async def _leave(self, public: uvicorn.Server) -> None:
        settings = self._settings
        logger.info("leaving: not ready for %g s, then all clients are sent away over %g s", settings.ready_wait_s, settings.drain_s)
        self._replica.refuse_traffic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.ready_wait_s):
                await self._is_urgent.wait()
        release_idle(public.server_state)
        count = await self._replica.drain(0.0 if self._is_urgent.is_set() else settings.drain_s)
        logger.info("sent %d away", count)

    async def _until(self, event: asyncio.Event, has_failed: Callable[[], bool]) -> None:
        while not event.is_set() and not has_failed():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await event.wait()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own order of leaving."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: FastAPI, settings: Settings, http: Any) -> _Server:
    config = uvicorn.Config(
        app,
        http=http,
        ws="websockets-sansio",
        ws_max_size=WS_SIZE_FACTOR * settings.frame_bytes_max,
        ws_ping_interval=None,  # the protocol has heartbeats of its own, on one wheel
        ws_ping_timeout=None,
        ws_per_message_deflate=False,  # costs more memory a connection than everything else together
        lifespan="off",
        log_config=None,
        access_log=False,  # it would write query strings
        server_header=False,
        proxy_headers=True,
        timeout_keep_alive=settings.timing.keep_alive_s,
        timeout_graceful_shutdown=math.ceil(settings.append_deadline_s),  # a publisher at the last moment waits for the store
    )
    return _Server(config)


def _listen(host: str, port: int, unwritable_s_max: float) -> socket.socket:
    """A listening socket; accepted connections inherit its options."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # The second belt against readers that stall: the kernel gives up on data that is not acknowledged. Later than the first
            # one, which says why.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int((unwritable_s_max + BELT_S) * 1000))
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # A client that does not read has its bytes in our bounded buffers, shared with all others, and not in four megabytes of
            # the kernel's: to fill those for hundreds of stalled readers takes seconds, and then the memory of the whole container.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            # Accepted once it has said something: the loop takes one connection a turn, and so one head, and whoever publishes has his
            # turn between any two. Otherwise thousands that connected one by one are served all at once.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, FIRST_WORD_S_MAX)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{host}:{port}"
