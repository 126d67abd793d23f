"""What a replica of another version, or a stranger, may write where replicas tell each other something.

Owns the texts. Beside a payload stands the count under which it is skipped; None: it is understood, or of another history as far as
anybody can see, so that the log is read instead.
"""

from typing import Final

from anypod.core.notices import Skipped

PAYLOADS: Final[dict[str, tuple[bytes, Skipped | None]]] = {
    "a notice of a later version": (b'{"type":"n.turn","turn":"t1","status":"running"}', "notice_unknown"),
    "an unknown notice with anything in it": (b'{"type":"n.x","a":[{"b":1e999}],"c":{"type":"n.state"}}', "notice_unknown"),
    "a notice with fields of a later version": (b'{"type":"n.device","device":"d","author":"a","attachment":"x","order":7,"why":{}}', None),
    "a notice that lacks fields": (b'{"type":"n.state","version":1}', "notice_broken"),
    "a notice with a field of another type": (b'{"type":"n.device","device":5,"author":"a","attachment":"x"}', "notice_broken"),
    "a notice cut short": (b'{"type":"n.signal","frame":{"type":"sig', "notice_broken"),
    "a notice that is not UTF-8": (b'{"type":"n.closed","cursor":"\xff\xfe"}', "notice_broken"),
    "a notice with a tail": (b'{"type":"n.deleted"}{"type":"n.deleted"}', "notice_broken"),
    "a notice nested for ever": (b'{"type":"n.signal","frame":' + b"[" * 100_000, "notice_broken"),
    "a signal that is no frame": (b'{"type":"n.signal","frame":5}', "notice_broken"),
    "a state that is no object": (b'{"type":"n.state","version":1,"state":[],"live":5,"live_ms":1}', "notice_broken"),
    "a frame of a later version for clients": (b'{"type":"n.signal","frame":{"type":"turn.status","turn":"t1"}}', None),
    "nothing": (b"", "event"),
    "no JSON": (b"hello", "event"),
    "JSON that is no object": (b"[1,2,3]", "event"),
    "an object without a type": (b'{"seq":1}', "event"),
    "a payload of a later version": (b'{"type":"batch","events":[]}', "event"),
    "an event without a seq": (b'{"type":"event","seq":,"cursor":"x"}', None),
    "an event whose seq is no number": (b'{"type":"event","seq":one,"cursor":"e123456789-1abcdef-1-1"}', None),
    "an event whose seq never ends": (b'{"type":"event","seq":' + b"9" * 10_000 + b',"cursor":"x"}', None),
    "an event cut short": (b'{"type":"event","seq":7', "event"),
    "bytes that begin as a binary event": (b"\x00", "event"),
    "a binary event that is shorter than its header": (b'\x00\x00\xff\xff{"type":"event","seq":1,"cursor":"x","id":"a"}', "event"),
    "a binary event without a header": (b"\x00\x00\x00\x00", "event"),
}

MEMBERS: Final[dict[str, tuple[bytes, bool]]] = {
    "an entry with fields of a later version": (b'{"id":"a1","author":"zoe","device":"d","data":null,"since":7}', True),
    "an entry that lacks its author": (b'{"id":"a2","data":null}', False),
    "an entry that is no object": (b"5", False),
    "an entry that is no JSON": (b"\xff{", False),
    "nothing": (b"", False),
}
"""By what it is: the text, and whether it can be read. Of those present in a session."""

FELLOWS: Final[dict[str, tuple[bytes, bool]]] = {
    "an entry with fields of a later version": (
        b'{"replica":"later","version":"9","connections":0,"sessions":0,"draining":false,"since_ms":1,"zone":"a"}',
        True,
    ),
    "an entry that lacks fields": (b'{"replica":"bare"}', False),
    "an entry that is no object": (b"[]", False),
    "an entry that is no JSON": (b"\x00\x01", False),
    "nothing": (b"", False),
}
"""The same of replicas."""
