"""May this server be used at all?

Owns the checks at start, each with one line that says what to do. Must not know sessions. The only place that uses redis-py.
"""

from collections.abc import Mapping
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from anypod.core.errors import AnypodError
from anypod.redis_store.address import Address
from anypod.redis_store.library import Library
from anypod.redis_store.options import RedisOptions

REDIS_MIN: Final = 7  # sharded pub/sub and functions came with it
VALKEY_MIN: Final = 8
POLICY: Final = "noeviction"


async def check(address: Address, options: RedisOptions, library: Library, *, is_node: bool = False) -> None:
    """`is_node`: of a cluster. Raises AnypodError `unavailable` with one line for whoever started this."""
    redis = _client(address, options)
    try:
        check_server(await redis.info("server"), await redis.info("replication"), is_node=is_node)
        _check_policy(await _policy(redis))
        await _load(redis, library)
    except AuthenticationError as exc:
        raise _unusable(f"{_where(address)} does not accept the user or password; correct them in the Redis URL") from exc
    except (TimeoutError, RedisError, OSError) as exc:
        raise _unusable(f"{_where(address)} cannot be used ({exc}); start it, or correct the Redis URL") from exc
    finally:
        await redis.aclose()


def _client(address: Address, options: RedisOptions) -> Redis:
    return Redis(
        host=address.endpoint.host,
        port=address.endpoint.port,
        db=address.database,
        username=address.access.username,
        password=address.access.password,
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


def _check_policy(policy: str) -> None:
    if policy != POLICY:
        raise _unusable(f"the server evicts keys when it is full (maxmemory-policy {policy}); set it to {POLICY}, or sessions are lost")


async def _load(redis: Redis, library: Library) -> None:
    try:
        await redis.function_load(library.source.decode())
    except ResponseError as exc:
        if "already exists" not in str(exc):
            raise


def _where(address: Address) -> str:
    return f"Redis at {address.endpoint}"


def _unusable(line: str) -> AnypodError:
    return AnypodError("unavailable", line)
