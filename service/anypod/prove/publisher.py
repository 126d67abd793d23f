"""One publisher of one session: sends each event until it is acknowledged, and asks again about some.

Owns what is published, how fast, and on which way: over the connection of a reader, or by HTTP. Must not know what became of it
in the log: receipts are judged by the ledger, the log is compared at the end.
"""

import asyncio
from base64 import b32encode
from typing import Final

from anypod.client import open_http
from anypod.client.io.decoding import decode_published
from anypod.client.io.http import HttpEndpoint, publish_body
from anypod.client.machine.transport_fallback import full_jitter_s
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.prove.reader import DOUBLINGS_MAX, Around, SessionReader
from anypod.prove.reader_connection import publish_frame
from anypod.prove.record import EventToPublish, ProofRecord

INSIST_S_MAX: Final = 30.0  # on one event; beyond it the deployment is away, and whether the log has the event is left open
ABANDON_S_MAX: Final = 0.02  # about as long as a publish takes: some are abandoned before it was logged, some after
IDS_ASKED_AGAIN: Final = 16  # the latest ones; a session remembers at least 64
ID_BYTES: Final = 15
WORDS_MAX: Final = 40

# Of all publishes; the rest are new events over HTTP, without a disturbance.
BY_WEBSOCKET: Final = 0.5
ABANDONED: Final = 0.1
REPEATED: Final = 0.2
CONTRADICTED: Final = 0.1
BINARY: Final = 0.1


class ProofPublisher:
    """`speaker`: the reader whose WebSocket it may use, too."""

    def __init__(self, around: Around, ledger: ProofRecord, speaker: SessionReader) -> None:
        self._around = around
        self._ledger = ledger
        self._speaker = speaker
        self._number = 0

    async def run(self, until_s: float) -> None:
        plan, clock, rng = self._around.plan, self._around.clock, self._around.rng
        every_s = plan.sessions / plan.rate
        await clock.sleep(rng.uniform(0, every_s))
        while clock.now() < until_s:
            began_s = clock.now()
            await self._turn()
            await clock.sleep(max(0.0, began_s + every_s * rng.uniform(0.5, 1.5) - clock.now()))

    async def _turn(self) -> None:
        """A new event, or one that was acknowledged before, as it was or otherwise."""
        chance = self._around.rng.random()
        known = list(self._ledger.receipts)[-IDS_ASKED_AGAIN:]
        if known and chance < REPEATED + CONTRADICTED:
            draft = self._ledger.drafts[self._around.rng.choice(known)]
            await (self._repeat(draft) if chance < REPEATED else self._contradict(draft))
        else:
            await self._publish_new()

    async def _publish_new(self) -> None:
        draft = self._new_draft()
        self._ledger.drafts[draft.id] = draft
        try:
            answer, attempts = await self._insist(draft)
        except AnypodError as error:
            self._refused(draft, error)
            return
        if answer is None:
            self._ledger.evidence.counts["unanswered"] += 1
        else:
            self._ledger.acknowledged(answer, attempts=attempts)

    async def _repeat(self, draft: EventToPublish) -> None:
        try:
            answer, _ = await self._insist(draft)
        except AnypodError as error:
            self._refused(draft, error)
            return
        if answer is not None:
            self._ledger.repeated(answer)

    def _refused(self, draft: EventToPublish, error: AnypodError) -> None:
        """Raises the error, unless it is one of the things that a proof is there to find."""
        if error.code != "conflict":
            raise error
        self._ledger.accuse(3, f"id {draft.id}, sent with its own body, is refused as a conflict")

    async def _contradict(self, draft: EventToPublish) -> None:
        other = EventToPublish(draft.id, draft.kind, {"instead of": draft.id}, draft.at)
        try:
            answer, _ = await self._insist(other)
        except AnypodError as error:
            if error.code != "conflict":
                raise
            self._ledger.evidence.counts["contradicted"] += 1
        else:
            if answer is not None:
                self._ledger.contradicted(answer)

    def _new_draft(self) -> EventToPublish:
        rng = self._around.rng
        self._number += 1
        event_id = b32encode(rng.randbytes(ID_BYTES)).decode().lower()
        if rng.random() < BINARY:
            return EventToPublish(event_id, "x.prove", rng.randbytes(rng.randrange(1, 8 * WORDS_MAX)), self._around.clock.now())
        words = "prove it, “yourself” " * rng.randrange(WORDS_MAX)
        return EventToPublish(event_id, "message", {"number": self._number, "text": words}, self._around.clock.now())

    async def _insist(self, draft: EventToPublish) -> tuple[Receipt | None, int]:
        """The answer, None when there was none for too long, and how many attempts it took. Raises AnypodError for a refusal for good."""
        clock, rng = self._around.clock, self._around.rng
        give_up_s = clock.now() + INSIST_S_MAX
        attempts = 0
        while clock.now() < give_up_s:
            attempts += 1
            wait_s = 0.0
            try:
                answer = await self._attempt(draft)
            except AnypodError as error:
                if not error.row.is_retryable:
                    raise
                self._ledger.evidence.counts["refused"] += 1
                told_ms = error.retry_after_ms
                wait_s = told_ms / 1000 if told_ms is not None else full_jitter_s(min(attempts - 1, DOUBLINGS_MAX), rng.random())
            else:
                if answer is not None:
                    return answer, attempts
            await clock.sleep(wait_s)
        return None, attempts

    async def _attempt(self, draft: EventToPublish) -> Receipt | None:
        """None: we have not waited for the answer."""
        leg, rng = self._speaker.leg, self._around.rng
        if leg is not None and leg.is_synced and rng.random() < BY_WEBSOCKET:
            return await leg.publish(draft)
        if rng.random() >= ABANDONED:
            return await self._post(draft)
        try:
            async with asyncio.timeout(rng.uniform(0, ABANDON_S_MAX)):
                return await self._post(draft)
        except TimeoutError:
            self._ledger.evidence.counts["abandoned"] += 1
            return None

    async def _post(self, draft: EventToPublish) -> Receipt:
        plan, frame = self._around.plan, publish_frame(draft)
        payload = draft.data if isinstance(draft.data, bytes) else None
        async with open_http() as http:  # a new connection, which a balancer may give to another replica
            endpoint = HttpEndpoint(http, plan.url, self._ledger.session_id)
            endpoint.credential = plan.credential
            answer = decode_published(await endpoint.ask("POST", "/events", publish_body(frame, payload)))
        return Receipt(answer.id, answer.seq, answer.cursor, answer.duplicate)
