"""Guarantee 5, tried from outside: who has no credential, a forged one, or another tenant's, reaches nothing.

Owns the attempts and what they may be answered with. Must not know what goes on in the session meanwhile: whether it was
disturbed, the comparison of its log tells.
"""

from dataclasses import dataclass
from typing import Any, Final

from anypod.cli.prove.asking import Answer, Asker
from anypod.cli.prove.ledger import Ledger

STRANGER: Final = "stranger"  # the id of what a stranger tries to write

REFUSED_UNKNOWN: Final = frozenset({401, 4401})
REFUSED_FOREIGN: Final = frozenset({403, 404})


@dataclass(frozen=True, slots=True)
class Attempt:
    method: str
    path: str = ""  # below the session
    body: Any = None


ATTEMPTS: Final = (
    Attempt("GET"),
    Attempt("GET", "/events"),
    Attempt("GET", "/history"),
    Attempt("POST", "/events", {"id": STRANGER, "kind": "message", "data": "I was here"}),
    Attempt("POST", "/signals", {"name": "x.prove", "data": None}),
    Attempt("PATCH", "", {"state": {"x": "I was here"}}),
    Attempt("POST", "/close"),
    Attempt("DELETE"),
)


async def try_unknown(ledger: Ledger, asker: Asker, who: str) -> None:
    """Without a credential, or with one that nobody has signed."""
    for attempt in ATTEMPTS:
        answer = await asker.insist(attempt.method, f"/v1/sessions/{ledger.session_id}{attempt.path}", attempt.body)
        _judge(ledger, "anonymous", f"{attempt.method} {attempt.path or 'of the session'} {who}", answer, REFUSED_UNKNOWN)
    for method in ("GET", "POST"):
        answer = await asker.insist(method, "/v1/sessions", None if method == "GET" else {})
        _judge(ledger, "anonymous", f"{method} /v1/sessions {who}", answer, REFUSED_UNKNOWN)
    code, heard = await asker.greet(ledger.session_id)
    ledger.evidence.counts["anonymous"] += 1
    if code not in REFUSED_UNKNOWN:
        ledger.accuse(5, f"a WebSocket {who} was answered with {code}, {len(heard)} bytes came: 4401 was due")


async def try_foreign(ledger: Ledger, asker: Asker) -> None:
    """With another tenant's credential, under our session's id: a name is no permission, and names of tenants never meet."""
    who = "by another tenant"
    listed = await asker.insist("GET", "/v1/sessions")
    ledger.evidence.counts["foreign"] += 1
    if ledger.session_id.encode() in listed.body:
        ledger.accuse(5, f"listed {who}; is that credential really of another tenant?")
    for attempt in ATTEMPTS:
        answer = await asker.insist(attempt.method, f"/v1/sessions/{ledger.session_id}{attempt.path}", attempt.body)
        _judge(ledger, "foreign", f"{attempt.method} {attempt.path or 'of the session'} {who}", answer, REFUSED_FOREIGN)
    # An attach may create a session of that name, in that tenant: it must be empty, and its end must not be ours.
    _, heard = await asker.greet(ledger.session_id)
    ledger.evidence.counts["foreign"] += 1
    if b'"type":"event"' in heard:
        ledger.accuse(5, f"a WebSocket {who} was told events of it; is that credential really of another tenant?")
    await asker.insist("DELETE", f"/v1/sessions/{ledger.session_id}")


def _judge(ledger: Ledger, count: str, what: str, answer: Answer, expected: frozenset[int]) -> None:
    ledger.evidence.counts[count] += 1
    if answer.status not in expected:
        due = " or ".join(map(str, sorted(status for status in expected if status < 1000)))
        ledger.accuse(5, f"{what} was answered with {answer.status}: {due} was due")
