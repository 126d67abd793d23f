"""The Python client: `async with Session(url, session_id, credential=...) as session`."""

from anypod.client.io.http import open_http
from anypod.client.session import Session
from anypod.client.types import Attached, HistoryPage, Item, Phase, Presence, SessionReset, Signal, Undecodable
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.frames import Event

__all__ = [
    "AnypodError",
    "Attached",
    "Event",
    "HistoryPage",
    "Item",
    "Phase",
    "Presence",
    "Receipt",
    "Session",
    "SessionReset",
    "Signal",
    "Undecodable",
    "open_http",
]
