"""A log from before replicas looked at values: what a client cannot decode is handed on, and the client goes on."""

import asyncio
from typing import Any

import pytest
from msgspec import Raw
from tests.fast_transport.served import Served, served

from anypod.client import Event, Session, Signal, Undecodable
from anypod.client.machine.transport_fallback import Wanted
from anypod.core import frames
from anypod.core.event import NO_DETAILS, Details, author_json, draft
from anypod.core.identity import SessionId, SessionKey, TenantId
from anypod.core.notices import SignalNotice, encode_notice
from anypod.hub.publisher import Publication

KEY = SessionKey(TenantId("acme"), SessionId("old"))
BOMB = b"[" * 980 + b"]" * 980  # a decoder that was called from a shallow place let it in, one that is called from a deep one gives up
UNDECODABLE = [b"1e999", b'{"a":[1,-1e999,"}],\\"data\\":{"]}', b"1" * 5_000, BOMB]


async def log_unchecked(at: Served, *texts: bytes) -> None:
    publisher, author = at.replica.layer.publisher, author_json("ann")
    for number, text in enumerate(texts):
        details = Details(part="p") if number % 2 else NO_DETAILS
        made = draft(f"m{number}", "x.note", text, author=author, ts_ms=1, details=details)
        await publisher.append(Publication(KEY, (made,), None))


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
@pytest.mark.parametrize("server", ["lean", "portable"])
async def test_an_event_that_cannot_be_decoded_is_handed_on_with_its_bytes_and_its_place(transport: Wanted, server: str) -> None:
    async with served(server) as at:
        async with Session(at.url, KEY.session, credential=at.credential, transport=transport) as session:
            await session.publish("message", "first")
            await log_unchecked(at, *UNDECODABLE)
            last = await session.publish("message", "last")
            came: list[Event] = []
            async with asyncio.timeout(10):
                async for item in session:
                    assert isinstance(item, Event)
                    came.append(item)
                    if item.id == last.id:
                        break
            page = await session.history(limit=20)
        assert [event.data for event in came] == ["first", *map(Undecodable, UNDECODABLE), "last"]
        assert [event.seq for event in came] == list(range(1, 7))
        assert [event.id for event in came[1:-1]] == ["m0", "m1", "m2", "m3"]
        assert [event.part for event in came[1:-1]] == [None, "p", None, "p"]
        assert [event.data for event in page.events] == [event.data for event in came]
        async with Session(at.url, KEY.session, credential=at.credential, transport=transport, after=came[-2].cursor) as again:
            async with asyncio.timeout(10):
                assert (await anext(aiter(again))).data == "last"  # type: ignore[union-attr]


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_signal_that_cannot_be_decoded_is_handed_on_and_ends_nothing(transport: Wanted) -> None:
    heard: asyncio.Queue[Signal] = asyncio.Queue()
    async with (
        served() as at,
        Session(at.url, KEY.session, credential=at.credential, transport=transport, on_signal=heard.put_nowait) as session,
    ):
        await session.publish("message", "attached")
        await anext(aiter(session))
        for text in (b"1e999", b"1"):
            signal: Any = frames.SignalFrame(name="ring", data=Raw(text), from_=frames.Origin(author="ann"))
            at.replica.layer.hub.store.notify(KEY, encode_notice(SignalNotice(frame=Raw(frames.encode(signal)))))
        async with asyncio.timeout(10):
            assert (await heard.get()).data == Undecodable(b"1e999")
            assert (await heard.get()).data == 1
