"""What an attachment may ask for."""

from typing import Any

import pytest
from tests.unit.hub.kit import KEY, replicas, settled, until

from anypod.core.frames import InitFrame
from anypod.core.identity import Subject
from anypod.hub.attach_request import AttachRequest
from anypod.hub.requests import attach_request_of
from anypod.hub.session import SubscriberPhase


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


@pytest.mark.parametrize("request_fields", [{"after": "tail"}, {"after": "start"}, {}, {"features": ("no_events",)}], ids=str)
async def test_a_transport_that_is_lost_while_its_session_loads_leaves_no_subscriber(request_fields: dict[str, Any]) -> None:
    async with replicas(2) as (_, _, (here, there)):
        await here.attached("ann")
        peer, port = there.peer("ann")
        peer.begin(AttachRequest(KEY, **request_fields))
        peer.gone()
        await settled()
        session = there.hub.sessions.get(KEY)
        assert session is None or session.is_empty
        assert peer.subscriber.phase is SubscriberPhase.GONE
        assert not port.frames
        assert not there.metrics.errors["internal"], "a task has failed"


def test_another_version_of_the_protocol_is_malformed() -> None:
    with pytest.raises(Exception, match="protocol 1"):
        attach_request_of(KEY, InitFrame(protocol=2))
