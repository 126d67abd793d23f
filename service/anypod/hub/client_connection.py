"""A client that talks: the session layer of every two-way transport.

Owns what each client frame brings about and the limits of one connection. Must not know the transport: it is handed the bytes
of frames, and a `Port` to answer by.
"""

from collections.abc import Awaitable
from typing import Final, assert_never

from msgspec import UNSET

from anypod.auth import ACCESS_OF_FRAME, Access, Principal, authorise
from anypod.core import frames
from anypod.core.byte_budget import RETRY_MS
from anypod.core.cursor import Cursor, parse_after
from anypod.core.errors import AnypodError
from anypod.core.event import Draft, Receipt
from anypod.core.identity import SessionKey, Subject
from anypod.core.permits import REFUSAL_S_MAX, Action
from anypod.hub.accounts import ACTION_OF_FRAME, limited
from anypod.hub.attach_request import NO_EVENTS, AttachRequest
from anypod.hub.layer import SessionLayer
from anypod.hub.port import TalkingPort
from anypod.hub.publisher import Publication
from anypod.hub.requests import DraftBuilder, attach_request_of, history_frame, published_frame, signal_notice
from anypod.hub.session import SubscriberPhase
from anypod.hub.state_patch import StatePatch
from anypod.store import Missing, Results

EARLY_FRAMES_MAX: Final = 64  # sent before the attachment is open; more is `too_many_frames`
EARLY_BYTES_MAX: Final = 128 << 10  # the same by their size: one of the largest by default, and many usual ones
GROUP_MAX: Final = 64  # publishes that go to the log in one piece
ATTACHED: Final[frozenset[Access]] = frozenset({"read"})  # what every attachment was granted when it opened
ASKS_MAX: Final = 8  # answers that a client may be waiting for at once, beside publishes


