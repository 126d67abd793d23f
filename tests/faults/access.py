"""Who the crowd is to the replicas.

Owns the tenant and the credential of a session. Must not know who uses it.
"""

from typing import Final

from tests.replicas import credential

TENANT: Final = "faults"


def credential_for(session: str) -> str:
    return credential(TENANT, "crowd", sessions=[session])
