"""Whatever a replica accepts, every client decodes, on every transport: real replicas, real sockets, values by a seed."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fast_transport.served import Served, served
from tests.unit.core.test_json_value import nested, texts

from anypod.client import Attached, Event, Presence, Session, Signal
from anypod.client.machine.transport_fallback import Wanted
from anypod.core.json_value import DEPTH_MAX, SHALLOW

TRANSPORTS: tuple[Wanted, ...] = ("websocket", "sse", "poll")
WAIT_S = 20.0

numbers = [b"1e999", b"-1e999", b"9007199254740991", b"9007199254740992", b"1" * 5_000, b"1e308", b"-0", b"0." + b"1" * 5_000, b"NaN"]
strings = [b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\xff"', b'"\xed\xa0\x80"', b'"\\u0000"', b'"\x7f\xe2\x80\xa8"']
hostile = st.sampled_from([*numbers, *strings, b"[1,]", b'{"a":1,"a":2}', b"\xef\xbb\xbf1"])
deep = st.builds(nested, st.sampled_from([SHALLOW, SHALLOW + 1, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, 900, 20_000]), texts | hostile)
mutated = st.builds(lambda text, at, by: text[:at] + by + text[at + 1 :], texts, st.integers(0, 60), st.binary(max_size=2))
sent = st.lists(texts | hostile | deep | mutated, min_size=20, max_size=40)


class Reader:
    """A client of one transport, and what it was told."""

    def __init__(self, at: Served, transport: Wanted) -> None:
        self.signals: list[Signal] = []
        self.presence: list[Presence] = []
        self.attached: list[Attached] = []
        self.session = Session(
            at.url,
            "values",
            credential=at.credential,
            transport=transport,
            on_signal=self.signals.append,
            on_presence=self.presence.append,
            on_attached=self.attached.append,
        )

    async def until(self, last: str) -> dict[str, Any]:
        """The data of all events up to the one of this id, by their ids."""
        found: dict[str, Any] = {}
        async for item in self.session:
            assert isinstance(item, Event)
            found[item.id] = item.data
            if item.id == last:
                break
        return found


def by_name(signals: Sequence[Signal]) -> dict[str, Any]:
    return {signal.name: signal.data for signal in signals}


@pytest.mark.parametrize("transport", ["lean", "portable"])
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=sent)
def test_whatever_the_edge_accepts_every_client_decodes_on_every_transport(transport: str, sent: list[bytes]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_exchange(transport, sent))


async def _exchange(transport: str, sent: list[bytes]) -> None:
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(served(transport, publish_per_s=10_000))
        http = await stack.enter_async_context(aiohttp.ClientSession(headers={"Authorization": f"Bearer {at.credential}"}))
        readers = [Reader(at, name) for name in TRANSPORTS]
        for reader in readers:
            await stack.enter_async_context(reader.session)
        async with asyncio.timeout(WAIT_S):
            await readers[0].session.publish("message", "all are here", id="here")
            for reader in readers:
                await reader.until("here")
            accepted = await _send(http, f"{at.url}/v1/sessions/values", sent)
            await readers[0].session.publish("message", "that was all", id="end")
            for reader in readers:
                events = await reader.until("end")
                assert {name: events.get(name) for name in accepted["/events"]} == accepted["/events"]
            for reader in readers[:2]:  # a poll hears no signals
                signals = {signal.name: signal.data for signal in reader.signals}
                assert {name: signals.get(name) for name in accepted["/signals"]} == accepted["/signals"]
            late = Reader(at, "sse")
            await stack.enter_async_context(late.session)
            await late.session.publish("message", "attached by now", id="late")
        state = late.attached[0].state
        assert {name: state[name].get("is") for name in accepted["state"]} == accepted["state"]


async def _send(http: aiohttp.ClientSession, base: str, sent: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    """Each text as data of an event, of a signal and in the state; what was accepted there, by name."""
    accepted: dict[str, dict[str, Any]] = {"/events": {}, "/signals": {}, "state": {}}
    for number, text in enumerate(sent):
        name = f"m{number}"
        for place, method, path, body in (
            ("/events", "POST", "/events", b'{"id":"%b","kind":"x.value","data":%b}'),
            ("/signals", "POST", "/signals", b'{"name":"%b","data":%b}'),
            ("state", "PATCH", "?silent=true", b'{"state":{"%b":{"is":%b}}}'),
        ):
            status = await _status(http, method, base + path, body % (name.encode(), text))
            if status < 300:
                accepted[place][name] = json.loads(text) if place != "state" else _merged(json.loads(text))
    return accepted


async def _status(http: aiohttp.ClientSession, method: str, url: str, body: bytes) -> int:
    """Of a request that waits for its permit when there is none."""
    while True:
        async with http.request(method, url, data=body) as answer:
            assert answer.status in (200, 201, 202, 400, 413, 429), await answer.text()
            if answer.status != 429:
                return answer.status
            await asyncio.sleep((await answer.json(content_type=None))["retry_after_ms"] / 1000)


def _merged(value: Any) -> Any:
    """What a merge patch leaves of a value where nothing was: in objects a null removes."""
    if not isinstance(value, dict):
        return value
    return {name: _merged(inner) for name, inner in value.items() if inner is not None}
