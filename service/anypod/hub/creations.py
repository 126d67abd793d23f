"""New sessions: what they begin with, and who may make one by coming to it.

Owns the class, the epoch and the quota of a creation. Must not know how anybody attaches.
"""

from random import Random
from typing import Final

from anypod.auth import Principal, is_authorised
from anypod.core import frames
from anypod.core.cursor import Reset
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey
from anypod.hub.attach_request import NO_STATE, AttachRequest, InitialState
from anypod.hub.hub import Hub
from anypod.hub.subscriber import Subscriber
from anypod.store import Creation, Page

EPOCH_CHARS: Final = 10  # 51 random bits: two lives of one session id never share an epoch
_EPOCH_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


class SessionFactory:
    def __init__(self, hub: Hub, rng: Random) -> None:
        self._hub = hub
        self._rng = rng

    async def create(self, principal: Principal, key: SessionKey, contents: InitialState = NO_STATE) -> tuple[Page, bool]:
        """A new session of the principal's, or its own of that name (False). Raises AnypodError."""
        options = self._hub.options
        class_name = contents.class_name or options.class_default
        if class_name not in options.classes:
            raise AnypodError("malformed", f"class must be one of {', '.join(sorted(options.classes))}")
        creation = Creation(
            key=key,
            owner=principal.subject,
            session_class=options.classes[class_name],
            epoch="".join(self._rng.choices(_EPOCH_ALPHABET, k=EPOCH_CHARS)),
            sessions_max=options.sessions_per_subject_max,
            state=contents.state,
            live=contents.live,
            metadata=contents.metadata,
        )
        return await self._hub.store.create(creation)

    async def create_missing(self, subscriber: Subscriber, ask: AttachRequest, lost: Reset | None) -> None:
        """The session that somebody came to and that is not there. Raises AnypodError, `no_such_session` to whom may not make it."""
        principal = subscriber.principal
        if not (ask.may_create and is_authorised(principal, ask.key.session, "publish")):
            self.tell_lost(subscriber, lost)
            raise AnypodError("no_such_session")
        try:
            await self.create(principal, ask.key, InitialState(class_name=ask.class_name))
        except AnypodError as error:
            if error.code != "no_such_session":
                raise
            # Another subject was quicker; whether this one reaches its session too is asked of whoever attaches.

    def tell_lost(self, subscriber: Subscriber, lost: Reset | None) -> None:
        """To who comes back, and finds no session that it may have."""
        if lost is not None:
            subscriber.port.send(frames.encode(frames.ResetFrame(reason=lost.reason, folded=0, oldest=0)))
