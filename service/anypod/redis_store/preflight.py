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
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.log.durability import wait_of
from anypod.redis_store.url import ServerAddress
from anypod.redis_store.wire.errors import is_denied
from anypod.redis_store.wire.handshake import POLICY, judge_policy

REDIS_MIN: Final = 7  # sharded pub/sub and functions came with it
VALKEY_MIN: Final = 8
LOOK_MS: Final = 10  # nothing is waited for but what there is

logger = logging.getLogger(__name__)


async def check(address: ServerAddress, options: RedisOptions, library: FunctionLibrary, *, is_node: bool = False) -> None:
    """`is_node`: of a cluster. Raises AnypodError `unavailable` with one line for the operator; with a hint when it may pass."""
    redis = _client(address, options)
    try:
        if options.incarnation == "info":
            replication = await _replication(redis, address)
            check_server(await redis.info("server"), replication, is_node=is_node)
            judge_policy(await _policy(redis))
        else:
            check_server(*await _told_otherwise(redis), is_node=is_node)
            await _check_policy_if_told(redis, address)
        await _load(redis, library, address)
        await _check_durability(redis, options)
    except AuthenticationError as exc:
        raise _unusable(f"{_where(address)} does not accept the user or password; correct them in the Redis URL") from exc
    except ResponseError as exc:
        raise _unusable(f"{_where(address)} cannot be used ({exc}); correct it, or the Redis URL") from exc
    except (TimeoutError, RedisError, OSError) as exc:
        raise unavailable(f"{_where(address)} cannot be used ({exc}); start it, or correct the Redis URL") from exc
    finally:
        await redis.aclose()


def _client(address: ServerAddress, options: RedisOptions) -> Redis:
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


async def _replication(redis: Redis, address: ServerAddress) -> Mapping[str, object]:
    """Raises AnypodError where it is hidden: no failover could be noticed."""
    try:
        replication: Mapping[str, object] = await redis.info("replication")
    except ResponseError as exc:
        if not is_denied(str(exc)):
            raise
        raise _hidden(address, f"does not let us ask for INFO ({exc})") from exc
    if not replication.get("master_replid"):
        raise _hidden(address, "does not tell master_replid in INFO replication")
    return replication


def _hidden(address: ServerAddress, what: str) -> AnypodError:
    way = "let its user have +info, or set ANYPOD_REDIS_INCARNATION=process for all replicas, before the first session is made"
    return _unusable(f"{_where(address)} {what}, by which a failover that has lost events is noticed; {way}")


async def _told_otherwise(redis: Redis) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """What INFO would say of the server and its role, from commands that need no permission, or less of one."""
    try:
        flat = await redis.execute_command("HELLO")  # type: ignore[no-untyped-call]
    except ResponseError as exc:
        if not is_denied(str(exc)):
            raise
        flat = []  # what is too old has no functions: loading them will tell
    hello = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    name = "valkey_version" if hello.get("server") == "valkey" else "redis_version"
    role = await redis.execute_command("ROLE")  # type: ignore[no-untyped-call]
    return {name: hello.get("version", VALKEY_MIN), "redis_mode": hello.get("mode")}, {"role": role[0]}


async def _check_policy_if_told(redis: Redis, address: ServerAddress) -> None:
    """Raises AnypodError."""
    try:
        policy = await _policy(redis)
    except ResponseError as exc:
        if not is_denied(str(exc)):
            raise
        logger.warning("%s does not tell its maxmemory-policy: see that it is %s, or sessions are lost", _where(address), POLICY)
    else:
        judge_policy(policy)


async def _load(redis: Redis, library: FunctionLibrary, address: ServerAddress) -> None:
    try:
        await redis.function_load(library.source.decode())
    except ResponseError as exc:
        if is_denied(str(exc)):
            await _check_loaded(redis, library, address, exc)
        elif "already exists" not in str(exc):
            raise


async def _check_loaded(redis: Redis, library: FunctionLibrary, address: ServerAddress, denied: ResponseError) -> None:
    """Raises AnypodError."""
    try:
        await redis.fcall(library.name("ready").decode(), 0)
    except ResponseError as exc:
        way = "let its user have +function|load, or load them as a user who may: anypod functions | redis-cli -x FUNCTION LOAD"
        raise _unusable(f"{_where(address)} does not let us load our functions ({denied}), and they are not there ({exc}); {way}") from exc


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


def _where(address: ServerAddress) -> str:
    return f"Redis at {address.endpoint}"


def _unusable(line: str) -> AnypodError:
    return AnypodError("unavailable", line)
