"""The frames that open an attachment, end a replay, or void a history.

Owns their contents, and is the only place that builds and counts a `session.reset`. Must not know when they are due.
"""

from typing import NamedTuple

from msgspec import Raw

from anypod.core import frames
from anypod.core.cursor import Cursor, Facts, Reason
from anypod.hub.hub import Hub
from anypod.hub.session import HubSession
from anypod.store import Snapshot


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


def attach_reply_frame(hub: Hub, session: HubSession, reply: AttachReply) -> bytes:
    """`session.created` or `session.restored`."""
    assert session.snapshot is not None
    kind = frames.CreatedFrame if reply.was_created else frames.RestoredFrame
    return frames.encode(
        kind(
            ref=reply.ref,
            session_id=session.key.session,
            cursor=reply.head or session.cursor,
            folded=session.facts.folded if reply.folded is None else reply.folded,
            heartbeat_ms=hub.options.heartbeat_ms,
            resumed_at=reply.resumed_at,
            missed=reply.missed,
            after_seq=reply.after_seq,
            state=Raw(session.snapshot.state),
            live=Raw(session.live_state(hub.clock.wall_ms())),
            turns=[],
            limits=hub.options.limits,
            replica=hub.options.replica,
        )
    )


def sync_done_frame(session: HubSession, ref: str | int | None = None) -> bytes:
    return frames.encode(frames.SyncDoneFrame(ref=ref, cursor=session.cursor, folded=session.facts.folded, seq=session.seq))


def reset_frame(hub: Hub, reason: Reason, snapshot: Snapshot, facts: Facts, common: str = "") -> bytes:
    """`common`: the last cursor that the client shares with the log, "" when there is none. `facts`: of the log as it is now."""
    hub.metrics.resets[reason] += 1
    shared = Cursor.parse(common)
    return frames.encode(
        frames.ResetFrame(
            reason=reason,
            common=common or None,
            common_seq=shared.seq if shared is not None else None,
            cursor=str(facts.head),
            folded=facts.folded,
            oldest=facts.oldest,
            state=Raw(snapshot.state),
            live=Raw(snapshot.live_at(hub.clock.wall_ms())),
        )
    )


def reset_frame_without_log(hub: Hub, reason: Reason) -> bytes:
    """Where the client's session is not there, or not the client's any more."""
    hub.metrics.resets[reason] += 1
    return frames.encode(frames.ResetFrame(reason=reason, folded=0, oldest=0))
