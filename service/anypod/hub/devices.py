"""Of several attachments of one device the newest survives.

Owns the claims of this replica's attachments and their order against those of other replicas. Must not know what an attachment gets.

Each attachment that names a device claims its place in the session: the store gives every claim a number larger than all before it,
and the replica tells the number to all others, which close what holds the place by a smaller one. The claim runs beside the opening.
A lost, late or repeated notice does no harm: numbers are compared, and once in a heartbeat's interval each replica asks for the
newest number of the places that it holds in sessions where there have been claims since.

What a claim that took long says of the order is uncertain: its client may have gone to another replica meanwhile, unnoticed, and
would be closed for good by its own ghost. What loses to such a claim is told to come again, and so claims anew.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.core.notices import DeviceNotice, encode_notice
from anypod.hub.background import Tasks
from anypod.hub.session import DeviceClaim, HubSession, Subscriber, SubscriberPhase
from anypod.store import Store
from anypod.telemetry import Metrics

PROMPT_S: Final = 0.25  # a client that was cut off takes longer until it has attached to another replica
SETTLED_S: Final = 2.0  # a replica of an older version tells no number: by then it has heard of an attachment
RETRIES_MAX: Final = 100  # claims made again in one second, when the store has come back
ASKED_MAX: Final = 500  # places asked about in one write


class Devices:
    """`dismiss` ends an attachment; `ghost_ms`: a client that is gone for longer has been found silent."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        tasks: Tasks,
        *,
        dismiss: Callable[[Subscriber, AnypodError], None],
        ghost_ms: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._tasks = tasks
        self._dismiss = dismiss
        self._ghost_ms = ghost_ms
        self._unsettled: dict[DeviceClaim, None] = {}  # the store was away when they were claimed

    def take(self, session: HubSession, subscriber: Subscriber, device: str) -> None:
        """The subscriber holds the device's place from now on, unless a newer claim is heard of."""
        subscriber.device = device
        session.devices = session.devices or {}
        place = session.devices.get((subscriber.author, device))
        if place is None:
            place = session.devices[subscriber.author, device] = DeviceClaim(session, subscriber.author, device)
        if place.holder is not None and place.holder.came_at > subscriber.came_at:
            self._tasks.start(self._yield(subscriber), "claim")  # its opening took long, and it is the older one
            return
        former = place.hold(subscriber)
        if former is not None:
            self._dismiss(former, AnypodError("replaced"))
        self._start(place)

    async def _yield(self, subscriber: Subscriber) -> None:
        self._dismiss(subscriber, AnypodError("replaced"))

    def heard(self, session: HubSession, notice: DeviceNotice) -> None:
        """A claim of any replica, this one too."""
        place = session.devices.get((notice.author, notice.device)) if session.devices is not None else None
        if place is None or place.holder is None or place.holder.id == notice.attachment:
            return
        if notice.claim == 0:
            self._heard_old(place)
        elif not place.number:
            place.rival = notice if place.rival is None or place.rival.claim < notice.claim else place.rival
        elif notice.claim > place.number:
            self._lose(place, is_certain=notice.is_certainly_after(place.number))

    def _heard_old(self, place: DeviceClaim) -> None:
        """From a replica that knows no numbers, and closes whatever it hears of any claim. What has just attached claims again: else
        each of two might close the other."""
        if place.number and self._clock.now() - place.since > SETTLED_S:
            self._lose(place, is_certain=True)
        elif place.number:
            place.number = 0
            self._start(place)

    def retry(self) -> None:
        """To be called every second: claims that the store did not take."""
        if self._unsettled and self._store.is_available:
            for place in list(islice(self._unsettled, RETRIES_MAX)):
                del self._unsettled[place]
                self._start(place)

    # Claims.

    def _start(self, place: DeviceClaim) -> None:
        if not place.is_claiming:
            place.is_claiming = True
            self._tasks.start(self._claim(place), "claim")

    async def _claim(self, place: DeviceClaim) -> None:
        """One call at a time for a device: the claim of the former holder must not arrive after that of the present one."""
        try:
            while (holder := place.holder) is not None and not place.number:
                number = await self._store.claim(place.session.key, place.name)
                if place.holder is holder:
                    self._settle(place, holder, number)
                else:
                    self._store.withdraw(place.session.key, place.name, number)
        except AnypodError:
            if place.holder is not None:  # without its session it is closed before long, or the session has been made anew
                self._unsettled[place] = None
        finally:
            place.is_claiming = False
            place.session.forget_if_empty(place)

    def _settle(self, place: DeviceClaim, holder: Subscriber, number: int) -> None:
        rival, place.number, place.rival = place.rival, number, None
        if rival is not None and rival.claim > number:
            self._lose(place, is_certain=rival.is_certainly_after(number))
            return
        took_s = self._clock.now() - place.since
        notice = DeviceNotice(
            device=holder.device or "",
            author=holder.author,
            attachment=holder.id,
            claim=number,
            certain_before=number - int(took_s * 1_000_000) if took_s > PROMPT_S else 0,
        )
        self._store.notify(place.session.key, encode_notice(notice))

    def _lose(self, place: DeviceClaim, *, is_certain: bool) -> None:
        holder = place.holder
        assert holder is not None
        if holder.phase is SubscriberPhase.GONE:
            return
        if is_certain:
            self._dismiss(holder, AnypodError("replaced"))
        else:
            self._metrics.claims_uncertain += 1
            self._dismiss(holder, AnypodError("draining", "the device may have attached again; attach once more"))

    # What a lost notice would have said.

    async def check(self, sessions: Sequence[tuple[HubSession, int]]) -> None:
        """`sessions`: with the newest claim in each. Raises AnypodError."""
        places = [place for session, _ in sessions for place in (session.devices or {}).values() if place.number]
        for start in range(0, len(places), ASKED_MAX):
            asked = places[start : start + ASKED_MAX]
            held = [place.number for place in asked]
            numbers = await self._store.claims([(place.session.key, place.name) for place in asked])
            for place, number, was in zip(asked, numbers, held, strict=True):
                if place.holder is not None and 0 < place.number < number:
                    # Its ghost would have been found silent by then.
                    self._lose(place, is_certain=number - place.number > self._ghost_ms * 1_000)
                elif place.holder is not None and number < was == place.number:
                    # The store has lost the claim, by a failover or its age, and maybe that of a rival of which no notice came: of two
                    # that claim again one is found to be the newer.
                    place.number = 0
                    self._start(place)
        for session, claim in sessions:
            session.claims_checked = claim
