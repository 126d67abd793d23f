"""The loads of the benchmark count what really came, and find what really holds."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtests.bench.connection import Connection, Counter, LoadError, open_all
from loadtests.bench.cores import choose_cores, pinned_to
from loadtests.bench.dialect import TAIL, AnypodDialect, CentrifugoDialect, credential, text_frame
from loadtests.bench.loads.fan_out import Delivered
from loadtests.bench.meter import cpu_s, resident_bytes
from loadtests.bench.rows import ABSENT, ROWS
from loadtests.bench.rows.fan_out import is_sustained
from loadtests.bench.rows.search import NEAR, highest_good
from loadtests.bench.window import Usage, Window, quantile
from tests.support.redis_servers import free_port

from anypod.core.frames import PublishFrame, decode_client
from anypod.transport.fast.websocket_frames import FrameReader

USAGE = Usage(seconds=1.0, server_s=0.5, client_s=0.2, store_s=0.1, core_s=0.6)


@given(count=st.integers(0, 12), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=30), filler=st.binary(max_size=9))
def test_a_needle_is_counted_once_wherever_reads_cut_it(count: int, cuts: list[int], filler: bytes) -> None:
    needle = b'"type":"event"'
    stream = (needle + filler) * count
    counter, at = Counter(needle), 0
    while at < len(stream):
        for size in cuts:
            counter.feed(stream[at : at + size])
            at += size
    assert counter.count == stream.count(needle)


@pytest.mark.parametrize("size", [0, 40, 100, 125, 126, 200, 65_000])
def test_a_text_frame_is_one_that_the_server_reads(size: int) -> None:
    reader = FrameReader(1 << 17)
    messages = reader.feed(text_frame(b"x" * size))
    assert reader.error is None
    assert [payload for _, payload in messages] == [b"x" * size]


def test_a_publish_is_a_frame_of_the_contract() -> None:
    payload = FrameReader(1 << 16).feed(AnypodDialect().publish("s", 7, b"y" * 100))[0][1]
    frame = decode_client(payload)
    assert isinstance(frame, PublishFrame)
    assert (frame.id, frame.kind) == ("bench-00000007", "message")


def test_a_client_of_the_other_server_says_where_it_resumes() -> None:
    hello = CentrifugoDialect().hello("channel", "a.b.c", "41:xyz")
    assert b'"recover": true, "offset": 41, "epoch": "xyz"' in hello
    assert b"recover" not in CentrifugoDialect().hello("channel", "a.b.c", TAIL)


@pytest.mark.parametrize("limit", [75.0, 400.0, 4_000.0, 13_000.0])
async def test_the_search_ends_just_below_what_the_server_can_do(limit: float) -> None:
    async def probe(rate: float) -> float:
        return rate

    found = await highest_good(probe, lambda rate: rate <= limit, first=4_000.0)
    assert limit / NEAR <= found.rate <= limit


async def test_one_hiccup_does_not_end_the_search_and_a_server_that_never_manages_is_said() -> None:
    tried: list[float] = []

    async def probe(rate: float) -> bool:
        tried.append(rate)
        return len(tried) != 2 and rate <= 9_000

    found = await highest_good(probe, bool, first=4_000.0)
    assert found.rate > 9_000 / NEAR
    with pytest.raises(LoadError, match="not even"):
        await highest_good(probe, lambda _: False, first=4_000.0)


@pytest.mark.parametrize(
    ("sent", "missing", "age_s", "is_good"),
    [(1_000.0, 0, 0.010, True), (1_000.0, 1, 0.010, False), (1_000.0, 0, 0.016, False), (900.0, 0, 0.010, False)],
)
def test_a_rate_is_sustained_when_all_was_sent_all_arrived_and_in_time(sent: float, missing: int, age_s: float, is_good: bool) -> None:
    assert is_sustained(Delivered(USAGE, 1_000.0, sent, 1_000, missing, [age_s] * 100)) is is_good


def test_a_server_that_delivers_nothing_sustains_nothing() -> None:
    assert not is_sustained(Delivered(USAGE, 1_000.0, 1_000.0, 0, 0, []))


def test_a_quantile_is_of_ascending_values() -> None:
    ages = sorted(random.Random(1).uniform(0, 1) for _ in range(1_000))
    assert quantile(ages, 0.99) == ages[990]
    assert quantile([3.0], 0.99) == 3.0


def test_what_is_started_while_pinned_stays_on_its_core() -> None:
    cores, before = choose_cores(), os.sched_getaffinity(0)
    with pinned_to(cores.server):
        shown = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], capture_output=True, text=True, check=True
        )
    assert shown.stdout.strip() == str({cores.server})
    assert os.sched_getaffinity(0) == before


def test_the_meter_sees_the_work_of_a_process() -> None:
    pid, before, began = os.getpid(), cpu_s(os.getpid()), time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert 0.09 < cpu_s(pid) - before < 0.5
    assert resident_bytes(pid) > 1 << 20


def test_a_window_tells_the_work_of_server_and_client_apart() -> None:
    window = Window([os.getpid()], os.getpid(), choose_cores().server)
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    usage = window.end()
    assert usage.server_s >= 0.04
    assert usage.client_s >= 0.04
    assert usage.server_us(1_000) == pytest.approx(usage.server_s * 1_000)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A server that answers every request with the same bytes and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield port


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "the request was refused: HTTP/1.1 503"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the connection was lost while it opened"),
    ],
)
async def test_a_server_that_turns_clients_away_fails_the_load(answer: bytes, reason: str) -> None:
    async with answering(answer) as port:
        clients = [Connection(AnypodDialect(), "s", credential(f"user-{i}"), TAIL) for i in range(3)]
        with pytest.raises(LoadError, match=reason):
            await open_all(port, clients)
        for client in clients:
            client.ready.cancel()


def test_every_row_has_checks_of_its_own_and_what_is_absent_says_why() -> None:
    names = [check.name for row in ROWS.values() for check in row.checks]
    assert len(names) == len(set(names))
    assert all(row.checks for row in ROWS.values())
    assert all(ABSENT.values())
