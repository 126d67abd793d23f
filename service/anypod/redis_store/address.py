"""Where Redis is and how to be let in.

Owns the forms of a Redis URL. Must not know connections, nor which of the servers that it names is the one to use.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from anypod.core.errors import AnypodError
from anypod.redis_store.options import RedisOptions

REDIS_PORT: Final = 6_379
SENTINEL_PORT: Final = 26_379

Shape = Literal["single", "sentinel", "cluster"]
_SHAPES: Final[Mapping[str, Shape]] = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}


class Endpoint(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Access:
    """Whom to be and what to trust. `tls` None: in the clear."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """One server. Its name is resolved anew for each connection: a restarted server may have another address."""

    endpoint: Endpoint
    access: Access
    database: int = 0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a URL names: the server; the Sentinels that know where it is (`name`: what they call it); or some nodes of a cluster."""

    shape: Shape
    endpoints: tuple[Endpoint, ...]
    access: Access
    database: int = 0
    name: str = ""

    @classmethod
    def parse(cls, options: RedisOptions) -> "Deployment":
        """Raises AnypodError when the URL is not one of Redis."""
        try:
            url = urlsplit(options.url)
            scheme, _, kind = url.scheme.partition("+")
            shape, is_tls = _SHAPES[kind], {"redis": False, "rediss": True}[scheme]
            credentials, _, hosts = url.netloc.rpartition("@")
            endpoints = tuple(_endpoint(host, SENTINEL_PORT if shape == "sentinel" else REDIS_PORT) for host in hosts.split(","))
            name, database = _path(shape, url.path.strip("/"))
        except (ValueError, KeyError) as exc:
            raise _unusable() from exc
        if shape == "single" and len(endpoints) > 1:
            raise _unusable()
        user, _, password = credentials.partition(":")
        access = Access(unquote(user) or None, unquote(password) or None, _tls(options) if is_tls else None)
        return cls(shape, endpoints, access, database, name)

    def address(self, endpoint: Endpoint) -> Address:
        """A server of this deployment."""
        return Address(endpoint, self.access, self.database)

    def sentinel(self, endpoint: Endpoint, password: str | None) -> Address:
        """A Sentinel, which has users of its own and keeps nothing."""
        return Address(endpoint, replace(self.access, username=None, password=password))


def _endpoint(text: str, port: int) -> Endpoint:
    """Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path:
        raise ValueError(text)
    return Endpoint(parts.hostname, parts.port or port)


def _path(shape: Shape, path: str) -> tuple[str, int]:
    """The primary's name and the number of the database. Raises ValueError."""
    name, _, number = path.partition("/") if shape == "sentinel" else ("", "", path)
    database = int(number or 0)
    if (shape == "sentinel") != bool(name) or (shape == "cluster" and database):
        raise ValueError(path)
    return unquote(name), database


def _tls(options: RedisOptions) -> ssl.SSLContext:
    """Raises AnypodError when a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=options.tls_ca_file)
        if options.tls_cert_file is not None:
            context.load_cert_chain(options.tls_cert_file, options.tls_key_file)
    except OSError as exc:  # ssl.SSLError is one
        names = ", ".join(name for name in (options.tls_ca_file, options.tls_cert_file, options.tls_key_file) if name)
        raise AnypodError("unavailable", f"the certificates for Redis cannot be used ({exc}); check {names}") from exc
    return context


def _unusable() -> AnypodError:
    return AnypodError(
        "unavailable",
        "the Redis URL must look like redis://[user:password@]host[:port][/database], redis+sentinel://host[:port],…/primary[/database] "
        "or redis+cluster://host[:port],…; with rediss in place of redis it is TLS",
    )
