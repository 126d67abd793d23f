"""The table of `service/spec/cases/client_machine.json`, in the machine's own terms.

Owns the translation, both ways. Must not know what the cases are about. In the table a frame is an object or the name of one in `frames`;
fields that are null are left out; `wake` is not listed: the test checks that a tick was asked for before one comes.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from anypod.client.machine import commands, inputs
from anypod.client.types import Phase
from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt

PATH = Path(__file__).parents[3] / "service/spec/cases/client_machine.json"

Json = dict[str, Any]

_INPUTS = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind
    for kind in (
        inputs.Start, inputs.Opened, inputs.Received, inputs.PageReceived, inputs.ConnectionClosed, inputs.Answered, inputs.Publish,
        inputs.SendFrame, inputs.CredentialGiven, inputs.CredentialFailed, inputs.Paused, inputs.Resumed, inputs.NetworkChanged,
        inputs.Tick, inputs.Stop,
    )
}  # fmt: skip
_client_frame = msgspec.json.Decoder(frames.ClientFrame)


class Table:
    def __init__(self, table: Json) -> None:
        self._frames: dict[str, Json] = table["frames"]
        self._preludes: dict[str, list[Json]] = table["preludes"]
        self.cases: list[Json] = table["cases"]

    @classmethod
    def load(cls) -> "Table":
        return cls(json.loads(PATH.read_text()))

    def prelude(self, case: Json) -> list[inputs.Input]:
        """What brings a machine to where the case begins; other cases say what comes of it."""
        return [self.input(told) for told in self._preludes.get(case.get("before", ""), [])]

    def input(self, told: Json) -> inputs.Input:
        fields = {name: self._value(name, value) for name, value in told.items() if name != "type"}
        if "client_frame" in fields:
            return inputs.SendFrame(fields["client_frame"])
        return _INPUTS[told["type"]](**fields)

    def _value(self, name: str, value: Any) -> Any:
        match name:
            case "events":
                return tuple(self._server(event) for event in value)
            case "frame":
                return self._server(value)
            case "client_frame":
                return _client_frame.decode(json.dumps(value))
            case "publish":
                return _client_frame.decode(json.dumps({"type": "publish", "ref": value["id"], **value}))
            case "payload":
                return value.encode()
            case _:
                return value

    def _server(self, value: Json | str) -> frames.ServerFrame:
        return frames.decode_server(json.dumps(self._object(value)).encode())

    def _object(self, value: Any) -> Any:
        return self._frames[value] if isinstance(value, str) else value

    def resolved(self, command: Json) -> Json:
        """An expected command with the names of frames replaced, and what a frame leaves to its defaults."""
        return {name: _plain(self._server(value)) if name in ("item", "notice") else value for name, value in command.items()}


def shown(command: commands.Command) -> Json:
    """A command as the table has it."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(command).__name__).lower()
    match command:
        case commands.Complete(event_id, AnypodError() as error):
            return {"type": kind, "id": event_id, "error": error.code}
        case commands.Complete(_, Receipt() as receipt):
            return {"type": kind, "id": receipt.id, "seq": receipt.seq, "cursor": receipt.cursor, "duplicate": receipt.is_duplicate}
        case commands.Show(Phase() as phase):
            return {"type": kind, "phase": phase.name} | _present(phase, ("transport", "code", "reason", "next_attempt_at"))
        case commands.Deliver(item):
            return {"type": kind, "item": _plain(item)}
        case commands.Notify(frame):
            return {"type": kind, "notice": _plain(frame)}
        case _:
            fields = {name: getattr(command, name) for name in command.__slots__}
            return {"type": kind} | {name: _field(value) for name, value in fields.items() if value is not None}


def _present(facts: object, names: tuple[str, ...]) -> Json:
    return {name: value for name in names if (value := getattr(facts, name)) not in (None, "")}


def _field(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode()
        case msgspec.Struct():
            return _plain(value)
        case _:
            return value


def _plain(frame: msgspec.Struct) -> Json:
    return json.loads(msgspec.json.encode(frame))  # type: ignore[no-any-return]
