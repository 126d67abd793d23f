"""Who is there, and a device that is there twice."""

import json

from tests.unit.hub.kit import KEY, replicas, settled, until

from anypod.hub.attach_request import AttachRequest


async def test_a_device_that_attaches_again_replaces_itself_on_any_replica() -> None:
    async with replicas(2) as (_, _, (here, there)):
        ask = AttachRequest(KEY, device="phone")
        _, first = await here.attached("ann", ask)
        _, second = await there.attached("ann", ask)
        await until(lambda: first.close_code is not None)
        assert (first.close_code, second.close_code) == (4409, None)


async def test_of_two_attachments_of_a_device_at_once_exactly_one_survives() -> None:
    for _ in range(30):
        async with replicas(2) as (_, _, (here, there)):
            ask = AttachRequest(KEY, device="phone")
            await here.attached("ann")
            (one, first), (other, second) = here.peer("ann"), there.peer("ann")
            one.begin(ask)
            other.begin(ask)
            await settled()
            assert sorted([first.close_code or 0, second.close_code or 0]) == [0, 4409]


async def test_presence_is_told_to_those_who_ask_for_it_and_to_nobody_else() -> None:
    async with replicas(2) as (_, _, (here, there)):
        _, watcher = await here.attached("ann", AttachRequest(KEY, features=("presence",)))
        await until(lambda: len(watcher.of("presence")) == 1)
        _, silent = await here.attached("cat")
        other, _ = await there.attached("bob", AttachRequest(KEY, features=("presence",)))
        await until(lambda: len(watcher.of("presence")) == 2)
        assert watcher.of("presence")[1]["joined"][0]["author"] == "bob"
        other.receive(json.dumps({"type": "presence", "data": {"is": "typing"}}).encode())
        await until(lambda: len(watcher.of("presence")) == 3)
        other.gone()
        await until(lambda: len(watcher.of("presence")) == 4)
        assert watcher.of("presence")[3]["left"][0]["author"] == "bob"
        assert silent.of("presence") == []