class ClientConnection:
    """`heard`, then `take` for each frame, then `flush`: what comes together goes to the log together."""

    __slots__ = (
        "_asks",
        "_builder",
        "_drafts",
        "_early",
        "_early_bytes",
        "_frames_full_at",
        "_granted",
        "_is_open",
        "_layer",
        "_publishes_full_at",
        "_refs",
        "_seen",
        "key",
        "port",
        "subscriber",
    )

    def __init__(self, layer: SessionLayer, port: TalkingPort, principal: Principal, key: SessionKey) -> None:
        self._layer = layer
        self.port = port
        self.key = key
        self.subscriber = layer.attachments.subscriber(port, principal)
        self.subscriber.has_client_beats = True
        self._frames_full_at = self._publishes_full_at = 0.0  # see `Rate`
        self._early: list[tuple[bytes, bool]] | None = None  # None before session.init
        self._early_bytes = 0
        self._drafts: dict[str, Draft] | None = None  # by id, which comes once in a piece
        self._refs: list[str | int | None] | None = None  # of these drafts
        self._is_open = False
        self._builder: DraftBuilder | None = None  # made for the first publish: most clients only listen
        self._granted = ATTACHED  # and so in use: a fresh credential must grant it too
        self._asks = 0
        self._seen = 0  # where the session stood at the client's last heartbeat

    def begin(self, attach_request: AttachRequest) -> None:
        """Attach. Called for session.init, or by a transport that was given its fields with the connection itself."""
        self._early = []
        self._layer.attachments.attach(self.subscriber, attach_request, self._opened)

    def gone(self) -> None:
        """The transport has ended."""
        self._forget_early()
        self._layer.attachments.detach(self.subscriber)

    def receive(self, text: bytes, *, is_binary: bool = False) -> None:
        """One frame of the client that came by itself."""
        self.heard()
        self.take(text, is_binary=is_binary)
        self.flush()

    def heard(self) -> None:
        """Something has come; the moment counts for all of it."""
        layer = self._layer
        self.subscriber.heard_at, layer.wall_ms = layer.clock.now(), layer.clock.wall_ms()

    def take(self, text: bytes, *, is_binary: bool = False) -> None:
        """One of several frames that came together."""
        if not self._is_open:
            self._take_early(text, is_binary)
            return
        self._layer.metrics.frames_in += 1
        if self.subscriber.phase is SubscriberPhase.GONE:
            return
        try:
            frame, payload = frames.decode_binary(text) if is_binary else (frames.decode_client(text), None)
        except AnypodError as error:
            self.refuse(error)
            return
        try:
            if type(frame) is frames.PublishFrame:
                self._publish(frame, payload)
            elif not self._admits_frame():
                self.refuse(AnypodError("too_many_frames"))
            else:
                self._other(frame)
        except AnypodError as error:
            self._answer_error(error, frame.ref if not isinstance(frame, frames.PublishFrame) else frame.ref or frame.id)

    def _take_early(self, text: bytes, is_binary: bool) -> None:
        """Before the attachment is open; what waits is counted when it is taken."""
        if self._early is None:
            self._layer.metrics.frames_in += 1
            self._first(text)
        elif self.subscriber.phase is not SubscriberPhase.GONE:
            self._keep_early(text, is_binary)

    def _keep_early(self, text: bytes, is_binary: bool) -> None:
        assert self._early is not None
        size = self._early_bytes + len(text)
        if len(self._early) >= EARLY_FRAMES_MAX or size > max(EARLY_BYTES_MAX, self._layer.hub.options.limits.frame_bytes):
            self.refuse(AnypodError("too_many_frames", "wait for session.restored before sending more"))
            self._forget_early()
            return
        self._early.append((text, is_binary))
        self._early_bytes = size
        for oldest in self._layer.early.note(self, size):
            oldest.give_way()

    def give_way(self) -> None:
        """From the budget of early frames: others wait with what they have sent as well."""
        self.refuse(AnypodError("overloaded", "too much waits for sessions to open", retry_after_ms=RETRY_MS))
        self._forget_early()

    def _forget_early(self) -> list[tuple[bytes, bool]]:
        if self._early_bytes:
            self._layer.early.drop(self)
            self._early_bytes = 0
        early, self._early = self._early or [], []
        return early

    def admits_control(self) -> bool:
        """May a control frame of the transport be answered? It counts like any other."""
        is_admitted = self._admits_frame()
        if not is_admitted:
            self.refuse(AnypodError("too_many_frames"))
        return is_admitted

    def _admits_frame(self) -> bool:
        wait_s, self._frames_full_at = self._layer.frames.take(self._frames_full_at, self.subscriber.heard_at)
        return wait_s == 0

    def _first(self, text: bytes) -> None:
        try:
            frame = frames.decode_client(text)
            if not isinstance(frame, frames.InitFrame):
                raise AnypodError("malformed", "the first frame must be session.init")
            self.begin(attach_request_of(self.key, frame))
        except AnypodError as error:
            self.refuse(error)

    def _opened(self) -> None:
        self._is_open = True
        for text, is_binary in self._forget_early():
            self.take(text, is_binary=is_binary)
        self.flush()

    def refuse(self, error: AnypodError, ref: str | int | None = None) -> None:
        """End the attachment: the client is told why."""
        self.port.send(frames.error_frame(error, ref))
        self._layer.hub.dismiss(self.subscriber, error)

    def _answer_error(self, error: AnypodError, ref: str | int | None) -> None:
        self._layer.hub.metrics.errors[error.code] += 1
        self.port.send(frames.error_frame(error, ref))

    # Publishing.

    def _publish(self, frame: frames.PublishFrame, payload: bytes | None) -> None:
        layer, subscriber = self._layer, self.subscriber
        wait_s, self._publishes_full_at = layer.publishes.take(self._publishes_full_at, subscriber.heard_at)
        if wait_s > 0:
            if self._admits_frame():
                raise AnypodError("rate_limited", retry_after_ms=int(wait_s * 1000) + 1)
            self.refuse(AnypodError("too_many_frames"))  # it does not listen to the refusals either
            return
        if self._builder is None:
            self._authorise(frame)
            self._builder = DraftBuilder(subscriber.principal, layer.hub.options.limits.data_bytes)
        made = self._builder.draft(frame, payload, layer.wall_ms)
        if frame.expect is not None:
            self.flush()
            self._charge("publish")
            layer.publisher.publish(
                Publication(self.key, (made,), subscriber.principal.owner_required, frame.expect, refs=(frame.ref,)), self._published
            )
            return
        if self._drafts is not None and (made.id in self._drafts or len(self._drafts) >= GROUP_MAX):
            self.flush()
        if self._drafts is None or self._refs is None:
            self._drafts, self._refs = {made.id: made}, [frame.ref]
        else:
            self._drafts[made.id] = made
            self._refs.append(frame.ref)

    def flush(self) -> None:
        """Send the publishes that were taken to the log; each is judged by itself."""
        if self._drafts is None or self._refs is None:
            return
        drafts, refs = [*self._drafts.values()], self._refs
        self._drafts = self._refs = None
        subscriber, count = self.subscriber, len(drafts)
        wait_s = subscriber.account.take(count, subscriber.heard_at)
        if wait_s > 0:
            self._hold()
            for made, ref in zip(drafts, refs, strict=True):
                self._answer_error(limited(wait_s), ref or made.id)
            return
        publication = Publication(self.key, drafts, subscriber.principal.owner_required, None, None, count == 1, refs=refs)
        self._layer.publisher.publish(publication, self._published)

    def _published(self, publication: Publication, result: Results | AnypodError) -> None:
        if self.subscriber.phase is SubscriberPhase.GONE:
            return
        if type(result) is list and len(result) == 1 and type(receipt := result[0]) is Receipt:  # nearly always
            self.port.send(published_frame(receipt, publication.refs[0]))
            return
        results: Results = [result] * len(publication.refs) if isinstance(result, AnypodError) else result
        for made, ref, one in zip(publication.drafts, publication.refs, results, strict=True):
            if isinstance(one, AnypodError):
                self._answer_error(one, ref or made.id)
            else:
                self.port.send(published_frame(one, ref))

    # Everything else.

    def _other(self, frame: frames.ClientFrame) -> None:
        self._authorise(frame)
        self._charge(ACTION_OF_FRAME[type(frame)])
        match frame:
            case frames.ClientHeartbeatFrame():
                self._beat(frame)
            case frames.SyncFrame():
                self._sync(frame)
            case frames.ClientSignalFrame():
                if self._may_be_another():
                    self._ask(self._signal_once_verified(frame), frame.ref)
                else:
                    self._signal(frame)
            case frames.ClientPresenceFrame():
                self._hears_events()
                self._layer.presence.update(self.subscriber, bytes(frame.data))
            case frames.ClientHistoryFrame():
                self._ask(self._history(frame), frame.ref)
            case frames.StatePatchFrame():
                self._ask(self._patch(frame), frame.ref)
            case frames.AuthFrame():
                self._ask(self._auth(frame), frame.ref)
            case frames.CancelFrame():
                raise AnypodError("no_such_turn")
            case frames.InitFrame() | frames.PublishFrame():  # the latter was handled before
                raise AnypodError("malformed", "session.init is sent once, as the first frame")
            case _:
                assert_never(frame)

    def _charge(self, action: Action) -> None:
        """Raises AnypodError `rate_limited`, after which nothing more is read for a while."""
        try:
            self._layer.hub.accounts.charge(self.subscriber.account, action)
        except AnypodError:
            self._hold()
            raise

    def _hold(self) -> None:
        """A client whose subject has no permits is not read from: to refuse it frame by frame would cost more than to serve it."""
        self.port.hold(REFUSAL_S_MAX)

    def _authorise(self, frame: frames.ClientFrame) -> None:
        """What was granted once holds until the credential is another. Raises AnypodError."""
        access = ACCESS_OF_FRAME[type(frame)]
        if access not in self._granted:
            authorise(self.subscriber.principal, self.key.session, access, owner=self._owner)
            self._granted |= {access}

    @property
    def _owner(self) -> Subject:
        session = self.subscriber.session
        assert session is not None
        assert session.snapshot is not None
        return session.snapshot.owner

    def _may_be_another(self) -> bool:
        """Whether the session may meanwhile be another subject's of the same name: a client without events is not told of a deletion."""
        return NO_EVENTS in self.subscriber.features and self.subscriber.principal.owner_required is not None

    async def _verify_owner(self) -> None:
        """By the log as it is now. Raises AnypodError."""
        page = await self._layer.hub.store.read(self.key, None, limit=0)
        if isinstance(page, Missing):
            raise AnypodError("no_such_session")
        authorise(self.subscriber.principal, self.key.session, "read", owner=page.snapshot.owner)

    def _hears_events(self) -> None:
        """Raises AnypodError."""
        if NO_EVENTS in self.subscriber.features:
            raise AnypodError("malformed", "this attachment asked for no events")

    def _ask(self, work: Awaitable[None], ref: str | int | None) -> None:
        if self._asks >= ASKS_MAX:
            work.close()  # type: ignore[attr-defined]
            raise AnypodError("rate_limited", "wait for the answers you asked for", retry_after_ms=200)
        self._asks += 1
        self._layer.hub.tasks.start(self._answer(work, ref), "ask")

    async def _answer(self, work: Awaitable[None], ref: str | int | None) -> None:
        try:
            await work
        except AnypodError as error:
            self._answer_error(error, ref)
        finally:
            self._asks -= 1

    def _beat(self, frame: frames.ClientHeartbeatFrame) -> None:
        """A client that has not applied what was sent a whole interval ago gets it again."""
        session = self.subscriber.session
        if session is None or self.subscriber.phase is not SubscriberPhase.LIVE:
            return
        if frame.cursor and frame.cursor != session.cursor:
            cursor = Cursor.parse(frame.cursor)
            # One of another history has been judged before this client was live again: that it was lost is on its way.
            if cursor is not None and cursor.seq < self._seen and session.is_of_history(cursor):
                self._layer.recovery.replay_from(self.subscriber, cursor)
        self._seen = session.seq

    def _sync(self, frame: frames.SyncFrame) -> None:
        self._hears_events()
        self.subscriber.replay_ref = frame.ref
        self._layer.recovery.replay_from(self.subscriber, parse_after(frame.after))

    async def _signal_once_verified(self, frame: frames.ClientSignalFrame) -> None:
        await self._verify_owner()
        self._signal(frame)

    def _signal(self, frame: frames.ClientSignalFrame) -> None:
        self._layer.hub.metrics.signals += 1
        origin = frames.Origin(author=self.subscriber.author, device=self.subscriber.device)
        self._layer.hub.store.notify(self.key, signal_notice(frame.name, bytes(frame.data), origin, frame.to))

    async def _history(self, frame: frames.ClientHistoryFrame) -> None:
        if self.subscriber.principal.owner_required is not None:
            await self._verify_owner()
        self._layer.hub.accounts.check_reading(self.subscriber.account)
        if self.subscriber.paused_at is not None:
            raise AnypodError("rate_limited", "read what you were sent before you ask for more", retry_after_ms=RETRY_MS)
        page = await history_frame(self._layer.hub, self.key, frame.before, frame.limit)
        self._layer.hub.accounts.read(self.subscriber.account, sum(map(len, page.events)))
        page.ref = frame.ref
        self.port.send(frames.encode(page))

    async def _patch(self, frame: frames.StatePatchFrame) -> None:
        hub, principal = self._layer.hub, self.subscriber.principal
        edit = StatePatch(
            key=self.key,
            owner=principal.owner_required,
            author=principal.author,
            ts_ms=hub.clock.wall_ms(),
            state=None if frame.state is UNSET else bytes(frame.state),
            live=None if frame.live is UNSET else bytes(frame.live),
            metadata=None if frame.metadata is UNSET else bytes(frame.metadata),
            event_id=f"patch.{self._layer.attachments.new_id()}",
            expect=frame.expect,
        )
        receipt = await self._layer.patcher.apply(edit)
        assert receipt is not None
        self.port.send(published_frame(receipt, frame.ref))

    async def _auth(self, frame: frames.AuthFrame) -> None:
        """A fresh credential permits all that the attachment does, or ends it: it is what counts from now on, and the old one is not."""
        principal = await self._layer.verify(frame.token)
        if self.subscriber.phase is SubscriberPhase.GONE:
            return
        if not principal.is_same_as(self.subscriber.principal):
            raise AnypodError("not_allowed", "a fresh credential must be for the same principal")
        try:
            for access in self._granted:
                authorise(principal, self.key.session, access, owner=self._owner)
        except AnypodError as error:
            self.refuse(error, frame.ref)
            return
        self.subscriber.principal = principal
        self._builder = None
        self.port.send(frames.encode(frames.AuthOkFrame(ref=frame.ref)))
