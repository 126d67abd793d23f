"""Credentials for a cluster in dev mode.

Owns who takes part in the demonstration, and the dev key. Must not know how a credential is signed.
"""

from typing import Final

from anypod.auth import RIGHTS_BY_DEFAULT
from anypod.auth.signer import Signer, credential_of
from anypod.settings import DEV_SECRET

DEV_SIGNER: Final = Signer(DEV_SECRET)
DEMO_TENANT: Final = "demo"
DEMO_SESSION: Final = "demo"
TTL_S: Final = 12 * 3_600  # as long as a terminal may stay open


def reader_credential(session: str = DEMO_SESSION) -> str:
    """May do what a client may: read, and say something."""
    return credential_of(DEV_SIGNER, DEMO_TENANT, "you", sessions=[session], ttl_s=TTL_S)


def worker_credential(session: str = DEMO_SESSION) -> str:
    """May publish what an agent does: the deltas of an answer and what completes it."""
    can = [*RIGHTS_BY_DEFAULT, "turn"]
    return credential_of(DEV_SIGNER, DEMO_TENANT, "agent", sessions=[session], can=can, ttl_s=TTL_S)
