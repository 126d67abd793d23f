"""What an application sees, written down.

Owns the records of one client. Must not know why anything happened.
"""

from typing import NamedTuple

from msgspec import json
from tests.simulation.history import (
    Acknowledged,
    Announced,
    Applied,
    Asked,
    Attempted,
    Calmed,
    Disturbed,
    Finished,
    History,
    Opened,
    Received,
    Refused,
    ResetSeen,
    Shut,
    Started,
    Synced,
    Vanished,
)
from tests.simulation.truth import Content

from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.identity import SessionKey


class Who(NamedTuple):
    """An application's name, and its session."""

    name: str
    key: SessionKey


class ClientRecorder:
    """`contents`: of publishes without an answer, by id. `cursors`: of what was applied; an application may have stored any of them."""

    def __init__(self, who: Who, history: History) -> None:
        self.contents: dict[str, str] = {}
        self.cursors: list[str] = []
        self._client = who.name
        self._session = who.key.session
        self._history = history
        self._note = history.note
        self._now = history.now

    def started(self, after: str | None) -> None:
        self._note(Started(self._now(), self._session, self._client, after))

    def vanished(self) -> None:
        self._note(Vanished(self._now(), self._session, self._client))

    def finished(self, cursor: str | None) -> None:
        self._note(Finished(self._now(), self._session, self._client, cursor, tuple(self.contents)))

    # Publishes.
    def attempted(self, publish: frames.PublishFrame, payload: bytes | None) -> None:
        shown = payload.hex() if payload is not None else json.decode(bytes(publish.data))  # type: ignore[arg-type]
        text = str(Content(publish.kind, shown, publish.turn, publish.part, publish.replaces))
        self.contents[publish.id] = text
        self._note(Attempted(self._now(), self._session, self._client, publish.id, text))

    def settled(self, event_id: str, outcome: Receipt | AnypodError) -> None:
        text = self.contents.pop(event_id)
        if isinstance(outcome, AnypodError):
            self._note(Refused(self._now(), self._session, self._client, event_id, text, outcome.code))
        else:
            self._note(Acknowledged(self._now(), self._session, self._client, event_id, text, outcome.seq, outcome.cursor))

    # Connections.
    def opened(self, replica: str, after: str | None) -> int:
        """The number of a new connection."""
        connection = self._history.next_connection()
        self._note(Opened(self._now(), self._session, self._client, connection, replica, after))
        return connection

    def shut(self, connection: int, code: int) -> None:
        self._note(Shut(self._now(), self._session, self._client, connection, code))

    def asked(self, connection: int, frame: frames.ClientFrame) -> None:
        after = (
            frame.after if isinstance(frame, frames.SyncFrame) else frame.cursor if isinstance(frame, frames.ClientHeartbeatFrame) else None
        )
        if after is not None:
            self._note(Asked(self._now(), self._session, self._client, connection, after))

    def received(self, connection: int, frame: frames.ServerFrame, payload: bytes) -> None:
        """A frame came, before the client makes anything of it."""
        match frame:
            case frames.Event():
                self._note(Received(self._now(), self._session, self._client, connection, payload))
            case frames.CreatedFrame() | frames.RestoredFrame():
                base = frame.cursor if frame.resumed_at == "tail" else None if frame.resumed_at == "start" else frame.resumed_at
                self._note(Announced(self._now(), self._session, self._client, connection, frame.folded, frame.cursor, base))
            case frames.SyncDoneFrame():
                self._note(Synced(self._now(), self._session, self._client, connection, frame.cursor, frame.folded))
            case frames.HeartbeatFrame() if frame.folded is not None:
                self._note(Announced(self._now(), self._session, self._client, connection, frame.folded, frame.cursor))
            case _:
                pass

    def delivered(self, item: frames.Event | frames.ResetFrame, payload: bytes) -> None:
        if isinstance(item, frames.ResetFrame):
            self._note(ResetSeen(self._now(), self._session, self._client, item.reason, item.common, item.cursor, item.oldest))
        else:
            self.cursors.append(item.cursor)
            self._note(Applied(self._now(), self._session, self._client, payload))

    # Weather.
    def disturbed(self, what: str) -> None:
        self._note(Disturbed(self._now(), self._client, what))

    def calmed(self, what: str) -> None:
        self._note(Calmed(self._now(), self._client, what))
