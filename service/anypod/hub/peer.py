"""A client that talks: the session layer of every two-way transport.

Owns what each client frame brings about and the limits of one connection. Must not know the transport: it is handed the bytes
of frames, and a `Port` to answer by.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec import UNSET

from anypod.auth import Principal
from anypod.core import frames
from anypod.core.admission import Bucket
from anypod.core.cursor import Cursor, parse_after
from anypod.core.errors import AnypodError
from anypod.core.event import Draft
from anypod.core.identity import SessionKey
from anypod.hub.ask import NO_EVENTS, Ask
from anypod.hub.attachments import Attachments
from anypod.hub.editor import Edit, Editor
from anypod.hub.hub import Hub
from anypod.hub.presence import Presence
from anypod.hub.publisher import Publisher
from anypod.hub.requests import ask_of, draft_of, history_frame, published_frame, signal_notice
from anypod.hub.subscriber import Phase, Port
from anypod.store import Append, Results

FRAMES_PER_PUBLISH: Final = 2  # other frames that a client may send for each publish that it may
EARLY_FRAMES_MAX: Final = 64  # sent before the attachment is open; more is `too_many_frames`
GROUP_MAX: Final = 64  # publishes that go to the log in one piece
ASKS_MAX: Final = 8  # answers that a client may be waiting for at once, beside publishes

Verify = Callable[[str], Awaitable[Principal]]


class Desk:
    """What all peers of a replica share."""

    def __init__(self, hub: Hub, attachments: Attachments, presence: Presence, publisher: Publisher, verify: Verify) -> None:
        self.hub = hub
        self.attachments = attachments
        self.presence = presence
        self.publisher = publisher
        self.editor = Editor(hub.store, publisher)
        self.verify = verify
        limits = hub.options.limits
        self.frames_per_s = limits.publish_per_s * (1 + FRAMES_PER_PUBLISH)


class Peer:
    __slots__ = ("_asks", "_bucket", "_desk", "_drafts", "_early", "_is_open", "_publishes", "_seen", "key", "port", "subscriber")

    def __init__(self, desk: Desk, port: Port, principal: Principal, key: SessionKey) -> None:
        self._desk = desk
        self.port = port
        self.key = key
        self.subscriber = desk.attachments.subscriber(port, principal)
        self.subscriber.has_client_beats = True
        limits = desk.hub.options.limits
        self._bucket = Bucket(desk.frames_per_s, 2 * desk.frames_per_s)
        self._publishes = Bucket(limits.publish_per_s, 2 * limits.publish_per_s)
        self._early: list[tuple[bytes, bool]] | None = None  # None before session.init
        self._drafts: dict[str, tuple[Draft, str | int | None]] = {}  # by id, which comes once in a piece
        self._is_open = False
        self._asks = 0
        self._seen = 0  # where the session stood at the client's last heartbeat

    @property
    def has_begun(self) -> bool:
        """Has session.init come?"""
        return self._early is not None

    def begin(self, ask: Ask) -> None:
        """Attach. Called for session.init, or by a transport that was given its fields with the connection itself."""
        self._early = []
        self._desk.attachments.attach(self.subscriber, ask, self._opened)

    def gone(self) -> None:
        """The transport has ended."""
        self._desk.attachments.detach(self.subscriber)

    def receive(self, text: bytes, *, is_binary: bool = False) -> None:
        """One frame of the client."""
        self.take(text, is_binary=is_binary)
        self.flush()

    def take(self, text: bytes, *, is_binary: bool = False) -> None:
        """One of several frames that came together: publishes wait for `flush`, and go to the log in one piece."""
        hub = self._desk.hub
        hub.metrics.frames_in += 1
        self.subscriber.heard_at = hub.clock.now()
        if self._is_open:
            self._handle(text, is_binary)
        elif self._early is None:
            self._first(text)
        elif len(self._early) < EARLY_FRAMES_MAX:
            self._early.append((text, is_binary))
        else:
            self.refuse(AnypodError("too_many_frames", "wait for session.restored before sending more"))

    def admits_control(self) -> bool:
        """May a control frame of the transport be answered? It counts like any other."""
        self.subscriber.heard_at = now = self._desk.hub.clock.now()
        if self._bucket.take(now) > 0:
            self.refuse(AnypodError("too_many_frames"))
            return False
        return True

    def _first(self, text: bytes) -> None:
        try:
            frame = frames.decode_client(text)
            if not isinstance(frame, frames.Init):
                raise AnypodError("malformed", "the first frame must be session.init")
            self.begin(ask_of(self.key, frame))
        except AnypodError as error:
            self.refuse(error)

    def _opened(self) -> None:
        self._is_open = True
        early, self._early = self._early or [], []
        for text, is_binary in early:
            self._handle(text, is_binary)
        self.flush()

    def refuse(self, error: AnypodError) -> None:
        """End the attachment: the client is told why."""
        self.port.send(frames.error_frame(error))
        self._desk.hub.dismiss(self.subscriber, error)

    def _handle(self, text: bytes, is_binary: bool) -> None:
        if self.subscriber.phase is Phase.GONE:
            return
        try:
            frame, payload = frames.decode_binary(text) if is_binary else (frames.decode_client(text), None)
        except AnypodError as error:
            self.refuse(error)
            return
        try:
            if type(frame) is frames.Publish:
                self._publish(frame, payload)
            elif self._bucket.take(self.subscriber.heard_at) > 0:
                self.refuse(AnypodError("too_many_frames"))
            else:
                self._other(frame)
        except AnypodError as error:
            self._answer_error(error, frame.ref if not isinstance(frame, frames.Publish) else frame.ref or frame.id)

    def _answer_error(self, error: AnypodError, ref: str | int | None) -> None:
        self._desk.hub.metrics.errors[error.code] += 1
        self.port.send(frames.error_frame(error, ref))

    # Publishing.

    def _publish(self, frame: frames.Publish, payload: bytes | None) -> None:
        hub, subscriber = self._desk.hub, self.subscriber
        if (wait_s := self._publishes.take(subscriber.heard_at)) > 0:
            if self._bucket.take(subscriber.heard_at) > 0:  # it does not listen to the refusals either
                self.refuse(AnypodError("too_many_frames"))
                return
            raise AnypodError("rate_limited", retry_after_ms=int(wait_s * 1000) + 1)
        made = draft_of(subscriber.principal, frame, payload, ts_ms=hub.clock.wall_ms(), bytes_max=hub.options.limits.data_bytes)
        if frame.expect is not None:
            self.flush()
            request = Append(self.key, (made,), subscriber.principal.owner_required, frame.expect)
            self._desk.publisher.publish(request, partial(self._published, request, [frame.ref]))
            return
        if made.id in self._drafts or len(self._drafts) >= GROUP_MAX:
            self.flush()
        self._drafts[made.id] = (made, frame.ref)

    def flush(self) -> None:
        """Send the publishes that were taken to the log; each is judged by itself."""
        if not self._drafts:
            return
        taken, self._drafts = self._drafts, {}
        drafts = [made for made, _ in taken.values()]
        request = Append(self.key, drafts, self.subscriber.principal.owner_required, is_atomic=len(drafts) == 1)
        self._desk.publisher.publish(request, partial(self._published, request, [ref for _, ref in taken.values()]))

    def _published(self, request: Append, refs: Sequence[str | int | None], result: Results | AnypodError) -> None:
        if self.subscriber.phase is Phase.GONE:
            return
        results: Results = [result] * len(refs) if isinstance(result, AnypodError) else result
        for made, ref, one in zip(request.drafts, refs, results, strict=True):
            if isinstance(one, AnypodError):
                self._answer_error(one, ref or made.id)
            else:
                self.port.send(published_frame(one, ref))

    # Everything else.

    def _other(self, frame: frames.ClientFrame) -> None:
        match frame:
            case frames.Beat():
                self._beat(frame)
            case frames.Sync():
                self._sync(frame)
            case frames.SignalOut():
                self._signal(frame)
            case frames.PresenceOut():
                self._need("signal")
                self._desk.presence.update(self.subscriber, bytes(frame.data))
            case frames.HistoryAsk():
                self._ask(self._history(frame), frame.ref)
            case frames.StatePatch():
                self._need("state")
                self._ask(self._patch(frame), frame.ref)
            case frames.Auth():
                self._ask(self._auth(frame), frame.ref)
            case frames.Cancel():
                self._need("cancel")
                raise AnypodError("no_such_turn")
            case frames.Init():
                raise AnypodError("malformed", "session.init comes once")
            case frames.Publish():
                raise AssertionError("handled before")

    def _need(self, right: str) -> None:
        if not self.subscriber.principal.may(right):  # type: ignore[arg-type]
            raise AnypodError("not_allowed", f"the credential lacks the right {right}")

    def _ask(self, work: Awaitable[None], ref: str | int | None) -> None:
        if self._asks >= ASKS_MAX:
            work.close()  # type: ignore[attr-defined]
            raise AnypodError("rate_limited", "wait for the answers you asked for", retry_after_ms=200)
        self._asks += 1
        self._desk.hub.tasks.start(self._answer(work, ref), "ask")

    async def _answer(self, work: Awaitable[None], ref: str | int | None) -> None:
        try:
            await work
        except AnypodError as error:
            self._answer_error(error, ref)
        finally:
            self._asks -= 1

    def _beat(self, frame: frames.Beat) -> None:
        """A client that has not applied what was sent a whole interval ago gets it again."""
        session = self.subscriber.session
        if session is None or self.subscriber.phase is not Phase.LIVE:
            return
        if frame.cursor and frame.cursor != session.cursor:
            cursor = Cursor.parse(frame.cursor)
            if cursor is not None and cursor.seq < self._seen:
                self._desk.hub.catch_up.replay_from(self.subscriber, cursor)
        self._seen = session.seq

    def _sync(self, frame: frames.Sync) -> None:
        if NO_EVENTS in self.subscriber.features:
            raise AnypodError("malformed", "this attachment asked for no events")
        self.subscriber.replay_ref = frame.ref
        self._desk.hub.catch_up.replay_from(self.subscriber, parse_after(frame.after))

    def _signal(self, frame: frames.SignalOut) -> None:
        self._need("signal")
        self._desk.hub.metrics.signals += 1
        origin = frames.Origin(author=self.subscriber.author, device=self.subscriber.device)
        self._desk.hub.store.notify(self.key, signal_notice(frame.name, bytes(frame.data), origin, frame.to))

    async def _history(self, frame: frames.HistoryAsk) -> None:
        page = await history_frame(self._desk.hub, self.key, frame.before, frame.limit)
        page.ref = frame.ref
        self.port.send(frames.encode(page))

    async def _patch(self, frame: frames.StatePatch) -> None:
        hub, principal = self._desk.hub, self.subscriber.principal
        edit = Edit(
            key=self.key,
            owner=principal.owner_required,
            author=principal.author,
            ts_ms=hub.clock.wall_ms(),
            state=None if frame.state is UNSET else bytes(frame.state),
            live=None if frame.live is UNSET else bytes(frame.live),
            metadata=None if frame.metadata is UNSET else bytes(frame.metadata),
            event_id=f"patch.{self._desk.attachments.new_id()}",
            expect=frame.expect,
        )
        receipt = await self._desk.editor.apply(edit)
        assert receipt is not None
        self.port.send(published_frame(receipt, frame.ref))

    async def _auth(self, frame: frames.Auth) -> None:
        principal = await self._desk.verify(frame.token)
        if not principal.is_same_as(self.subscriber.principal):
            raise AnypodError("not_allowed", "a fresh credential must be for the same principal")
        self.subscriber.principal = principal
        self.port.send(frames.encode(frames.AuthOk(ref=frame.ref)))
