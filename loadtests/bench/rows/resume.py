"""Clients that come back: to a replica that serves their session, and to one that has just started.

Owns the two rows and their bars. Must not know how a load works.
"""

from collections.abc import Sequence
from typing import Final

from loadtests.bench.bench import Row, beside_centrifugo
from loadtests.bench.connection import close_all
from loadtests.bench.loads.resume import Resumed, seed, storm
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server
from loadtests.bench.store import Redis

SESSIONS: Final = 50  # that are served, so that the storm meets a few busy sessions
MISSED: Final = 100
CLIENTS_EACH: Final = 2  # of a session that the replica does not know: a laptop and a telephone


def _sample(done: Resumed) -> Sample:
    return done.usage.sample(done.per_s, done.clients)


async def _warm(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    samples = []
    for missed in (0, MISSED):
        keepers, places = await seed(server, SESSIONS, missed)
        samples.append(_sample(await storm(server, store, places, clients=scale.resumes, missed=missed)))
        close_all(keepers)
    return samples


async def _cold(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    keepers, places = await seed(server, scale.cold_sessions, MISSED)
    close_all(keepers)
    server.stop()
    server.start()
    places = [place for place in places for _ in range(CLIENTS_EACH)]
    return [_sample(await storm(server, store, places, clients=len(places), missed=MISSED))]


WARM: Final = Row(
    "resume",
    f"clients resume {SESSIONS} served sessions; every credential is checked, every cursor proven",
    "Centrifugo",
    (
        Check("resume-0", "with nothing missed", "resumes/s", "ours/theirs at least", 1.6, 2.5),
        Check("resume-100", f"with {MISSED} missed", "resumes/s", "ours/theirs at least", 4.0, 7.0),
    ),
    beside_centrifugo(_warm),
)
COLD: Final = Row(
    "resume-cold",
    f"after the server's restart {CLIENTS_EACH} clients of each session resume with {MISSED} missed",
    "Centrifugo",
    (Check("resume-cold", "from Redis", "resumes/s", "ours/theirs at least", 2.0, 3.0),),
    beside_centrifugo(_cold),
)
