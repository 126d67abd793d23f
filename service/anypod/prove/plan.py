"""What is asked of one proof.

Owns the parameters and their bounds. Must not know how anything is proven.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from anypod.core.errors import AnypodError

SECONDS: Final = 60
SECONDS_MAX: Final = 3_600  # a proof is a visit, not a tenant
SESSIONS: Final = 8
SESSIONS_MIN: Final = 2  # a cursor of one is tried on another
SESSIONS_MAX: Final = 64  # with READERS_PER_SESSION subscribers each: what one process reads without lagging behind
RATE: Final = 40  # publishes a second over all sessions: five people who type quickly in each
RATE_MAX: Final = 200  # a guest does not load the house
REPLICAS_MAX: Final = 64
EVENTS_MAX: Final = 100_000  # every reader remembers all that it has applied: about 100 MB
SESSION_EVENTS_MAX: Final = 10_000  # well within what a session of any class keeps: nothing is trimmed under the readers

_SCHEMES: Final = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class ProofPlan:
    """`foreign`: a credential of another tenant; `neighbour`: of another subject of ours; `narrowed`: one that is narrowed to other
    sessions than the proof's. None: there is none to try. `replicas`: how many must be met. `stem`: what session ids begin with, unique."""

    url: str
    credential: str = field(repr=False)
    foreign: str | None = field(repr=False)
    neighbour: str | None = field(repr=False)
    narrowed: str | None = field(repr=False)
    seconds: int
    sessions: int
    rate: int
    replicas: int
    seed: int
    stem: str

    @property
    def session_ids(self) -> tuple[str, ...]:
        return tuple(f"{self.stem}-{number}" for number in range(1, self.sessions + 1))

    def check(self) -> None:
        """Raises AnypodError `malformed` for a plan that cannot be carried out."""
        try:
            parts = urlsplit(self.url)
            is_address = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            raise AnypodError("malformed", "--url is where clients reach the service, such as https://sessions.example.com")
        if parts.username is not None or parts.query or parts.fragment:
            raise AnypodError("malformed", "--url is a plain address: no user, no query; the credential goes into --token or --token-file")
        events = self.seconds * self.rate
        if events > EVENTS_MAX or events / self.sessions > SESSION_EVENTS_MAX:
            raise AnypodError(
                "malformed",
                f"that is {events} events: at most {EVENTS_MAX} in all and {SESSION_EVENTS_MAX} a session; "
                "choose fewer --seconds, a lower --rate, or more --sessions",
            )
