"""What an attachment may ask for."""

import pytest
from tests.unit.hub.kit import KEY, replicas, until

from anypod.core.frames import InitFrame
from anypod.core.identity import Subject
from anypod.hub.attach_request import AttachRequest
from anypod.hub.requests import attach_request_of


async def test_to_others_than_its_owner_a_deleted_session_was_never_there() -> None:
    async with replicas() as (_, _, (here,)):
        peer, _ = await here.attached("ann")
        await here.store.delete(KEY, Subject("ann"))
        await until(lambda: KEY not in here.hub.sessions)
        _, other = await here.attached("bob", AttachRequest(KEY, resume=True))
        assert other.of("session.reset")[0]["reason"] == "unknown"
        await here.store.delete(KEY, Subject("bob"))
        await until(lambda: KEY not in here.hub.sessions)
        _, owner = await here.attached("bob", AttachRequest(KEY, resume=True))
        assert owner.of("session.reset")[0]["reason"] == "deleted"
        peer.gone()


def test_another_version_of_the_protocol_is_malformed() -> None:
    with pytest.raises(Exception, match="protocol 1"):
        attach_request_of(KEY, InitFrame(protocol=2))
