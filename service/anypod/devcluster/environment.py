"""The environment of the processes that a cluster starts.

Owns what a replica in dev mode is told, and what it must not inherit. Must not know how a process is started.
"""

import os
import resource
from collections.abc import Mapping
from typing import Final

from anypod.devcluster.ports import LOOPBACK
from anypod.settings.loading import settings_from

# Everything that a replica needs to be one of a cluster on this machine, whatever else is set around it. An empty
# variable is an unset one: credentials are those of `anypod token`, signed with the dev key.
DEV: Final[Mapping[str, str]] = {
    "ANYPOD_DEV": "true",
    "ANYPOD_STORE": "redis",
    "ANYPOD_HOST": LOOPBACK,
    "ANYPOD_ADMIN_HOST": LOOPBACK,
    "ANYPOD_JWT_SECRET": "",
    "ANYPOD_JWT_SECRET_FILE": "",
    "ANYPOD_JWT_ISSUER": "",
    "ANYPOD_JWT_AUDIENCE": "",
    "ANYPOD_JWKS_URLS": "",
    # There are no rollouts here: a developer waits for every stop.
    "ANYPOD_READY_WAIT_S": "0",
    "ANYPOD_DRAIN_S": "1",
    "ANYPOD_GRACE_S": "",
}


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Our own environment with `variables` over it."""
    return {**os.environ, **variables}


def given_redis_url() -> str | None:
    """The Redis that ANYPOD_REDIS_URL or ANYPOD_REDIS_URL_FILE names. Raises AnypodError for whatever replicas would refuse."""
    settings = settings_from(environment(DEV))
    return settings.redis_url if "redis_url" in settings.model_fields_set else None


def raise_descriptor_limit() -> None:
    """For us and for replicas: every connection takes two in the balancer, and 1,024 is a common default."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
