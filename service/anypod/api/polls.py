"""A page of the log as a poll gets it, and what it is told where its cursor cannot be honoured.

Owns the judgement of a poll's cursor and the making of what is not there. Must not know requests, nor how a poll waits.
"""

import msgspec
from msgspec import Raw

from anypod.api.dependencies import Dependencies
from anypod.auth import Principal, is_authorised
from anypod.core.cursor import Cursor, Reset, parse_after
from anypod.core.errors import AnypodError
from anypod.core.event import as_json
from anypod.core.identity import SessionKey
from anypod.hub.attach import verified_read
from anypod.hub.attach_frames import reset_frame, reset_frame_without_log
from anypod.hub.attach_request import AttachRequest, reset_for_missing
from anypod.hub.recovery import end_of
from anypod.hub.session import common_cursor
from anypod.store import Missing, Page


class PageView(msgspec.Struct):
    """`cursor`: where the page ends, the next `after`. `head`: where the log ends. `closed`: for good."""

    events: list[Raw]
    cursor: str
    head: str
    folded: int
    more: bool
    closed: bool


async def page_after(context: Dependencies, principal: Principal, key: SessionKey, after: str, *, limit: int, fold: bool) -> PageView:
    """Raises AnypodError `cursor_gone` with the frame that says why, where the cursor cannot be honoured."""
    place = parse_after(after)
    seq = place.seq if isinstance(place, Cursor) else 0 if place == "start" else None
    page, verdict = await verified_read(
        context.layer.hub.store, place, lambda: context.page(principal, key, "read", seq, limit=limit, fold=fold)
    )
    if isinstance(verdict, Reset):
        raise await _cursor_gone(context, principal, key, verdict, page)
    facts = page.snapshot.facts
    end = end_of(page) or after
    return PageView(
        events=[Raw(as_json(frame)) for frame in page.frames],
        cursor=end if isinstance(Cursor.parse(end), Cursor) else str(facts.head),
        head=str(facts.head),
        folded=facts.folded,
        more=page.has_more,
        closed=page.snapshot.is_closed,
    )


async def page_of_poll(context: Dependencies, principal: Principal, attach_request: AttachRequest, *, limit: int, fold: bool) -> PageView:
    """As `page_after`, for a client that attaches by it: a missing session is created, or reported as on other transports.

    A log may be lost between any two steps of a poll, so it is the step that misses it that asks what has become of it. Somebody else
    may have made it anew by then: the cursor is found to be of another log.
    """
    try:
        return await page_after(context, principal, attach_request.key, attach_request.after or "start", limit=limit, fold=fold)
    except AnypodError as error:
        if error.code != "no_such_session":
            raise
    await _create_missing(context, principal, attach_request)
    return await page_after(context, principal, attach_request.key, attach_request.after or "start", limit=limit, fold=fold)


async def _cursor_gone(context: Dependencies, principal: Principal, key: SessionKey, verdict: Reset, page: Page) -> AnypodError:
    facts, common = page.snapshot.facts, ""
    if verdict.common is not None:
        facts = (await context.page(principal, key, "read", verdict.common)).snapshot.facts
        common = common_cursor(facts, verdict.common)
    return AnypodError("cursor_gone", reset=reset_frame(context.layer.hub, verdict.reason, page.snapshot, facts, common))


async def _create_missing(context: Dependencies, principal: Principal, attach_request: AttachRequest) -> None:
    """With the right to. Raises AnypodError `cursor_gone` when there was a history, except for a client that saw the deletion."""
    if attach_request.after is not None:
        await context.layer.hub.store.verify_primary()
    found = await context.layer.hub.store.read(attach_request.key, None, limit=0)
    if not isinstance(found, Missing) or (found.was_deleted and not attach_request.may_create):
        return
    if not is_authorised(principal, attach_request.key.session, "publish"):
        return
    lost = reset_for_missing(attach_request, found, principal.subject)
    if lost is not None:
        raise AnypodError("cursor_gone", reset=reset_frame_without_log(context.layer.hub, lost.reason))
    await context.layer.attachments.factory.create_if_missing(principal, attach_request.key)
