"""What a replica cannot read it skips, alone: everything else of the same batch is delivered, and nothing breaks."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.hub.kit import KEY, TestReplica, publish, replicas, until
from tests.versions.strange import MEMBERS, PAYLOADS

from anypod.core.notices import TAGS
from anypod.hub.attach_request import AttachRequest
from anypod.store import Member

PRESENT = AttachRequest(KEY, features=("presence",))


def skipped(replica: TestReplica) -> Counter[str]:
    return Counter({what: count for what, count in replica.metrics.payloads_skipped.items() if count})


@pytest.mark.parametrize("name", PAYLOADS)
async def test_a_payload_that_cannot_be_read_is_counted_and_costs_no_other(name: str) -> None:
    payload, what = PAYLOADS[name]
    async with replicas(2) as (server, _, (here, there)):
        peer, mine = await here.attached()
        _, other = await there.attached("bob")
        peer.receive(publish("a"))
        await until(lambda: other.seqs == [1])
        server.publish(KEY, payload)
        peer.receive(publish("b"))
        server.publish(KEY, payload)
        await until(lambda: mine.seqs == other.seqs == [1, 2])
        for replica in (here, there):
            assert skipped(replica) == (Counter({what: 2}) if what else Counter())
            assert replica.metrics.errors["internal"] == 0


async def test_a_session_that_is_being_loaded_skips_them_too() -> None:
    async with replicas() as (server, _, (replica,)):
        peer, port = replica.peer()
        peer.begin(AttachRequest(KEY))
        await until(lambda: KEY in replica.hub.sessions)
        for payload, _ in PAYLOADS.values():
            replica.hub.on_batch([(KEY, payload)])
        await until(lambda: bool(port.of("sync.done")))
        server.publish(KEY, b"nothing")
        peer.receive(publish("a"))
        await until(lambda: port.seqs == [1])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([payload for payload, _ in PAYLOADS.values()]),
            st.builds(lambda tag, rest: b'{"type":"' + tag.encode() + b'"' + rest, st.sampled_from(sorted(TAGS)), st.binary(max_size=40)),
            st.binary(max_size=40).map(lambda rest: b'{"type":"event","seq":' + rest),
            st.binary(max_size=40).map(lambda rest: b"\0" + rest),
        ),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=150)
async def test_whatever_bytes_come_between_them_events_arrive_each_once_and_in_order(strange: list[bytes]) -> None:
    async with replicas(2) as (server, _, (here, there)):
        peer, mine = await here.attached()
        _, other = await there.attached("bob")
        for index, payload in enumerate(strange):
            server.publish(KEY, payload)
            peer.receive(publish(f"e{index}"))
        peer.receive(publish("last"))
        await until(lambda: all(bool(port.of("event")) and port.of("event")[-1]["id"] == "last" for port in (mine, other)))
        assert mine.seqs == other.seqs == list(range(1, len(strange) + 2))


async def test_an_entry_of_presence_that_cannot_be_read_is_left_out_of_the_list() -> None:
    async with replicas() as (server, _, (replica,)):
        await replica.attached()
        for index, (entry, _) in enumerate(MEMBERS.values()):
            server.join(KEY, "life", (Member(f"m{index}", "a", entry),))
        _, port = await replica.attached("bob", PRESENT)
        await until(lambda: bool(port.of("presence")))
        authors = {one["author"] for one in port.of("presence")[0]["joined"]}
        assert authors == {"bob", "zoe"}
        assert replica.metrics.payloads_skipped["member"] == sum(not readable for _, readable in MEMBERS.values())


async def test_a_signal_in_several_lines_is_passed_on_in_one() -> None:
    async with replicas() as (server, _, (replica,)):
        _, port = await replica.attached()
        server.publish(KEY, b'{"type":"n.signal","frame":{"type":"signal","name":"x",\n"data":{\r\n"a":1},"from":"bob"}}')
        await until(lambda: bool(port.of("signal")))
        assert port.of("signal")[0]["data"] == {"a": 1}
        assert not any(b"\n" in frame or b"\r" in frame for frame in port.frames)
