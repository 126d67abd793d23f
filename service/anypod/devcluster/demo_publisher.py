"""The demonstration's agent: streams an answer in deltas, completes it, waits a little, and starts over.

Owns what is said and how fast. Must not know the cluster: it is a client like any other, and outlives replicas as they do.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Final

from anypod.client import AnypodError, Session, open_http
from anypod.clock import Clock
from anypod.devcluster.credentials import DEMO_SESSION, worker_credential

WORD_S: Final = 0.07  # about how fast a model writes
PAUSE_S: Final = 4.0
AGAIN_S: Final = 2.0  # after a refusal: a person may be closing or deleting the session to see what happens

TALK: Final = (
    (
        "What happens when a replica dies?",
        "Your client notices, waits a moment, and resumes on any other. Its cursor says what it has already.",
    ),
    ("Who puts my events in order?", "The log of your session does. Every event has a number one above the last, whoever published it."),
    ("What if Redis goes away?", "Connections stay open, publishes wait a little and are then refused. Nothing is accepted and then lost."),
    ("Why did these words come one by one?", "Each is a delta of a part. The event that follows now carries the whole, and replaces them."),
)


async def stream_answers(url: str, clock: Clock) -> None:
    """Until this is cancelled."""
    turns = cycle(TALK)
    while True:
        try:
            async with demo_session(url, DEMO_SESSION) as session:
                await _talk(session, turns, clock)
        except* AnypodError as errors:
            if any(isinstance(error, AnypodError) and error.code == "quota_exceeded" for error in errors.exceptions):
                await _forget(url)
        await clock.sleep(AGAIN_S)


@asynccontextmanager
async def demo_session(url: str, name: str) -> AsyncIterator[Session]:
    """A session that is read, as every session must be, although the demonstration shows none of it. What fails here fails as a group."""

    async def credential() -> str:
        return worker_credential(name)

    async with asyncio.TaskGroup() as tasks, Session(url, name, credential=credential, after="tail") as session:
        reading = tasks.create_task(_read(session))
        yield session
        reading.cancel()


async def _read(session: Session) -> None:
    async for _ in session:
        pass


async def _talk(session: Session, turns: "cycle[tuple[str, str]]", clock: Clock) -> None:
    for question, answer in turns:
        await converse(session, question, answer, clock, word_s=WORD_S)
        await clock.sleep(PAUSE_S)


async def converse(session: Session, question: str, answer: str, clock: Clock, *, word_s: float) -> list[str]:
    """A question, its answer word by word, and the whole answer, which replaces the words; the ids of all these events."""
    asked = await session.publish("message", {"role": "user", "text": question})
    part = f"answer-{asked.seq}"
    ids = [asked.id]
    for number, word in enumerate(answer.split()):
        receipt = await session.publish("token", {"text": word if number == 0 else f" {word}"}, part=part)
        ids.append(receipt.id)
        await clock.sleep(word_s)
    whole = await session.publish("message", {"role": "assistant", "text": answer}, replaces=part)
    return [*ids, whole.id]


async def _forget(url: str) -> None:
    """The demonstration has talked its session full: it goes on in a new one of the same name."""
    async with open_http() as http:
        headers = {"Authorization": f"Bearer {worker_credential()}"}
        async with http.delete(f"{url}/v1/sessions/{DEMO_SESSION}", headers=headers) as answer:
            await answer.read()
