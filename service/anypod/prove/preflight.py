"""Can a proof be run there at all?

Owns the questions before it begins, and what a person is told when the answer is no. Must not know what is proven afterwards.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, NoReturn

import msgspec

from anypod.auth.base64url import decoded
from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.prove.http_probe import Answer, HttpProbe

KINDS: Final = ("message", "x.prove")
SERVER_ERROR: Final = 500  # from this status on it is the right place, at the wrong time


class _Expiry(msgspec.Struct):
    """What we read of a credential; it is the service that checks it."""

    exp: Annotated[float, msgspec.Meta(ge=0, lt=1e11)]  # what a date can be made of


async def check(asker: HttpProbe, session_id: str, credential: str, clock: Clock) -> None:
    """Create, publish, read and delete, once each. Raises AnypodError with what to do."""
    try:
        created = await asker.ask("POST", "/v1/sessions", {"session_id": session_id})
    except AnypodError as error:
        raise AnypodError(
            "unavailable", f"nobody answers there ({error.message}): is the service running, and is --url the address that clients use?"
        ) from error
    if created.status not in (200, 201):
        _refuse(created, "create a session", credential, clock)
    path = f"/v1/sessions/{session_id}"
    events = [{"id": f"preflight.{number}", "kind": kind, "data": None} for number, kind in enumerate(KINDS)]
    try:
        published = await asker.ask("POST", f"{path}/events", events)
        page = await asker.ask("GET", f"{path}/events")
    finally:
        deleted = await asker.ask("DELETE", path)
    for answer, status, what in (
        (published, 201, f"publish {' and '.join(KINDS)}"),
        (page, 200, "read its own session"),
        (deleted, 204, "delete its own session"),
    ):
        if answer.status != status:
            _refuse(answer, what, credential, clock)


def check_expiry(credential: str, lasts_s: float, clock: Clock) -> None:
    """Raises AnypodError for a credential that ends before the proof does."""
    expires_at = _expires_at(credential)
    if expires_at is not None and expires_at * 1000 < clock.wall_ms() + lasts_s * 1000:
        left_s = max(0, round(expires_at - clock.wall_ms() / 1000))
        raise AnypodError("not_authenticated", f"the credential ends in {left_s} s, the proof takes {lasts_s:.0f} s: get a fresh one")


async def check_outsider(asker: HttpProbe, name: str) -> None:
    """A credential that is refused everywhere would prove nothing about isolation."""
    listed = await asker.ask("GET", "/v1/sessions")
    if listed.status != 200:
        raise AnypodError(
            "not_allowed", f"the {name} credential is no use: listing its own sessions is answered with {_told(listed)}; give a valid one"
        )


def _refuse(answer: Answer, what: str, credential: str, clock: Clock) -> NoReturn:
    match answer.code:
        case "not_authenticated":
            raise AnypodError("not_authenticated", _why_not_authenticated(credential, clock))
        case "not_allowed" | "no_such_session":
            raise AnypodError(
                "not_allowed",
                f"the credential may not {what} ({_told(answer)}): a proof needs the rights read and publish, the kinds "
                f"{' and '.join(KINDS)}, and either no list of sessions or one with prove-*",
            )
        case "" | "not_found" | "method_not_allowed" if answer.status < SERVER_ERROR:
            raise AnypodError(
                "unavailable",
                f"whoever answers there serves no sessions ({_told(answer)}): --url is what comes before /v1/sessions, "
                "on the port for clients and not the admin port",
            )
        case _:
            raise AnypodError("unavailable", f"the service could not {what} ({_told(answer)}): look at its readiness, then try again")


def _told(answer: Answer) -> str:
    return f"status {answer.status}, {answer.code or answer.content_type}"


def _why_not_authenticated(credential: str, clock: Clock) -> str:
    """The service does not say why; a credential's expiry stands in it for its holder to read."""
    expires_at = _expires_at(credential)
    if expires_at is None:
        return "the credential is not accepted, and it does not look like a JWT: --token takes the credential alone, without `Bearer`"
    if expires_at * 1000 <= clock.wall_ms():
        return f"the credential has expired at {datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d %H:%M:%S} UTC: get a fresh one"
    return "the credential is not accepted: it was signed by somebody this service does not trust, or for another audience"


def _expires_at(credential: str) -> float | None:
    """Seconds since 1970; None: it does not say."""
    try:
        return msgspec.json.decode(decoded(credential.split(".")[1].encode()), type=_Expiry).exp
    except (IndexError, ValueError, msgspec.MsgspecError):
        return None
