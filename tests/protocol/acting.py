"""What all steps share.

Owns the wait for what changes by itself. Must not know any step.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.protocol.attachment import Attachment
from tests.protocol.cases import Step
from tests.protocol.drivers.websocket import WebsocketAttachment
from tests.protocol.environment import Stage
from tests.protocol.inbox import WAIT_S_MAX
from tests.protocol.pattern import difference, filled

POLL_S: Final = 0.02  # between looks at what changes by itself
PLACING: Final = frozenset({"at", "over", "session"})  # where and how, not what

Args = dict[str, Any]


class Acting:
    """A step is the method of its name: it is given what the step is done `with`, and returns what came of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def until(self, step: Step, look: Callable[[], Awaitable[Any]]) -> Any:
        """Look again until it is as the step says."""
        wanted = filled(step.gets, self.stage.kept)
        give_up_at = asyncio.get_running_loop().time() + WAIT_S_MAX
        while (found := difference(wanted, came := await look())) is not None:
            assert asyncio.get_running_loop().time() < give_up_at, f"{found}, for {WAIT_S_MAX:g} s"
            await asyncio.sleep(POLL_S)
        return came

    async def frame(self, who: str, kind: str, ref: object = None) -> Any:
        """The first frame of this type that nobody has looked at, waited for."""
        attachment = self.stage.attached(who)
        return await attachment.until(lambda: attachment.first(kind, ref), f"a frame {kind}")


def without_place(args: Args) -> Args:
    return {name: value for name, value in args.items() if name not in PLACING}


def websocket(attachment: Attachment) -> WebsocketAttachment:
    assert isinstance(attachment, WebsocketAttachment), "only a WebSocket can do this"
    return attachment
