"""`anypod token`: a credential for a cluster in dev mode, or for one whose secret is set here.

Owns the options. Must not know the format of a credential. Without `--configured` it is signed with the dev key, which everybody
knows; a replica accepts that only in dev mode, and in dev mode listens on a loopback address only.
"""

from typing import Annotated

import typer

TTL_S = 3_600
TTL_S_MAX = 366 * 86_400  # a longer one is a mistake in the unit


def token(
    *,
    tenant: Annotated[str, typer.Option(help="The tenant.")],
    subject: Annotated[str, typer.Option(help="Who it stands for; the author of what they publish.")],
    can: Annotated[list[str] | None, typer.Option(help="Rights, repeated or separated by commas. Default: a client's.")] = None,
    kinds: Annotated[list[str] | None, typer.Option(help="Kinds it may publish, `x.*` for all that begin so. Default: a client's.")] = None,
    sessions: Annotated[list[str] | None, typer.Option(help="Sessions it reaches, `a*` for all that begin so. Default: its own.")] = None,
    ttl: Annotated[int, typer.Option(min=1, max=TTL_S_MAX, help="Seconds that it is valid.")] = TTL_S,
    configured: Annotated[bool, typer.Option("--configured", help="Sign with ANYPOD_JWT_SECRET, as in a replica's own container.")] = False,
) -> None:
    """Print one credential (a JWT) signed with the dev key, or with the secret that is configured."""
    from anypod.auth.signer import configured_signer, credential_of
    from anypod.devcluster.credentials import DEV_SIGNER

    signer = configured_signer() if configured else DEV_SIGNER
    print(credential_of(signer, tenant, subject, can=_words(can), kinds=_words(kinds), sessions=_words(sessions), ttl_s=ttl))


def _words(given: list[str] | None) -> list[str] | None:
    """None stays None: the defaults belong to the credential's reader."""
    return None if not given else [word.strip() for item in given for word in item.split(",") if word.strip()]
