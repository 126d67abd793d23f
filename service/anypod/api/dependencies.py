"""What every route needs: the session layer.

Owns the checks that all routes share. Must not know any route.
"""

from random import Random

from fastapi import Request

from anypod.api.bodies import Bodies
from anypod.auth import Access, Principal, authorise
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey
from anypod.core.permits import REFUSAL_S_MAX, Account, Action
from anypod.hub.layer import SessionLayer
from anypod.store import Missing, Page


class Dependencies:
    def __init__(self, layer: SessionLayer, rng: Random) -> None:
        self.layer = layer
        self.rng = rng
        self.waiting = layer.attachments.admission
        self.bodies = Bodies()

    async def page(
        self, principal: Principal, key: SessionKey, access: Access, after: int | None = None, *, limit: int = 0, fold: bool = False
    ) -> Page:
        """A page of a session that the principal may so touch. Raises AnypodError `no_such_session`, alike for missing and foreign ones."""
        page = await self.layer.hub.store.read(key, after, limit=limit, fold=fold)
        if isinstance(page, Missing):
            raise AnypodError("no_such_session")
        authorise(principal, key.session, access, owner=page.snapshot.owner)
        return page

    async def charge(self, account: Account, action: Action, count: int = 1) -> None:
        """Raises AnypodError `rate_limited`, with a delay: a client gains nothing by asking again at once."""
        try:
            self.layer.hub.accounts.charge(account, action, count)
            self.layer.hub.accounts.check_reading(account)
        except AnypodError:
            await self.waiting.hold(REFUSAL_S_MAX)
            raise


def etag(cursor: str) -> str:
    return f'"{cursor}"'


def expected(request: Request) -> str | None:
    """The cursor of `If-Match`, None without the header."""
    value = request.headers.get("if-match")
    return value.strip().removeprefix("W/").strip('"') if value is not None else None
