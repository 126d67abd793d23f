"""A replay goes as far as its reader takes it, and on from there: nothing is lost, doubled or reordered, however little room there is."""

import json
from typing import Final

import pytest
from tests.fast_transport.raw import INIT, RawClient, said, upgrade
from tests.fast_transport.served import Served, served
from tests.support.waiting import until

EVENTS: Final = 60
DATA_BYTES: Final = 40_000
RECEIVE_BYTES: Final = 4_096  # of a socket whose client reads slowly, or not at all
STALLED: Final = 40
SETTLED_S: Final = 10.0
BUDGET: Final = 1 << 20
TARGET: Final = "/v1/sessions/s1/ws?after=start&resume=true"


@pytest.mark.parametrize("transport", ["lean", "portable"])
async def test_a_slow_reader_gets_a_long_replay_whole_while_little_may_wait_for_it(transport: str) -> None:
    async with served(transport=transport, outbox_bytes_max=50_000, publish_per_s=1_000) as at:
        await _fill(at)
        async with await RawClient.connect(at.port, receive_bytes=RECEIVE_BYTES) as slow:
            slow.send(upgrade(at.credential, TARGET))
            await slow.head()
            assert await _replayed(slow) == list(range(1, EVENTS + 1))
        assert at.replica.metrics.outbox_overflows > 5, "it was never full"
        await at.until_quiet()


async def test_where_all_together_hold_too_much_whoever_holds_most_is_cut_and_others_are_served() -> None:
    async with served(outbox_total_bytes_max=BUDGET, publish_per_s=1_000) as at:
        await _fill(at)
        stalled = [await RawClient.connect(at.port, receive_bytes=RECEIVE_BYTES) for _ in range(STALLED)]
        for client in stalled:
            client.send(upgrade(at.credential, TARGET))
        await until(lambda: at.replica.metrics.slow_consumers_closed > 0, "one is cut", SETTLED_S)
        assert 0 < at.replica.layer.hub.outboxes.bytes <= BUDGET
        async with await RawClient.connect(at.port) as reader:
            reader.send(upgrade(at.credential, TARGET))
            await reader.head()
            assert await _replayed(reader) == list(range(1, EVENTS + 1))
        for client in stalled:
            client.abort()
        await at.until_quiet()
        assert at.replica.layer.hub.outboxes.bytes == 0


async def _fill(at: Served) -> None:
    async with await RawClient.connect(at.port) as client:
        client.send(upgrade(at.credential))
        await client.head()
        client.send(INIT)
        await client.until("sync.done")
        for number in range(EVENTS):
            client.send(said(type="publish", id=f"l-{number}", kind="message", data="x" * DATA_BYTES))
            await client.until("published")


async def _replayed(client: RawClient) -> list[int]:
    """The seqs until it is up to date."""
    seqs, missed = list[int](), -1
    while (frame := await client.frame()) is not None:
        told = json.loads(bytes(frame.data))
        if told["type"] == "session.restored":
            missed = told["missed"]
        elif told["type"] == "event":
            seqs.append(told["seq"])
        elif told["type"] == "sync.done":
            assert told["seq"] == seqs[-1] == missed
            return seqs
    raise AssertionError("it ended before it was up to date")
