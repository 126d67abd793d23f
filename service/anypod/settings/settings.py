"""Everything that an operator may set.

Owns names, defaults, bounds and meanings, and what must agree between them. The unit of a setting is the end of its name.
Must not know where the values come from, nor where they are used.
"""

from collections.abc import Callable, Mapping
from socket import gethostname
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from anypod.core.balance import SHARE_MAX
from anypod.core.identity import is_name
from anypod.core.outbox import OUTBOX_BYTES_MAX, OUTBOX_TOTAL_BYTES_MAX
from anypod.core.timing import EXIT_S, HEARTBEAT_MS_MAX, Proxy, Timing, leave_seconds
from anypod.settings.classes import ClassSettings, with_standard
from anypod.settings.files import FileValue
from anypod.settings.formats import (
    KeySetSource,
    SigningSecret,
    is_loopback,
    parse_items,
    parse_key_set_source,
    parse_origin,
    parse_proxies,
    parse_signing_secrets,
)

DEV_SECRET: Final = "anypod-development-secret-known-to-everybody"  # noqa: S105 - public on purpose, see `dev`
FRAME_OVERHEAD_BYTES: Final = 8_192  # what stands around an event's data in a frame, generously
REDIS_SCHEMES: Final = tuple(f"{scheme}{shape}://" for scheme in ("redis", "rediss") for shape in ("", "+sentinel", "+cluster"))

