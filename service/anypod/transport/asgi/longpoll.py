"""A session by repeated requests, each answered as soon as there is something.

Owns the wait of one request. Must not know HTTP: the caller reads the page and encodes it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from anypod.auth import Principal
from anypod.core.errors import AnypodError
from anypod.core.event import FRAME_START, is_binary
from anypod.core.timing import POLL_WAIT_MS_MAX
from anypod.hub.attach_request import AttachRequest
from anypod.hub.delivery import Batch
from anypod.hub.layer import SessionLayer

WAIT_S_MAX: Final = POLL_WAIT_MS_MAX / 1000
_RESET_START: Final = b'{"type":"session.reset"'


class _FirstEvents:
    """A port that takes the first events it is given and ends. What opens an attachment is of no interest here."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.has_ended = asyncio.Event()
        self.was_closed = False  # by the hub: the replica leaves, or has others to serve

    def deliver(self, batch: Batch) -> None:
        self.events += [frame for frame in batch.frames if is_binary(frame) or frame.startswith(FRAME_START)]
        if self.events:
            self.has_ended.set()

    def send(self, frame: bytes) -> None:
        if frame.startswith(_RESET_START):  # the log is another one; a heartbeat or signal is not worth the end of a wait
            self.has_ended.set()

    def close(self, code: int, reason: str = "") -> None:
        self.was_closed = True
        self.has_ended.set()

    def refuse(self, error: AnypodError) -> None:
        self.has_ended.set()

    def abort(self) -> None:
        self.has_ended.set()


async def wait_for_events(
    layer: SessionLayer, principal: Principal, attach_request: AttachRequest, wait_s: float, gone: Coroutine[Any, Any, None]
) -> bool:
    """Return when the log has something after the cursor that is asked about, or the time is over. Raises AnypodError.

    True: the hub has sent the poller away, and its next request should come over another connection.

    `gone` ends when the client has, and the wait with it. The page is read from the log afterwards: what a
    waiter hears may begin in the middle of a batch.
    """
    layer.hub.accounts.check_room(layer.hub.accounts.of(principal))
    port = _FirstEvents()
    subscriber = layer.attachments.subscriber(port, principal)
    leaving = asyncio.create_task(gone, name="poll-gone")
    leaving.add_done_callback(lambda _: port.has_ended.set())
    try:
        await layer.attachments.open_again(subscriber, attach_request)
        async with asyncio.timeout(min(wait_s, WAIT_S_MAX)):
            await port.has_ended.wait()
    except TimeoutError:
        return False
    except AnypodError as error:
        if error.code != "no_such_session":
            raise
        return False  # it was there a moment ago: the page that is read next finds out what has become of it
    finally:
        leaving.cancel()
        layer.attachments.detach(subscriber)
    return port.was_closed
