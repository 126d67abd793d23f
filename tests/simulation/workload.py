"""What applications do: publish, answer in deltas, repeat themselves, take turns over, end and begin again.

Owns these deeds. Must not know how anybody copes with them.
"""

from typing import Final

from tests.simulation.application import message
from tests.simulation.client_recorder import ClientRecorder, Who
from tests.simulation.world import Attempt, World

from anypod.core.errors import AnypodError
from anypod.core.frames import PublishFrame
from anypod.core.identity import SessionKey

TEXT_CHARS: Final = (5, 40, 700)  # a word, a line, a page that fills lines and outboxes
FOREIGN_CURSOR: Final = "nobodys-1abcdef-5-1234567890"


def publish(world: World) -> None:
    application = world.anyone()
    for _ in range(world.rng.choice((1, 1, 2, 5))):
        application.publish(_message(world))


def publish_together(world: World) -> None:
    """Everybody in the same instant."""
    for application in list(world.applications.values()):
        application.publish(_message(world))


def publish_binary(world: World) -> None:
    payload = world.rng.randbytes(world.rng.choice((0, 3, 900)))
    world.anyone().publish(PublishFrame(id=world.new_id(), kind="x.audio"), payload)


def answer(world: World) -> None:
    """Deltas, and mostly the event that carries the whole."""
    application, part = world.anyone(), f"p{len(world.texts)}"
    for _ in range(world.rng.randint(1, 6)):
        application.publish(_message(world, kind="token", part=part))
    if world.rng.random() < 0.85:
        application.publish(_message(world, replaces=part))


def post(world: World) -> None:
    """A publish by HTTP: it is at the store in the same instant."""
    _post(world, world.rng.choice(world.sessions))


def post_everywhere(world: World) -> None:
    for key in world.sessions:
        _post(world, key)


def _post(world: World, key: SessionKey) -> None:
    seen, frame = ClientRecorder(Who("poster", key), world.history), _message(world)
    seen.attempted(frame, None)

    async def wait() -> None:
        try:
            seen.settled(frame.id, await world.post(Who("poster", key), frame))
        except AnypodError as error:
            seen.settled(frame.id, error)

    world.spawn(wait())


def repeat(world: World) -> None:
    """An id that was used before, by anyone in any session, mostly with the same body."""
    if world.texts:
        event_id, text = world.rng.choice(list(world.texts.items()))
        world.anyone().publish(message(event_id, text if world.rng.random() < 0.7 else text + "!"))


def take_over(world: World) -> None:
    application, replica = world.anyone(), world.rng.choice(world.replicas)
    who, turn = application.who, world.rng.choice(("t1", "t1", "t1", "t2"))

    async def claim() -> None:
        try:
            fence = await replica.store.raise_fence(who.key, turn)
        except AnypodError:
            return
        world.attempts.append(Attempt(who, turn, fence))

    world.spawn(claim())


def work(world: World) -> None:
    """Any attempt goes on with its turn, overtaken or not."""
    if world.attempts:
        who, turn, fence = world.rng.choice(world.attempts)
        world.applications[who.name].publish(_message(world, turn=turn, fence=fence, attempt=fence))


def begin_again(world: World) -> None:
    """The application is killed, and another life of it begins from what was stored: anything that a client might hand back."""
    application = world.anyone()
    stored = application.seen.cursors
    latest = stored[-1] if stored else None
    older = world.rng.choice(stored) if stored else None
    others = [one.seen.cursors for one in world.applications.values() if one.who.key != application.who.key]
    foreign = next((cursors[-1] for cursors in others if cursors), FOREIGN_CURSOR)
    after = world.rng.choices((latest, older, None, "start", "tail", foreign, "no cursor"), (8, 6, 3, 2, 2, 1, 1))[0]
    application.vanish()
    world.begin(application.who, after=after)


def change_network(world: World) -> None:
    world.anyone().change_network()


def _message(world: World, **fields: object) -> PublishFrame:
    text = f"{len(world.texts)} ".ljust(world.rng.choice(TEXT_CHARS), ".")
    return message(world.new_id(text), text, **fields)
