"""Tabs: attachments that name a device, tell of themselves, and signal; several of them may be the same device.

Owns what a tab does and what it was told, and what must hold of all of them at the end. Must not know how replicas agree.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from msgspec import Raw, json
from tests.simulation.client_recorder import Who
from tests.simulation.network import GRAIN_S, Bytes, End, Item, Line

from anypod.client.io.decoding import decode_text
from anypod.core import frames
from anypod.core.errors import CLOSE_RETRIED, CODES
from anypod.core.identity import SessionKey

BEAT_S: Final = 10.0
PATIENCE_S: Final = 25.0  # without a word of the replica
BACK_OFF_S_MAX: Final = 1.0
BACK_OFF_S_MIN: Final = 0.25  # a client that comes again sooner than its first word arrives may be ended by its own former attachment
REPLACED: Final = CODES["replaced"].close
NO_SESSION: Final = CODES["no_such_session"].close  # it was deleted: the tab is loaded anew


class Balancer(Protocol):
    """The way to any replica that is up."""

    def attach(self, line: Line, who: Who, stream: None) -> str | None:
        """None when nobody is there."""


class Signal(NamedTuple):
    number: int
    to: str | None


@dataclass(eq=False)
class Tab:
    """`who.name`: its author. `view`: what it was told of presence, by id. `heard`: signals, by number."""

    who: Who
    device: str
    balancer: Balancer
    rng: random.Random
    line: Line | None = None
    is_live: bool = False
    is_replaced: bool = False
    view: dict[str, dict[str, object]] = field(default_factory=dict)
    heard: "Counter[int]" = field(default_factory=Counter)
    _heard_at: float = 0.0
    _connected_at: float = 0.0

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    @property
    def is_at_rest(self) -> bool:
        return self.is_live or self.is_replaced

    def connect(self) -> None:
        """A new attachment, whatever became of the one before."""
        self.is_live = self.is_replaced = False
        self.view.clear()
        self._heard_at = self._connected_at = self._loop.time()
        line = Line(self.rng, lambda item: self._take(line, item))
        self.line = line
        if self.balancer.attach(line, self.who, None) is None:
            self._come_again(line)
            return
        self._send(frames.InitFrame(protocol=1, after="tail", device=self.device, features=["presence"]))
        self._loop.call_later(BEAT_S, self._beat, line)

    @property
    def may_move(self) -> bool:
        return self.line is not None and self._loop.time() - self._connected_at >= BACK_OFF_S_MIN

    def leave(self) -> None:
        if self.line is not None:
            self.line.leave_client()

    def roam(self) -> None:
        """To another network: the replica does not learn of it."""
        if self.line is not None:
            self.line.black_hole()
        self.connect()

    def signal(self, signal: Signal) -> None:
        self._send(frames.ClientSignalFrame(name="s", data=Raw(json.encode(signal.number)), to=signal.to))

    def tell(self, what: int) -> None:
        self._send(frames.ClientPresenceFrame(data=Raw(json.encode(what))))

    def _send(self, frame: frames.ClientFrame) -> None:
        assert self.line is not None
        self.line.up.send(Bytes(frames.encode(frame)))

    def _beat(self, line: Line) -> None:
        if self.line is not line or self.is_replaced:
            return
        if self._loop.time() - self._heard_at > PATIENCE_S:
            self.leave()
            self._come_again(line)
            return
        self._send(frames.ClientHeartbeatFrame())
        self._loop.call_later(BEAT_S, self._beat, line)

    def _come_again(self, line: Line) -> None:
        self.is_live = False
        grains = self.rng.randint(int(BACK_OFF_S_MIN / GRAIN_S), int(BACK_OFF_S_MAX / GRAIN_S))
        self._loop.call_later(GRAIN_S * grains, self._connect_if, line)

    def _connect_if(self, line: Line) -> None:
        if self.line is line:
            self.connect()

    def _take(self, line: Line, item: Item) -> None:
        if self.line is not line:
            return
        self._heard_at = self._loop.time()
        match item:
            case End(code):
                self.is_live = False
                if code in CLOSE_RETRIED or code == NO_SESSION:
                    self._come_again(line)
                else:
                    self.is_replaced = code == REPLACED
            case Bytes(payload):
                if payload[:1] != b"\0":
                    self._hear(decode_text(payload))

    def _hear(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.SyncDoneFrame():
                self.is_live = True
            case frames.SignalFrame():
                self.heard[json.decode(bytes(frame.data))] += 1
            case frames.PresenceFrame():
                for entry in frame.left:
                    self.view.pop(_id(entry), None)
                for entry in (*frame.joined, *frame.updated):
                    self.view[_id(entry)] = json.decode(bytes(entry))
            case _:
                pass


def problems_of(tabs: Sequence[Tab], signals: Iterable[Signal], devices: "Counter[tuple[SessionKey, str, str]]") -> list[str]:
    """What is wrong when everything has come to rest. `devices`: how many attachments the replicas have of each."""
    groups = defaultdict[tuple[SessionKey, str, str], list[Tab]](list)
    for tab in tabs:
        groups[tab.who.key, tab.who.name, tab.device].append(tab)
    told = []
    for name, group in groups.items():
        live = sum(tab.is_live for tab in group)
        if live != 1:
            told.append(f"of {name} {live} of {len(group)} tabs are live, {sum(tab.is_replaced for tab in group)} were replaced")
        if devices[name] != 1:
            told.append(f"of {name} the replicas have {devices[name]} attachments")
    for tab in tabs:
        told += [f"{tab.who.name} heard signal {number} {count} times" for number, count in tab.heard.items() if count > 1]
        told += [f"{tab.who.name} overheard {one}" for one in signals if one.to not in (None, tab.who.name) and tab.heard[one.number]]
        if tab.is_live:
            here = sorted((author, device) for (key, author, device) in groups if key == tab.who.key)
            seen = sorted((str(entry["author"]), str(entry["device"])) for entry in tab.view.values())
            if seen != here:
                told.append(f"{tab.who.name}/{tab.device} sees {seen}, there are {here}")
    return told


def _id(entry: Raw) -> str:
    return str(json.decode(bytes(entry))["id"])
