"""Frames that no client of ours would send, to the real peer of a session: each is answered, nothing fails inside."""

import asyncio
import json
import logging
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.hub.kit import RememberingPort, TestReplica, replicas, until

from anypod.core import frames
from anypod.core.errors import CODES
from anypod.hub.client_connection import ClientConnection

EXAMPLES: Final = 300
FRAMES_MAX: Final = 8  # of each half of a conversation
TYPES: Final = {str(frame.__struct_config__.tag): frame for frame in frames.ClientFrame.__args__}

texts = st.text(max_size=80) | st.sampled_from(
    ["", "a\x00b", "a\r\nb", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "x" * 300]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-1, 0, 2**31, 2**63, 2**64, 10**400])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
names = st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True) | st.sampled_from(["a", "x" * 64])
places = texts | names | st.sampled_from(["start", "tail", "epoch-1abcdef-1-1234567890", "epoch-1abcdef-0-0", f"e-1a-{2**64}-1", "----"])


def fields_of(frame: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """The frame's own fields, each missing, right in form or of any type."""
    own = {item.encode_name: names | texts | numbers | values for item in msgspec.structs.fields(frame)}
    return st.fixed_dictionaries({}, optional=own)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    tag = draw(st.sampled_from(sorted(TYPES)))
    made = {"type": tag, **draw(fields_of(TYPES[tag])), **draw(st.dictionaries(texts, values, max_size=2))}
    return json.dumps({**made, "type": draw(st.just(tag) | values)} if draw(st.integers(0, 9)) == 0 else made).encode()


@st.composite
def likely(draw: st.DrawFn) -> bytes:
    """Frames that get beyond the decoder."""
    name, value = draw(names), draw(values)
    made: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"type": "publish", "id": name, "kind": "message", "data": value},
                {"type": "publish", "id": name, "kind": f"x.{name[:60]}", "data": value, "expect": draw(places)},
                {"type": "publish", "id": name, "kind": "token", "data": value, "part": name, "turn": name, "fence": 1},
                {"type": "signal", "name": name, "data": value, "to": name},
                {"type": "presence", "data": value},
                {"type": "sync", "after": draw(places)},
                {"type": "history", "limit": 10, "before": draw(places)},
                {"type": "state.patch", "state": value, "live": value, "metadata": value},
                {"type": "cancel", "turn": name},
                {"type": "auth", "token": name},
                {"type": "heartbeat", "cursor": draw(places)},
                {"type": "session.init", "protocol": 1, "after": draw(places)},
            ]
        )
    )
    return json.dumps(made | {"ref": draw(names | st.integers(-(2**40), 2**40))}).encode()


# Most of a conversation is understood, so that it goes on; then comes what ends it.
understood = st.lists(st.tuples(likely(), st.just(False)), max_size=FRAMES_MAX)
anything = likely() | objects() | st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode())
conversations = st.tuples(understood, st.lists(st.tuples(anything, st.booleans()), max_size=FRAMES_MAX)).map(lambda both: both[0] + both[1])


async def converse(said: list[tuple[bytes, bool]], *, is_attached: bool) -> RememberingPort:
    """Say it all to a peer; what it did. Whatever escapes from a task of the hub is counted as internal."""
    async with replicas() as (_, clock, (replica,)):
        peer, port = await replica.attached() if is_attached else replica.peer()
        for text, is_binary in said:
            peer.receive(len(text).to_bytes(4, "big") + text if is_binary else text, is_binary=is_binary)
            clock.move(0.1)
            replica.housekeeping.tick()
        await until(lambda: not len(replica.hub.tasks) and replica.publisher.in_flight == 0)
        assert replica.metrics.errors["internal"] == 0
        await check(replica, peer, port)
        return port


async def check(replica: TestReplica, peer: ClientConnection, port: RememberingPort) -> None:
    """It is closed with a code of the contract or serves on; when it has gone nothing of it is left."""
    codes = {row.close for row in CODES.values()} - {CODES["internal"].close}
    assert port.close_code is None or port.close_code in codes
    assert port.refused is None or port.refused.code != "internal"
    assert {error["code"] for error in port.of("error")} <= CODES.keys() - {"internal"}
    peer.gone()
    await until(lambda: not len(replica.hub.tasks))
    assert not len(replica.attachments.schedule)
    assert not replica.attachments.opening


@pytest.mark.parametrize("is_attached", [True, False], ids=["attached", "first"])
def test_no_frame_breaks_a_peer(is_attached: bool, caplog: pytest.LogCaptureFixture) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(conversations)
    def speak(said: list[tuple[bytes, bool]]) -> None:
        asyncio.run(converse(said, is_attached=is_attached))

    speak()
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_conversation_with_a_right_frame_in_it_is_carried_on() -> None:
    """What the property starts from is no peer that refuses everything."""
    port = await converse([(b'{"type":"publish","id":"1","kind":"message","data":1,"ref":7}', False)], is_attached=True)
    assert [frame["ref"] for frame in port.of("published")] == [7]
    assert port.close_code is None