Algorithm = Literal["HS256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(gt=0, le=1 << 40)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_items)]


def _replica_name() -> str:
    """The host's name, in Kubernetes the pod's; what a name cannot hold becomes a dash."""
    return "".join(letter if is_name(letter) else "-" for letter in gethostname())[:64] or "replica"


class Settings(BaseSettings):
    """Made by `load_settings` from the environment, or directly, as tests and embedders do: then the environment is not read."""

    model_config = SettingsConfigDict(env_prefix="ANYPOD_", extra="forbid", frozen=True, validate_default=True)

    store: Literal["redis", "memory"] = Field(
        default="redis", description="Where sessions live. memory: in this process alone, and lost with it."
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        description="The Redis or Valkey: redis://host, redis+sentinel://host,host/primary or redis+cluster://host,host; rediss for TLS.",
    )
    redis_password: SecretStr | None = Field(default=None, description="Its password, where the URL holds none.")
    redis_sentinel_password: SecretStr | None = Field(default=None, description="The password of the Sentinels themselves.")
    redis_tls_ca_file: str | None = Field(
        default=None, description="The authorities that Redis' certificate may come from; unset: the system's."
    )
    redis_tls_cert_file: str | None = Field(default=None, description="The certificate that is shown to Redis, where it asks for one.")
    redis_tls_key_file: str | None = Field(default=None, description="Its key, unless it is in the same file.")
    redis_incarnation: Literal["info", "process"] = Field(
        default="info",
        description="How another life of the Redis server is noticed, after which logs may lack their end. "
        "info: INFO tells it; process: the memory of its functions, where INFO is hidden.",
    )
    durability: Literal["logged", "replicated", "fsynced"] = Field(
        default="logged",
        description="What an acknowledged event survives of Redis. replicated: the loss of its primary; fsynced: a power loss.",
    )
    durability_replicas: Annotated[int, Field(ge=0, le=32)] | None = Field(
        default=None, description="On how many replicas of Redis an event must be; unset: 1 with replicated, 0 with fsynced."
    )
    durability_wait_ms: int = Field(
        default=1_500, ge=1, le=1_500, description="How long a publish waits for that before it is refused, to be sent again."
    )
    key_prefix: str = Field(default="anypod", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="The beginning of every key in the store.")

    host: str = Field(default="0.0.0.0", description="The address that sessions are served on.")  # noqa: S104 - a container is reached from outside
    port: Port = Field(default=8_000, description="Its port.")
    admin_host: str | None = Field(default=None, description="The address of health, readiness and metrics; the same as host unless set.")
    admin_port: Port = Field(default=9_000, description="Its port.")
    replica: str = Field(default_factory=_replica_name, description="The name of this replica, its host's unless set.")
    dev: bool = Field(default=False, description="Development: credentials are signed with a secret that is public. Loopback only.")

    transport: Literal["lean", "portable"] = Field(
        default="lean",
        description="lean: WebSockets and SSE on protocols of our own; portable: through ASGI, as in an application of yours.",
    )

    credentials: Literal["jwt", "application"] = Field(
        default="jwt",
        description="jwt: credentials are JWTs; application: an application that embeds anypod authenticates its requests itself.",
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        description="The secret of credentials signed with HS256, at least 32 bytes; of several, one a line, the first one signs.",
    )
    jwt_previous_secret: SecretStr | None = Field(
        default=None,
        description="What they may be signed with besides, during a rotation: the secret before, or the next. Its file may be missing.",
    )
    jwt_issuer: str | None = Field(default=None, description="The issuer that credentials must name.")
    jwt_audience: str = Field(default="anypod", min_length=1, description="The audience that credentials must name.")
    jwks_urls: Words = Field(default=(), description="Where issuers publish their keys: url, or issuer|url for each of several.")
    jwt_algorithms: Annotated[tuple[Algorithm, ...], NoDecode, BeforeValidator(parse_items)] = Field(
        default=("HS256", "RS256", "ES256", "EdDSA"), min_length=1, description="The algorithms that credentials may be signed with."
    )
    origins: Annotated[Words, AfterValidator(lambda texts: tuple(map(parse_origin, texts)))] = Field(
        default=(),
        description="Origins whose pages are served beside those of the same host: https://app.example.com, https://*.example.com, *.",
    )

    proxies: Annotated[tuple[Proxy, ...], NoDecode, BeforeValidator(parse_proxies)] = Field(
        default=(), description="The proxies on the path and their idle timeouts in milliseconds: alb:60000,nginx:75000."
    )
    heartbeat_ms_max: int = Field(default=HEARTBEAT_MS_MAX, ge=100, le=3_600_000, description="The longest interval between heartbeats.")
    max_stream_s: Seconds = Field(default=300, description="How long an SSE stream lasts before its client has to reconnect.")
    max_connection_age_s: Annotated[float, Field(ge=0, le=604_800)] = Field(
        default=0, description="How long any connection lasts, give or take a fifth, before its client is asked to reconnect; 0: no limit."
    )
    share_max: Annotated[float, Field(ge=0, le=100)] = Field(
        default=SHARE_MAX,
        description="How many times the mean of all replicas' subscribers one may hold before it sends the surplus away; 0: any number.",
    )

    sessions_per_subject_max: Count = Field(default=100, description="Sessions that one subject may have at once.")
    events_per_session_max: Count = Field(
        default=10_000, description="Durable events that a session may hold, unless its class says otherwise."
    )
    deltas_per_session_max: Count = Field(default=50_000, description="Deltas that a session may hold, unless its class says otherwise.")
    bytes_per_session_max: Count = Field(
        default=64 << 20, description="What the events of a session may take of the store's memory, unless its class says otherwise."
    )
    bytes_per_subject_max: Count = Field(
        default=512 << 20, description="The same for all sessions of a subject, whichever replica serves them."
    )
    bytes_per_tenant_max: Count = Field(default=16 << 30, description="The same for all sessions of a tenant.")
    session_classes: dict[str, ClassSettings] = Field(
        default={}, description="Session classes as JSON, laid over the standard ones, chat and voice."
    )
    data_bytes_max: int = Field(default=65_536, ge=1_024, le=16 << 20, description="The data of one event.")
    publish_per_s: Count = Field(default=100, description="Publishes of one connection; twice as many at once.")

    accepts_per_s: Count = Field(default=4_000, description="New connections that a replica lets in.")
    resumes_per_s: Count = Field(default=2_000, description="Attachments that resume; beyond it clients wait, or get a time to retry.")
    fresh_attaches_per_s: Count = Field(default=1_000, description="Attachments that begin.")
    tenant_attaches_per_s: Count = Field(default=2_000, description="Attachments of one tenant, to a replica.")
    subject_attaches_per_s: Count = Field(default=200, description="Attachments of one subject, to a replica.")

    unknown_per_s: Count = Field(
        default=2_000, description="New connections whose credential has to be asked about: no secret of ours signs it, and it is new here."
    )
    refused_per_s: Count = Field(default=100, description="Answers to refused credentials; further ones wait, and are cut.")

    subject_permits_per_s: Count = Field(
        default=2_000, description="Permits of a subject at one replica: an event takes 1, a request over HTTP 20 to 40."
    )
    tenant_permits_per_s: Count = Field(default=10_000, description="The same of a tenant.")
    subject_read_bytes_per_s: Count = Field(default=16 << 20, description="What a subject may read of logs at one replica.")
    tenant_read_bytes_per_s: Count = Field(default=64 << 20, description="The same of a tenant.")
    subject_connections_max: Count = Field(default=1_000, description="Connections of a subject to one replica.")
    tenant_connections_max: Count = Field(default=10_000, description="The same of a tenant.")
    connections_max: Count = Field(default=20_000, description="Connections to one replica.")

    outbox_bytes_max: Count = Field(
        default=OUTBOX_BYTES_MAX, description="What waits for one subscriber before it has to read on from the log."
    )
    outbox_total_bytes_max: Annotated[int, Field(ge=1 << 20)] = Field(
        default=OUTBOX_TOTAL_BYTES_MAX,
        description="What waits for all subscribers of a replica: the fuller it is the less may wait for one, and beyond it those for whom "
        "most waits are cut. An eighth of the memory that a replica has.",
    )
    tail_bytes_max: Count = Field(default=64 << 20, description="Recent events that a replica keeps for replays.")
    unwritable_s_max: Seconds = Field(default=20, description="How long a subscriber may take nothing before it is cut.")
    append_deadline_s: Seconds = Field(default=5, description="How long a publish waits for the store before it is refused.")
    append_queue_max: Count = Field(default=10_000, description="Publishes that wait for the store before further ones are refused.")
    append_queue_bytes_max: Count = Field(default=16 << 20, description="The same, by their size.")

    ready_wait_s: Annotated[float, Field(ge=0, le=600)] = Field(
        default=5, description="From not ready to the first goaway: balancers need that long to notice."
    )
    drain_s: Annotated[float, Field(ge=0, le=3_600)] = Field(default=15, description="Over which clients are sent away, evenly.")
    grace_s: Seconds = Field(
        default=30, description="From SIGTERM to the end: in Kubernetes terminationGracePeriodSeconds without the preStop hook."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least important lines that are written."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json: for machines; text: for people.")

    _files: Mapping[str, FileValue] = PrivateAttr(default_factory=dict)

    @property
    def timing(self) -> Timing:
        return Timing.derive(self.proxies, heartbeat_ms_max=self.heartbeat_ms_max)

    @property
    def frame_bytes_max(self) -> int:
        return self.data_bytes_max + FRAME_OVERHEAD_BYTES

    @property
    def admin_address(self) -> tuple[str, int]:
        return self.admin_host or self.host, self.admin_port

    @property
    def signing_secrets(self) -> tuple[SigningSecret, ...]:
        """What credentials may be signed with, as the files have it now; the first one signs. Raises ValueError for what cannot be used."""
        texts = [text for name in ("jwt_secret", "jwt_previous_secret") if (text := self.current(name))]
        if not texts and self.dev:
            return (SigningSecret(DEV_SECRET),)
        return parse_signing_secrets("\n".join(texts)) if texts else ()

    def current(self, name: str) -> str | None:
        """The text of a setting that may hold a secret, read again where it stands in a file that has changed."""
        if (file := self._files.get(name)) is not None:
            return file.current()
        value = getattr(self, name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    @property
    def key_set_sources(self) -> tuple[KeySetSource, ...]:
        return tuple(parse_key_set_source(text, self.jwt_issuer) for text in self.jwks_urls)

    @property
    def names_from_files(self) -> frozenset[str]:
        """The settings whose values were read from files."""
        return frozenset(name for name in self._files if self.current(name) is not None)

    def read_from_files(self, paths: Mapping[str, str], optional: frozenset[str]) -> Self:
        """Remember where these came from: they are read again."""
        self._files = {
            name: FileValue(path, self.current(name), _CHECKS.get(name, str), is_optional=name in optional) for name, path in paths.items()
        }
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `load_settings` is the only reader of the environment

    @field_validator("replica")
    @classmethod
    def _check_replica(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError("it should be 1 to 64 of A-Z a-z 0-9 _ . : -")
        return name

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: str) -> str:
        if not url.startswith(REDIS_SCHEMES):
            raise ValueError("it should begin with redis://, redis+sentinel:// or redis+cluster://, or rediss in place of redis for TLS")
        return url

    @field_validator("jwt_secret", "jwt_previous_secret")
    @classmethod
    def _check_jwt_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            parse_signing_secrets(secret.get_secret_value())
        return secret

    @field_validator("jwks_urls")
    @classmethod
    def _check_jwks_urls(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        issuers = [parse_key_set_source(text, None).issuer for text in texts]
        if len(texts) > 1 and (None in issuers or len(set(issuers)) < len(issuers)):
            raise ValueError("several key sets should each name another issuer: issuer|url,issuer|url")
        return texts

    @field_validator("session_classes", mode="before")
    @classmethod
    def _lay_over_standard(cls, classes: object, info: ValidationInfo) -> object:
        if not isinstance(classes, dict) or not all(isinstance(fields, dict | ClassSettings) for fields in classes.values()):
            raise ValueError('it should be JSON such as {"voice": {"ttl_ms": 600000}}')
        if wrong := next((name for name in classes if not is_name(name)), None):
            raise ValueError(f"{wrong!r} cannot be the name of a class: 1 to 64 of A-Z a-z 0-9 _ . : -")
        names = {"events_max": "events_per_session_max", "deltas_max": "deltas_per_session_max", "bytes_max": "bytes_per_session_max"}
        return with_standard(classes, {field: info.data.get(setting) for field, setting in names.items()})

    @model_validator(mode="after")
    def _check_agreement(self) -> Self:
        """What no setting can tell alone. Each message names the settings, because this is about none of them."""
        if self.dev and not all(map(is_loopback, (self.host, self.admin_address[0]))):
            raise ValueError(
                "ANYPOD_DEV=true lets every client in: set ANYPOD_HOST=127.0.0.1, or set ANYPOD_JWT_SECRET and unset ANYPOD_DEV"
            )
        if self.jwt_previous_secret is not None and self.jwt_secret is None:
            raise ValueError("ANYPOD_JWT_PREVIOUS_SECRET signs nothing: set ANYPOD_JWT_SECRET to the one that does")
        secrets = self.signing_secrets
        if self.credentials == "jwt" and not secrets and not self.jwks_urls:
            raise ValueError("no credential could be checked: set ANYPOD_JWT_SECRET, ANYPOD_JWT_SECRET_FILE or ANYPOD_JWKS_URLS")
        if not self.dev and any(item.secret == DEV_SECRET for item in secrets):
            raise ValueError("ANYPOD_JWT_SECRET is that of development, which is public: set another")
        if self.durability == "replicated" and self.durability_replicas == 0:
            raise ValueError("ANYPOD_DURABILITY=replicated waits for nothing with ANYPOD_DURABILITY_REPLICAS=0: set it to 1 or more")
        leave_s = leave_seconds(self.ready_wait_s, self.drain_s, self.append_deadline_s)
        if leave_s > self.grace_s:
            raise ValueError(
                f"ANYPOD_GRACE_S={self.grace_s:g} ends before the drain does: set it to at least {leave_s:g} "
                f"(ANYPOD_READY_WAIT_S + ANYPOD_DRAIN_S + ANYPOD_APPEND_DEADLINE_S + {EXIT_S:g})"
            )
        return self


def _check_signing_secrets(text: str) -> None:
    """Of a file that has changed. Raises ValueError."""
    if any(item.secret == DEV_SECRET for item in parse_signing_secrets(text)):
        raise ValueError("holds the secret of development, which is public")


def _check_redis_url(url: str) -> None:
    """The same."""
    if not url.startswith(REDIS_SCHEMES):
        raise ValueError("does not hold a Redis URL")


_CHECKS: Final[Mapping[str, Callable[[str], object]]] = {
    "jwt_secret": _check_signing_secrets,
    "jwt_previous_secret": _check_signing_secrets,
    "redis_url": _check_redis_url,
}
