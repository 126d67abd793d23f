"""Who the crowd is to the replicas.

Owns the tenant and the credential of a session. Must not know who uses it.
"""

from typing import Final

from tests.support.replica_process import credential

from anypod.auth.principal import RIGHTS_BY_DEFAULT

TENANT: Final = "faults"
TTL_S: Final = 86_400.0  # a clock that is stepped by an hour is to meet a credential that holds


def credential_for(session: str) -> str:
    return credential(TENANT, "crowd", can=[*RIGHTS_BY_DEFAULT, "turn"], sessions=[session], ttl_s=TTL_S)


def headers_for(session: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential_for(session)}"}
