"""Steps of who reads: attaching, what is applied, how it ends.

Owns their meaning. Must not know how a transport does it.
"""

import asyncio
from typing import Any, Final

from tests.protocol.acting import Acting, Args, without_place
from tests.protocol.asking import ask
from tests.protocol.cases import Step
from tests.protocol.drivers.client import ClientAttachment
from tests.protocol.pattern import difference, filled

ATTACHED_AT_ONCE: Final = 2
AFTERMATH_S: Final = 0.5  # for what ends an attachment, the one that should have lasted too


class Reading(Acting):
    async def attach(self, step: Step, args: Args) -> Any:
        attachment = self.stage.driver(step.who, args)
        asked = without_place(args)
        assert asked.keys() <= attachment.asks, f"this transport cannot ask for {asked.keys() - attachment.asks}"
        await attachment.open(asked)
        if isinstance(step.gets, dict) and "refused" in step.gets:
            return {"refused": attachment.ended}
        assert attachment.ended is None, f"refused: {attachment.ended}"
        return attachment.opening

    async def attach_to_the_end(self, step: Step, args: Args) -> None:
        """Attach, whether it lasts or not."""
        await self.stage.driver(step.who, args).open(without_place(args))

    async def attaches_at_once(self, step: Step, args: Args) -> Any:
        """The same device on every replica in the same moment, `rounds` times: the ways in which both ended, None: it did not."""
        ask_for = {name: value for name, value in args.items() if name != "rounds"}
        endings = set[tuple[str, ...]]()
        for _ in range(args["rounds"]):
            made = [self.stage.driver(step.who, {"at": number}) for number in range(ATTACHED_AT_ONCE)]
            await asyncio.gather(*(attachment.open(ask_for) for attachment in made))
            await asyncio.sleep(AFTERMATH_S)
            endings.add(tuple(sorted(str(attachment.ended) for attachment in made)))
            for attachment in made:
                await attachment.leave()
        return [list(ending) for ending in sorted(endings)]

    async def resumes(self, step: Step, args: Args) -> None:
        """Attach again from its own cursor, and go on with what it has applied."""
        heir = self.stage.heir(step.who, args)
        await heir.open({"after": heir.applied.cursor})

    async def begins(self, step: Step, args: Args) -> None:
        """A client that may have to wait for its session."""
        attachment = self.stage.driver(step.who, args)
        assert isinstance(attachment, ClientAttachment)
        await attachment.begin(without_place(args))

    async def applies(self, step: Step, args: Args) -> Any:
        items, count = self.stage.attached(step.who).applied.items, len(step.gets)
        await self.stage.attached(step.who).until(lambda: len(items) >= count or None, f"{count} items, after {items}")
        came = items[:count]
        del items[:count]
        return came

    async def applies_to(self, step: Step, args: Args) -> Any:
        """Items up to the one that is told of; that they are in order and without a hole is checked as they come."""
        items = self.stage.attached(step.who).applied.items
        wanted = filled(step.gets, self.stage.kept)

        def find() -> Any:
            while items:
                if difference(wanted, item := items.pop(0)) is None:
                    return item
            return None

        return await self.stage.attached(step.who).until(find, f"the item {wanted}")

    async def sequence(self, step: Step, args: Args) -> Any:
        """The ids of the next so many events, in the order in which they were applied."""
        items = self.stage.attached(step.who).applied.items
        await self.stage.attached(step.who).until(lambda: len(items) >= args["count"] or None, f"{args['count']} items")
        ids = [item["id"] for item in items]
        items.clear()
        return ids

    async def rests(self, step: Step, args: Args) -> Any:
        """Everything has come and was looked at: the cursor is the head's."""
        attachment = self.stage.attached(step.who)
        head = (await ask(attachment.place, {}))["body"]["cursor"]
        await attachment.until(lambda: (attachment.is_synced and attachment.cursor == head) or None, f"being at the head, {head}")
        assert not attachment.applied.items, f"nobody expected {attachment.applied.items}"
        return {"cursor": head}

    async def ends(self, step: Step, args: Args) -> Any:
        return await self.stage.attached(step.who).until(lambda: self.stage.attached(step.who).ended, "an end")

    async def leaves(self, step: Step, args: Args) -> None:
        await self.stage.attached(step.who).leave()

    async def hears(self, step: Step, args: Args) -> Any:
        return await self.frame(step.who, "signal")

    async def sees(self, step: Step, args: Args) -> Any:
        return await self.frame(step.who, "presence")

    async def texts(self, step: Step, args: Args) -> Any:
        """The events as they came."""
        return self.stage.attached(step.who).texts
