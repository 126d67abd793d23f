"""Where Redis is and how to be let in.

Owns the forms of a Redis URL. Must not know connections, nor which of the servers that it names is the one to use.
"""

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from anypod.core.errors import AnypodError
from anypod.redis_store.config import RedisOptions
from anypod.settings import file_marks

REDIS_PORT: Final = 6_379
SENTINEL_PORT: Final = 26_379

Shape = Literal["single", "sentinel", "cluster"]
_SHAPES: Final[Mapping[str, Shape]] = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}

logger = logging.getLogger(__name__)


class Endpoint(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Login(NamedTuple):
    username: str | None
    password: str | None


class Access:
    """The user and the certificates. Read for each connection: passwords and certificates are rotated while replicas run.

    `tls` None: in the clear.
    """

    __slots__ = ("_tls", "login")

    def __init__(self, login: Callable[[], Login], tls: "Certificates | None") -> None:
        self.login: Final = login
        self._tls = tls

    @property
    def tls(self) -> ssl.SSLContext | None:
        return self._tls.context() if self._tls is not None else None

    def as_other(self, login: Callable[[], Login]) -> "Access":
        return Access(login, self._tls)


@dataclass(frozen=True, slots=True)
class ServerAddress:
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
            hosts = url.netloc.rpartition("@")[2]
            endpoints = tuple(_endpoint(host, SENTINEL_PORT if shape == "sentinel" else REDIS_PORT) for host in hosts.split(","))
            name, database = _path(shape, url.path.strip("/"))
        except (ValueError, KeyError) as exc:
            raise _unusable() from exc
        if shape == "single" and len(endpoints) > 1:
            raise _unusable()
        url_now = options.url_now or (lambda: options.url)
        return cls(shape, endpoints, Access(lambda: _login(url_now()), Certificates(options) if is_tls else None), database, name)

    def address(self, endpoint: Endpoint) -> ServerAddress:
        """A server of this deployment."""
        return ServerAddress(endpoint, self.access, self.database)

    def sentinel(self, endpoint: Endpoint, password: Callable[[], str | None]) -> ServerAddress:
        """A Sentinel, which has users of its own and keeps nothing."""
        return ServerAddress(endpoint, self.access.as_other(lambda: Login(None, password())))


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


def _login(url: str) -> Login:
    user, _, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    return Login(unquote(user) or None, unquote(password) or None)


class Certificates:
    """What is trusted and shown, from files that are read again once they have changed. Raises AnypodError when they cannot be used."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._seen = self._marks()
        self._context = _context(options)

    def context(self) -> ssl.SSLContext:
        """A certificate and its key may be replaced one after the other: until they fit again, the last ones stay in use."""
        if (marks := self._marks()) != self._seen:
            try:
                self._context = _context(self._options)
            except AnypodError as error:
                logger.warning("redis: %s; the last ones stay in use", error.message)
            else:
                self._seen = marks
                logger.info("redis: the certificates were read again")
        return self._context

    def _marks(self) -> object:
        options = self._options
        return [name and file_marks(name) for name in (options.tls_ca_file, options.tls_cert_file, options.tls_key_file)]


def _context(options: RedisOptions) -> ssl.SSLContext:
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
