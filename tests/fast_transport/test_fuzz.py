"""Mutated bytes: a short form of `python -m tests.fast_transport.fuzz`, and the same bytes where what they leave behind can be seen."""

import asyncio

from tests.fast_transport.fuzz import Tally, fuzz, run
from tests.fast_transport.served import served

BYTES = 200_000
SEED = 20_260_101


def test_mutated_bytes_neither_break_a_replica_nor_grow_it() -> None:
    tally, _ = fuzz(SEED, BYTES)
    assert tally.sent >= BYTES
    assert {"status 101", "session.restored", "event", "close 1002", "status 400"} <= tally.answers.keys(), "the bytes reach all parts"


async def test_mutated_bytes_leave_no_connection_no_subscriber_and_no_task() -> None:
    async with served(events_per_session_max=200, sessions_per_subject_max=20, publish_per_s=5_000, max_stream_s=2) as at:
        tasks = len(asyncio.all_tasks())
        tally = Tally()
        await run(at.port, at.credential, SEED + 2, BYTES, tally)
        await at.until_quiet()
        assert not tally.wrong
        assert len(asyncio.all_tasks()) == tasks
