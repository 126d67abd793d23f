"""Steps of who writes: events, state, signals.

Owns their meaning. Must not know how a transport does it.
"""

import asyncio
from typing import Any, Final

from tests.protocol.acting import Acting, Args, websocket, without_place
from tests.protocol.asking import ask
from tests.protocol.cases import Step
from tests.protocol.drivers.client import ClientAttachment

LIST_MAX: Final = 100  # events of one request


class Writing(Acting):
    async def publish(self, step: Step, args: Args) -> Any:
        return await (await self.stage.speaker(step.who, args)).publish(without_place(args))

    async def publishes(self, step: Step, args: Args) -> Any:
        """Several, `id` counting on from `first`, one after the other."""
        speaker = await self.stage.speaker(step.who, args)
        for number in range(args["first"], args["first"] + args["count"]):
            event = {"kind": "message", "data": number, **args.get("event", {}), "id": f"m{number}"}
            answer = await speaker.publish(event)
            assert answer.get("seq"), f"{event['id']}: {answer}"

    async def publish_at_once(self, step: Step, args: Args) -> None:
        """Several people publish `count` events each, at the same time."""

        async def publish(who: str) -> None:
            speaker = await self.stage.speaker(who, args)
            for number in range(args["count"]):
                answer = await speaker.publish({"id": f"{who}{number}", "kind": "message", "data": number})
                assert answer.get("seq"), f"{who}{number}: {answer}"

        await asyncio.gather(*map(publish, args["people"]))

    async def publishes_lists(self, step: Step, args: Args) -> None:
        """As `publishes`, by requests of `each` events."""
        each, end = args.get("each", LIST_MAX), args["first"] + args["count"]
        for first in range(args["first"], end, each):
            numbers = range(first, min(first + each, end))
            events = [{"id": f"m{number}", "kind": "message", "data": args.get("data", number)} for number in numbers]
            place = self.stage.place(step.who, args)
            if first == 1:
                await ask(place, {"method": "POST", "path": "/v1/sessions", "body": {"session_id": place.session}})
            answer = await ask(place, {"method": "POST", "path": "/events", "body": events})
            assert answer["status"] == 201, answer

    async def patch(self, step: Step, args: Args) -> Any:
        return await (await self.stage.speaker(step.who, args)).patch(without_place(args))

    async def history(self, step: Step, args: Args) -> Any:
        return await (await self.stage.speaker(step.who, args)).history(without_place(args))

    async def signal(self, step: Step, args: Args) -> Any:
        return await (await self.stage.speaker(step.who, args)).signal(without_place(args))

    async def presents(self, step: Step, args: Args) -> None:
        attachment = self.stage.attached(step.who)
        if isinstance(attachment, ClientAttachment):
            assert attachment.session is not None
            attachment.session.presence(args["data"])
        else:
            await websocket(attachment).send({"type": "presence", "data": args["data"]})
