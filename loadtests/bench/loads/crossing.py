"""Events published on one replica and delivered by another.

Owns the pairs of publisher and subscriber. Must not know the servers. Pacing and latency are those of the fan-out.
"""

import os
import time

from loadtests.bench.connection import close_all, open_all
from loadtests.bench.loads.fan_out import WARM_UP_S, Delivered, Observer, Pacer, Subscriber, delivered_by, settle
from loadtests.bench.server import Server
from loadtests.bench.store import Redis
from loadtests.bench.window import Window, quiet_collector


async def cross(here: Server, there: Server, store: Redis, *, pairs: int, rate: float, seconds: float) -> Delivered:
    """`rate` events a second over all pairs together. Raises LoadError."""
    run, began = os.urandom(4).hex(), time.perf_counter()
    publishers = [Subscriber(here.dialect, f"{run}-{i}", f"user-{i}") for i in range(pairs)]
    observers = [Observer(there.dialect, f"{run}-{i}", f"user-{i}", began) for i in range(pairs)]
    await open_all(here.port, publishers)
    await open_all(there.port, observers)
    pacer = Pacer(publishers, here.dialect, began)
    with quiet_collector():
        await pacer.run(rate, WARM_UP_S)
        for observer in observers:
            observer.ages_s.clear()
        sent, delivered, window = pacer.sent, delivered_by(observers), Window([here.pid, there.pid], store.pid, here.core)
        await pacer.run(rate, seconds)
        usage, deliveries = window.end(), delivered_by(observers) - delivered
    await settle(observers, pacer.sent)
    missing = pacer.sent - delivered_by(observers)
    close_all([*publishers, *observers])
    ages_s = sorted(age for observer in observers for age in observer.ages_s)
    return Delivered(usage, rate, (pacer.sent - sent) / usage.seconds, deliveries, missing, ages_s)
