"""What every route needs: the session layer, and the limits of a subject.

Owns the checks that all routes share. Must not know any route.
"""

from random import Random

from fastapi import Request

from anypod.auth import Access, Principal, authorise
from anypod.core.admission import Buckets
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey
from anypod.hub.desk import Desk
from anypod.store import Missing, Page

SUBJECTS_MAX = 20_000  # buckets kept at once; 200 bytes each


class Context:
    def __init__(self, desk: Desk, rng: Random) -> None:
        self.desk = desk
        self.rng = rng
        per_s = desk.hub.options.limits.publish_per_s
        self._permits = Buckets(per_s, 2 * per_s, keys_max=SUBJECTS_MAX)

    async def page(
        self, principal: Principal, key: SessionKey, access: Access, after: int | None = None, *, limit: int = 0, fold: bool = False
    ) -> Page:
        """A page of a session that the principal may so touch. Raises AnypodError `no_such_session`, alike for missing and foreign ones."""
        page = await self.desk.hub.store.read(key, after, limit=limit, fold=fold)
        if isinstance(page, Missing):
            raise AnypodError("no_such_session")
        authorise(principal, key.session, access, owner=page.snapshot.owner)
        return page

    def take_permit(self, principal: Principal, count: int = 1) -> None:
        """Raises AnypodError `rate_limited`."""
        wait_s = self._permits.take((principal.tenant, principal.subject), self.desk.hub.clock.now(), count)
        if wait_s > 0:
            raise AnypodError("rate_limited", retry_after_ms=int(wait_s * 1000) + 1)


def etag(cursor: str) -> str:
    return f'"{cursor}"'


def expected(request: Request) -> str | None:
    """The cursor of `If-Match`, None without the header."""
    value = request.headers.get("if-match")
    return value.strip().removeprefix("W/").strip('"') if value is not None else None
