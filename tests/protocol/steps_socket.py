"""Steps of one transport alone: frames of a WebSocket, fields of a stream, phases of the client.

Owns their meaning. Must not know what a frame brings about.
"""

from base64 import b64decode
from typing import Any

from tests.protocol.acting import Acting, Args, websocket, without_place
from tests.protocol.cases import Step
from tests.protocol.drivers.client import ClientAttachment
from tests.protocol.drivers.sse import SseAttachment


class Sockets(Acting):
    async def connects(self, step: Step, args: Args) -> Any:
        attachment = websocket(self.stage.driver(step.who, {**args, "over": "websocket"}))
        await attachment.connect(without_place(args))
        assert attachment.socket is not None
        headers = {name.lower(): value for name, value in attachment.socket._response.headers.items()}
        return {"protocol": attachment.socket.protocol, "headers": headers}

    async def sends(self, step: Step, args: Args) -> None:
        await websocket(self.stage.attached(step.who)).send(args)

    async def sends_text(self, step: Step, args: Args) -> None:
        await websocket(self.stage.attached(step.who)).send_text(args["text"])

    async def sends_binary(self, step: Step, args: Args) -> None:
        await websocket(self.stage.attached(step.who)).send_binary(args["header"], b64decode(args["payload"]))

    async def floods(self, step: Step, args: Args) -> None:
        for _ in range(args["count"]):
            await websocket(self.stage.attached(step.who)).send(args["frame"])

    async def receives(self, step: Step, args: Args) -> Any:
        ref = step.gets.get("ref")
        return await self.frame(step.who, step.gets["type"], None if ref == "<missing>" else ref)

    async def received(self, step: Step, args: Args) -> Any:
        """The types of all frames that no step has looked at, without heartbeats."""
        attachment = self.stage.attached(step.who)

        async def look() -> list[str]:
            attachment.check()
            return [frame["type"] for frame in attachment.frames if frame["type"] != "heartbeat"]

        return await self.until(step, look)

    async def beats(self, step: Step, args: Args) -> Any:
        """The mean interval between so many heartbeats, and the last of them."""
        beats = [await self.frame(step.who, "heartbeat") for _ in range(args["count"])]
        interval_s = (beats[-1]["arrived_s"] - beats[0]["arrived_s"]) / (len(beats) - 1)
        return beats[-1] | {"interval_s": interval_s}

    async def forgets(self, step: Step, args: Args) -> None:
        """Nobody asks any more for the frames that have come so far."""
        self.stage.attached(step.who).frames.clear()

    async def closes(self, step: Step, args: Args) -> None:
        await websocket(self.stage.attached(step.who)).leave(args["code"])

    async def closed(self, step: Step, args: Args) -> Any:
        attachment = websocket(self.stage.attached(step.who))
        return await attachment.until(lambda: attachment.close, "a close")

    async def were_sent_away(self, step: Step, args: Args) -> float:
        """The seconds between the first and the last close of these people."""
        closes = [websocket(self.stage.attached(who)).close for who in args["people"]]
        times = [close["at_s"] for close in closes if close is not None]
        assert len(times) == len(closes), "not all of them are closed"
        return float(max(times) - min(times))

    async def stalls(self, step: Step, args: Args) -> None:
        """Read nothing any more: what the replica sends stays in its and the kernel's buffers."""
        self.stage.attached(step.who).transport.pause_reading()

    async def reads_on(self, step: Step, args: Args) -> None:
        transport = self.stage.attached(step.who).transport
        if not transport.is_closing():
            transport.resume_reading()

    async def streamed(self, step: Step, args: Args) -> Any:
        """All that a stream has said, field by field."""
        attachment = self.stage.attached(step.who)
        assert isinstance(attachment, SseAttachment)

        async def look() -> list[dict[str, Any]]:
            attachment.check()
            return attachment.events

        return await self.until(step, look)

    async def last_streamed(self, step: Step, args: Args) -> Any:
        attachment = self.stage.attached(step.who)
        assert isinstance(attachment, SseAttachment)
        return attachment.events[-len(step.gets) :]

    async def head(self, step: Step, args: Args) -> Any:
        attachment = self.stage.attached(step.who)
        assert isinstance(attachment, SseAttachment)
        assert attachment.response is not None
        return {name.lower(): value for name, value in attachment.response.headers.items()}

    async def showed(self, step: Step, args: Args) -> Any:
        """All phases that the client has shown."""
        attachment = self.stage.attached(step.who)
        assert isinstance(attachment, ClientAttachment)

        async def look() -> list[dict[str, Any]]:
            return [{"name": phase.name, "code": phase.code, "reason": phase.reason} for phase in attachment.phases]

        return await self.until(step, look)
