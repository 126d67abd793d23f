"""May this principal do this, in this session? The one question that every route and every frame asks, on every transport.

Owns the verdict, and the access that each client frame needs. Pure. Must not know how a principal was authenticated, nor where the
owner of a session was looked up.

The verdict has two halves. By name it falls at once: the right, a ticket that was narrowed, the patterns of `sessions`. Whose the
session is, the log knows: who has read it gives `owner`, and who has not hands `owner_demanded` to the store, which looks in the
same step as it writes.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from anypod.auth.principal import Principal, Right
from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.identity import Subject

# `own`: to end a session for good takes its owner with the right to publish, or the right `admin`.
Access = Right | Literal["own"]

ACCESS_OF_FRAME: Final[Mapping[type[frames.ClientFrame], Access]] = {
    frames.InitFrame: "read",
    frames.PublishFrame: "publish",
    frames.ClientSignalFrame: "signal",
    frames.ClientPresenceFrame: "signal",
    frames.SyncFrame: "read",
    frames.ClientHistoryFrame: "read",
    frames.StatePatchFrame: "state",
    frames.CancelFrame: "cancel",
    frames.AuthFrame: "read",
    frames.ClientHeartbeatFrame: "read",
}


def check_frames(accesses: Mapping[type[frames.ClientFrame], Access], known: frozenset[type[frames.ClientFrame]]) -> None:
    """Raises TypeError for a frame whose access is not declared: the process does not start with one."""
    if forgotten := known - accesses.keys():
        raise TypeError(f"frames without an access: {', '.join(sorted(frame.__name__ for frame in forgotten))}")


check_frames(ACCESS_OF_FRAME, frozenset(get_args(frames.ClientFrame)))


def authorise(principal: Principal, session: str | None, access: Access, *, owner: Subject | None = None) -> None:
    """Raises AnypodError `not_allowed` where a right is missing; `no_such_session`, as if there were none, where it is out of reach.

    `session` None: it is about no session. `owner` None: it is not created yet, or the store compares the owner.
    """
    if not _holds(principal, access):
        raise AnypodError("not_allowed", _lacking(access))
    if session is None:
        return
    if not principal.reaches(session, owner):
        raise AnypodError("no_such_session")
    if access == "own" and owner is not None and not (principal.is_admin or owner == principal.subject):
        raise AnypodError("not_allowed", _lacking(access))


def is_authorised(principal: Principal, session: str | None, access: Access, *, owner: Subject | None = None) -> bool:
    try:
        authorise(principal, session, access, owner=owner)
    except AnypodError:
        return False
    return True


def owner_demanded(principal: Principal, access: Access) -> Subject | None:
    """Whose session it must be, for the store to see to; None: the verdict by name was all."""
    return principal.subject if access == "own" and not principal.is_admin else principal.owner_required


def _holds(principal: Principal, access: Access) -> bool:
    return principal.may(access) if access != "own" else principal.may("publish") or principal.is_admin


def _lacking(access: Access) -> str:
    return f"the credential lacks the right {access}" if access != "own" else "only the owner of a session or the right admin may end it"
