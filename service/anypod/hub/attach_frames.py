"""The frames that open an attachment, end a replay, or void a history.

Owns their contents, drawn from a session as this replica knows it. Must not know when they are due.
"""

from typing import NamedTuple

from msgspec import Raw

from anypod.core import frames
from anypod.core.cursor import Cursor, Facts, Reason
from anypod.hub.config import HubOptions
from anypod.hub.session import HubSession


class AttachReply(NamedTuple):
    """`missed`: events that follow, after `after_seq`.

    `head`, `folded`: as the page behind the frame saw them; None: as the session stands.
    """

    missed: int
    after_seq: int
    resumed_at: str | None = None
    ref: str | int | None = None
    was_created: bool = False
    head: str | None = None
    folded: int | None = None


def opening_frame(session: HubSession, opening: AttachReply, options: HubOptions, wall_ms: int) -> bytes:
    assert session.snapshot is not None
    kind = frames.CreatedFrame if opening.was_created else frames.RestoredFrame
    return frames.encode(
        kind(
            ref=opening.ref,
            session_id=session.key.session,
            cursor=opening.head or session.cursor,
            folded=session.facts.folded if opening.folded is None else opening.folded,
            heartbeat_ms=options.heartbeat_ms,
            resumed_at=opening.resumed_at,
            missed=opening.missed,
            after_seq=opening.after_seq,
            state=Raw(session.snapshot.state),
            live=Raw(session.live_state(wall_ms)),
            turns=[],
            limits=options.limits,
            replica=options.replica,
        )
    )


def sync_done_frame(session: HubSession, ref: str | int | None = None) -> bytes:
    return frames.encode(frames.SyncDoneFrame(ref=ref, cursor=session.cursor, folded=session.facts.folded, seq=session.seq))


def reset_frame(session: HubSession, reason: Reason, facts: Facts, common: str, wall_ms: int) -> bytes:
    """`common`: the last cursor that the client shares with the log, "" when there is none."""
    shared = Cursor.parse(common)
    return frames.encode(
        frames.ResetFrame(
            reason=reason,
            common=common or None,
            common_seq=shared.seq if shared is not None else None,
            cursor=str(facts.head),
            folded=facts.folded,
            oldest=facts.oldest,
            state=Raw(session.snapshot.state if session.snapshot else b"{}"),
            live=Raw(session.live_state(wall_ms)),
        )
    )
