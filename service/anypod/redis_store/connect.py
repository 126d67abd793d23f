"""May this server be used at all?

Owns the checks at start, each with one line that says what to do. Must not know sessions. The only place that uses redis-py.
"""

import logging
from collections.abc import Mapping
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from anypod.core.errors import AnypodError, unavailable
from anypod.redis_store.address import Address
from anypod.redis_store.durability import wait_of
from anypod.redis_store.library import Library
from anypod.redis_store.options import RedisOptions
from anypod.redis_store.policy import judge_policy

REDIS_MIN: Final = 7  # sharded pub/sub and functions came with it
VALKEY_MIN: Final = 8
LOOK_MS: Final = 10  # nothing is waited for but what there is

logger = logging.getLogger(__name__)


async def check(address: Address, options: RedisOptions, library: Library, *, is_node: bool = False) -> None:
    """`is_node`: of a cluster. Raises AnypodError `unavailable` with one line for whoever started this; with a hint when it may pass."""
    redis = _client(address, options)
    try:
        check_server(await redis.info("server"), await redis.info("replication"), is_node=is_node)
        judge_policy(await _policy(redis))
        await _load(redis, library)
        await _check_durability(redis, options)
    except AuthenticationError as exc:
        raise _unusable(f"{_where(address)} does not accept the user or password; correct them in the Redis URL") from exc
    except ResponseError as exc:
        raise _unusable(f"{_where(address)} cannot be used ({exc}); correct it, or the Redis URL") from exc
    except (TimeoutError, RedisError, OSError) as exc:
        raise unavailable(f"{_where(address)} cannot be used ({exc}); start it, or correct the Redis URL") from exc
    finally:
        await redis.aclose()


def _client(address: Address, options: RedisOptions) -> Redis:
    login = address.access.login()
    return Redis(
        host=address.endpoint.host,
        port=address.endpoint.port,
        db=address.database,
        username=login.username,
        password=login.password,
        ssl=address.access.tls is not None,
        ssl_ca_certs=options.tls_ca_file,
        ssl_certfile=options.tls_cert_file,
        ssl_keyfile=options.tls_key_file,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,
        socket_connect_timeout=options.connect_s,
        socket_timeout=options.reply_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,
        decode_responses=True,
        client_name="anypod-check",
        driver_info=None,
        max_connections=1,
    )


def check_server(server: Mapping[str, object], replication: Mapping[str, object], *, is_node: bool = False) -> None:
    """Judge two sections of INFO. Raises AnypodError `unavailable`."""
    name, least = ("Valkey", VALKEY_MIN) if "valkey_version" in server else ("Redis", REDIS_MIN)
    version = str(server.get("valkey_version") or server.get("redis_version"))
    if int(version.partition(".")[0]) < least:
        raise _unusable(f"{name} {version} is too old; anypod needs Redis {REDIS_MIN} or Valkey {VALKEY_MIN} or newer")
    if "cluster" in (server.get("redis_mode"), server.get("server_mode")) and not is_node:
        raise _unusable("the server is a node of a Redis Cluster; begin the Redis URL with redis+cluster:// or rediss+cluster://")
    if replication.get("role") != "master":
        raise _unusable("the server is a replica and cannot be written; name its primary in the Redis URL")


async def _policy(redis: Redis) -> str:
    """Managed services forbid CONFIG and still tell it here."""
    try:
        return str((await redis.config_get("maxmemory-policy"))["maxmemory-policy"])
    except (ResponseError, KeyError):
        return str((await redis.info("memory")).get("maxmemory_policy"))


async def _load(redis: Redis, library: Library) -> None:
    try:
        await redis.function_load(library.source.decode())
    except ResponseError as exc:
        if "already exists" not in str(exc):
            raise


async def _check_durability(redis: Redis, options: RedisOptions) -> None:
    """Too few replicas of Redis are no reason not to start: readers are served, and publishers told, until there are enough."""
    wait = wait_of(options)
    if wait is None:
        return
    try:
        reply = await redis.execute_command(*wait.words, LOOK_MS)  # type: ignore[no-untyped-call]
    except ResponseError as exc:
        needs = (
            "fsynced needs Redis 7.2 or Valkey 8 with appendonly yes" if options.durability == "fsynced" else "a user needs +wait for it"
        )
        raise _unusable(f"the server cannot promise durability {options.durability} ({exc}); {needs}") from exc
    if not wait.is_enough(reply):
        logger.warning("redis: durability %s is not reached now (%s): publishes will be refused", options.durability, reply)


def _where(address: Address) -> str:
    return f"Redis at {address.endpoint}"


def _unusable(line: str) -> AnypodError:
    return AnypodError("unavailable", line)
