"""One replica, put together: the only place that names concrete classes.

Owns the construction and the order of start and end. Must not know the server that runs it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import assert_never
from urllib.parse import quote, urlsplit, urlunsplit

from fastapi import FastAPI

from anypod.api.app import create_admin_app, create_app
from anypod.api.events import StreamOptions
from anypod.auth import Fetcher, Tickets, verifier_of
from anypod.clock import Clock, SystemClock, system_random
from anypod.core.errors import AnypodError
from anypod.core.frames import ConnectionLimits
from anypod.core.permits import Allowance, Allowances
from anypod.hub.config import Arrivals, HubOptions
from anypod.hub.drain import Drain
from anypod.hub.erasure import Erasures
from anypod.hub.layer import SessionLayer
from anypod.hub.membership import Membership
from anypod.hub.rebalance import Rebalance
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.redis_store import FunctionLibrary, RedisOptions, RedisStore, Sizing, survey
from anypod.settings import Settings
from anypod.store import SessionClass, Store
from anypod.telemetry import Metrics
from anypod.transport.authenticate import Authenticate, Authenticator
from anypod.transport.fast.websocket import FastTransport
from anypod.version import __version__


@dataclass(slots=True)
class ReplicaPhase:
    is_started: bool = False
    is_draining: bool = False


class Replica:
    """`app` serves clients, `admin_app` the platform; both work between `start` and `close`. Raises AnypodError."""

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, rng: Random | None = None, authenticate: Authenticate | None = None
    ) -> None:
        if settings.credentials == "application" and authenticate is None:
            raise AnypodError("malformed", "ANYPOD_CREDENTIALS=application: give `anypod.mount` your own authenticate")
        clock = clock or SystemClock()
        rng = rng or system_random()
        self.settings = settings
        self.metrics = Metrics()
        self._phase = ReplicaPhase()
        self._fetcher = Fetcher()
        verifier = verifier_of(settings, clock, self._fetcher)
        store = store_of(settings, clock, rng, self.metrics)
        tickets = Tickets(store.swap_note, clock, rng)
        self.authenticator = Authenticator(verifier, settings.origins, tickets, authenticate)
        self.layer = layer = SessionLayer(store, clock, rng, self.metrics, hub_options(settings), verify=self.authenticator.verify)
        self._membership = Membership(layer.hub, layer.attachments, rng, version=__version__, is_leaving=lambda: self._phase.is_draining)
        rebalance = Rebalance(layer.hub, layer.attachments, self._membership, layer.goaway, rng=rng, share_max=settings.share_max)
        erasures = Erasures(layer.hub, rng)
        layer.housekeeping.chores += (rebalance.every_second, erasures.every_second)
        self._drain = Drain(layer.attachments, layer.goaway, clock, rng)
        self._ticking: asyncio.Task[None] | None = None
        self._rng = rng
        self.fast_transport: FastTransport  # from `start` on: they belong to the loop
        poll_s_max = settings.timing.poll_wait_ms / 1000
        streams = StreamOptions(outbox_bytes_max=settings.outbox_bytes_max, max_s=settings.max_stream_s, poll_s_max=poll_s_max)
        self.app: FastAPI = create_app(
            self.layer,
            self.authenticator,
            rng,
            streams=streams,
            issuer=tickets,
            membership=self._membership,
            erasures=erasures,
            version=__version__,
        )
        self.admin_app: FastAPI = create_admin_app(self.metrics, lambda: self.is_ready)

    @property
    def is_ready(self) -> bool:
        return self._phase.is_started and not self._phase.is_draining and self.layer.hub.store.is_available

    async def start(self) -> None:
        """Raises AnypodError with one clear line when the store cannot be used."""
        await self.layer.hub.start()
        settings = self.settings
        self.fast_transport = FastTransport(
            self.layer, self._rng, buffer_bytes_max=settings.outbox_bytes_max, stream_s_max=settings.max_stream_s
        )
        self._ticking = asyncio.create_task(self.layer.housekeeping.run(), name="housekeeping")
        self._phase.is_started = True

    def refuse_traffic(self) -> None:
        """Not ready from now on: the balancer sends no new clients."""
        self._phase.is_draining = True

    async def drain(self, window_s: float) -> int:
        """Send all clients away over `window_s` seconds; returns how many."""
        self.refuse_traffic()
        self.layer.hub.is_leaving = True
        return await self._drain.run(window_s)

    async def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
        if self.layer.hub.store.is_available:
            with suppress(AnypodError):  # then its entry is over by itself
                await self._membership.leave()
        await self.layer.hub.close()
        await self._fetcher.close()


def hub_options(settings: Settings) -> HubOptions:
    return HubOptions(
        replica=settings.replica,
        classes={
            name: SessionClass(name=name, event_bytes=settings.frame_bytes_max, **fields.model_dump())
            for name, fields in settings.session_classes.items()
        },
        heartbeat_ms=settings.timing.heartbeat_ms,
        silence_ms=settings.timing.silence_ms,
        sessions_per_subject_max=settings.sessions_per_subject_max,
        tail_bytes_max=settings.tail_bytes_max,
        outbox_total_bytes_max=settings.outbox_total_bytes_max,
        unwritable_s_max=settings.unwritable_s_max,
        max_connection_age_s=settings.max_connection_age_s,
        arrivals=Arrivals(
            accepts_per_s=settings.accepts_per_s,
            resumes_per_s=settings.resumes_per_s,
            fresh_per_s=settings.fresh_attaches_per_s,
            tenant_per_s=settings.tenant_attaches_per_s,
            subject_per_s=settings.subject_attaches_per_s,
            unknown_per_s=settings.unknown_per_s,
            refused_per_s=settings.refused_per_s,
        ),
        allowances=Allowances(
            subject=Allowance(
                permits_per_s=settings.subject_permits_per_s,
                read_bytes_per_s=settings.subject_read_bytes_per_s,
                connections_max=settings.subject_connections_max,
                stored_bytes_max=settings.bytes_per_subject_max,
            ),
            tenant=Allowance(
                permits_per_s=settings.tenant_permits_per_s,
                read_bytes_per_s=settings.tenant_read_bytes_per_s,
                connections_max=settings.tenant_connections_max,
                stored_bytes_max=settings.bytes_per_tenant_max,
            ),
            connections_max=settings.connections_max,
        ),
        limits=ConnectionLimits(
            frame_bytes=settings.frame_bytes_max, publish_per_s=settings.publish_per_s, data_bytes=settings.data_bytes_max
        ),
    )


def store_of(settings: Settings, clock: Clock, rng: Random, metrics: Metrics) -> Store:
    match settings.store:
        case "memory":
            return MemoryStore(MemoryServer(clock, rng))
        case "redis":
            return RedisStore(redis_options(settings), clock, rng, metrics)
        case _:
            assert_never(settings.store)


def redis_options(settings: Settings) -> RedisOptions:
    def url_now() -> str:
        return _with_password(settings.current("redis_url") or settings.redis_url, settings.current("redis_password"))

    return RedisOptions(
        url=url_now(),
        url_now=url_now,
        prefix=settings.key_prefix,
        sentinel_password_now=lambda: settings.current("redis_sentinel_password"),
        tls_ca_file=settings.redis_tls_ca_file,
        tls_cert_file=settings.redis_tls_cert_file,
        tls_key_file=settings.redis_tls_key_file,
        incarnation=settings.redis_incarnation,
        durability=settings.durability,
        durability_replicas=settings.durability_replicas,
        durability_wait_ms=settings.durability_wait_ms,
        append_wait_s=settings.append_deadline_s,
        appends_max=settings.append_queue_max,
        append_bytes_max=settings.append_queue_bytes_max,
    )


def _with_password(url: str, password: str | None) -> str:
    """A password from a setting of its own, unless the URL holds one."""
    parts = urlsplit(url)
    if password is None or parts.password is not None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def function_library(settings: Settings) -> str:
    """What replicas with these settings load into Redis, for an operator who loads it in their place."""
    return FunctionLibrary(settings.redis_incarnation).source.decode()


async def sizing_of(settings: Settings) -> Sizing:
    """What some sessions take in the Redis of these settings. Raises AnypodError."""
    try:
        return await survey(redis_options(settings), SystemClock())
    except (OSError, TimeoutError) as exc:
        raise AnypodError("unavailable", f"Redis cannot be asked: {exc or type(exc).__name__}") from exc
