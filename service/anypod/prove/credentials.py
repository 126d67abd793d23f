"""Credentials of a proof that is run by the operator of the service, such as `helm test`.

Owns their subjects and rights. Must not know how one is signed.
"""

from typing import Final, NamedTuple

from anypod.auth.signer import configured_signer, credential_of
from anypod.core.errors import AnypodError

TENANT: Final = "anypod-prove"
OTHER_TENANT: Final = "anypod-prove-other"
SUBJECT: Final = "anypod-prove"
RIGHTS: Final = ("read", "publish")
SESSIONS: Final = ("prove-*",)
NEIGHBOUR: Final = "anypod-prove-neighbour"  # reaches what it created: nothing
ELSEWHERE: Final = ("elsewhere-*",)
SPARE_S: Final = 600  # after the last publish: longer than everything that follows may take

MISSING: Final = "a credential is missing: give --token-file, --token, or PROVE_TOKEN in the environment"


class Credentials(NamedTuple):
    """As in `ProofPlan`."""

    credential: str
    foreign: str
    neighbour: str
    narrowed: str


def own_credentials(seconds: int) -> Credentials:
    """Signed with the secret that the service checks them with. Raises AnypodError when there is none here."""
    try:
        signer = configured_signer()
    except AnypodError as error:
        raise AnypodError("malformed", f"{MISSING}; none can be made either: {error.message}") from error
    ttl_s = seconds + SPARE_S
    return Credentials(
        credential=credential_of(signer, TENANT, SUBJECT, can=RIGHTS, sessions=SESSIONS, ttl_s=ttl_s),
        foreign=credential_of(signer, OTHER_TENANT, SUBJECT, sessions=SESSIONS, ttl_s=ttl_s),
        neighbour=credential_of(signer, TENANT, NEIGHBOUR, ttl_s=ttl_s),
        narrowed=credential_of(signer, TENANT, SUBJECT, sessions=ELSEWHERE, ttl_s=ttl_s),
    )
