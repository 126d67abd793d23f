"""A replica that refuses by a frame has said no: the client must not take that for a link that works."""

from collections.abc import Sequence
from itertools import count

import pytest
from tests.unit.client.reading import take
from tests.unit.client.scripted_server import CREDENTIAL, Peer

from anypod.client import AnypodError, Session
from anypod.client.machine.commands import AskCredential, Command, Open, Show
from anypod.client.machine.inputs import ConnectionClosed, CredentialGiven, Input, Opened, Received, Start, Tick
from anypod.client.machine.machine import Machine
from anypod.client.machine.options import Options
from anypod.client.machine.transport_fallback import FAILURES_MAX
from anypod.client.types import CLOSE_LOST, Transport
from anypod.core.frames import ErrorFrame, HeartbeatFrame

REFUSAL = ErrorFrame(code="not_authenticated", message="expired")
REFUSED = 4401


class Attempts:
    """A machine that is fed one attempt after the other. `asked`: how often it has wanted a credential."""

    def __init__(self, transport: Transport | None = None) -> None:
        self.machine = Machine(Options(transport=transport or "auto"), lambda: 0.0)
        self.asked = 0
        self.transports: list[Transport] = []
        self._now = 0.0
        self._feed(Start())
        self._feed(CredentialGiven("first"))

    def attempt(self, frames: Sequence[ErrorFrame | HeartbeatFrame], code: int) -> None:
        """The link opens, brings these frames and is closed; the next one is opened when the machine wants it."""
        link = len(self.transports)
        self._feed(Opened(link))
        for frame in frames:
            self._feed(Received(link, frame))
        asked = self.asked
        self._feed(ConnectionClosed(link, code, "refused"))
        if self.asked > asked:
            self._feed(CredentialGiven(f"fresh {self.asked}"))
        self._feed(Tick())  # the shortest back-off is over at once

    def _feed(self, given: Input) -> None:
        self._now += 0.01
        for command in self.machine.handle(given, self._now):
            self._note(command)

    def _note(self, command: Command) -> None:
        match command:
            case AskCredential():
                self.asked += 1
            case Open(transport=transport):
                self.transports.append(transport)
            case Show(phase):
                self.phase = phase
            case _:
                pass


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_a_credential_refused_by_a_frame_before_the_close_is_replaced_once_and_not_for_ever(transport: Transport) -> None:
    attempts = Attempts(transport)
    for _ in range(2):
        attempts.attempt([REFUSAL], REFUSED)
    assert (attempts.phase.name, attempts.phase.code) == ("stopped", REFUSED)
    assert attempts.asked == 2, "at the start, and once after the first refusal"


def test_a_link_that_has_brought_something_else_worked_and_its_credential_may_be_refused_again() -> None:
    attempts = Attempts("sse")
    for _ in range(3):
        attempts.attempt([HeartbeatFrame(cursor="c1", ts=1), REFUSAL], REFUSED)
    assert attempts.phase.name == "connecting"


@pytest.mark.parametrize(("frames", "follows"), [([REFUSAL], "sse"), ([HeartbeatFrame(cursor="c1", ts=1)], "websocket")])
def test_a_transport_that_brings_nothing_but_refusals_and_breaks_is_left_for_the_next(
    frames: Sequence[ErrorFrame | HeartbeatFrame], follows: Transport
) -> None:
    attempts = Attempts()
    for _ in range(FAILURES_MAX):
        attempts.attempt(frames, CLOSE_LOST)
    assert attempts.transports == ["websocket"] * FAILURES_MAX + [follows]


async def test_a_stream_that_refuses_every_credential_by_a_frame_stops_the_client(peer: Peer) -> None:
    given = count()

    async def provide() -> str:
        next(given)
        return CREDENTIAL

    peer.faults.stream_refusal = {"type": "error", "code": "not_authenticated", "message": "revoked"}
    async with Session(peer.url, "s", credential=provide, transport="sse") as session:
        with pytest.raises(AnypodError) as caught:
            await take(session, 1)
    assert (caught.value.code, caught.value.message) == ("not_authenticated", "not_authenticated: revoked")
    assert next(given) == 2
