"""Guarantee 5, tried from outside: a client without a credential, or with a forged one, another tenant's, another subject's, or one that
is narrowed to other sessions, reaches nothing.

Owns the attempts and what they may be answered with. Must not know what goes on in the session meanwhile: whether its log was
disturbed, the comparison at the end tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from anypod.prove.http_probe import HttpProbe
from anypod.prove.record import ProofRecord

STRANGER: Final = "stranger"  # the id of what a stranger tries to write

REFUSED_UNKNOWN: Final = frozenset({401})
REFUSED_UNKNOWN_CLOSE: Final = frozenset({401, 4401})  # a proxy may refuse the upgrade by itself
REFUSED_FOREIGN: Final = frozenset({403, 404})
REFUSED_FOREIGN_CLOSE: Final = frozenset({4403, 4404})


@dataclass(frozen=True, slots=True)
class Attempt:
    method: str
    path: str = ""  # below the session
    body: Any = None
    params: Mapping[str, str] = field(default_factory=dict)


ATTEMPTS: Final = (
    Attempt("GET"),
    Attempt("GET", "/events"),
    Attempt("GET", "/events", params={"wait": "0"}),
    Attempt("GET", "/history"),
    Attempt("POST", "/events", {"id": STRANGER, "kind": "message", "data": "I was here"}),
    Attempt("POST", "/signals", {"name": "x.prove", "data": None}),
    Attempt("PATCH", "", {"state": {"x": "I was here"}}),
    Attempt("PATCH", "", {"metadata": {"x": "I was here"}}, {"silent": "true"}),
    Attempt("POST", "/close"),
    Attempt("DELETE"),
)


async def try_unknown(ledger: ProofRecord, asker: HttpProbe, who: str) -> None:
    """Without a credential, or with a forged one."""
    for attempt in ATTEMPTS:
        answer = await asker.insist(attempt.method, f"/v1/sessions/{ledger.session_id}{attempt.path}", attempt.body, params=attempt.params)
        _judge(ledger, "anonymous", f"{attempt.method} {attempt.path or 'of the session'} {who}", answer.status, REFUSED_UNKNOWN)
    for method in ("GET", "POST"):
        answer = await asker.insist(method, "/v1/sessions", None if method == "GET" else {})
        _judge(ledger, "anonymous", f"{method} /v1/sessions {who}", answer.status, REFUSED_UNKNOWN)
    _judge(ledger, "anonymous", f"a stream {who}", await asker.streams(ledger.session_id), REFUSED_UNKNOWN)
    code, heard = await asker.greet(ledger.session_id)
    ledger.evidence.counts["anonymous"] += 1
    if code not in REFUSED_UNKNOWN_CLOSE:
        ledger.accuse(5, f"a WebSocket {who} was answered with {code}, {len(heard)} bytes came: 4401 was due")


async def try_foreign(ledger: ProofRecord, asker: HttpProbe) -> None:
    """With another tenant's credential, under our session's id: a name is no permission, and names of tenants never meet."""
    who = "by another tenant"
    listed = await asker.insist("GET", "/v1/sessions")
    ledger.evidence.counts["foreign"] += 1
    if ledger.session_id.encode() in listed.body:
        ledger.accuse(5, f"listed {who}; is that credential really of another tenant?")
    for attempt in ATTEMPTS:
        if attempt.params.get("wait") is not None:
            continue  # a poll attaches, as the WebSocket below
        answer = await asker.insist(attempt.method, f"/v1/sessions/{ledger.session_id}{attempt.path}", attempt.body, params=attempt.params)
        _judge(ledger, "foreign", f"{attempt.method} {attempt.path or 'of the session'} {who}", answer.status, REFUSED_FOREIGN)
    # An attach may create a session of that name, in that tenant: it must be empty, and its end must not be ours.
    _, heard = await asker.greet(ledger.session_id)
    ledger.evidence.counts["foreign"] += 1
    if b'"type":"event"' in heard:
        ledger.accuse(5, f"a WebSocket {who} was told events of it; is that credential really of another tenant?")
    await asker.insist("DELETE", f"/v1/sessions/{ledger.session_id}")


async def try_outsider(ledger: ProofRecord, asker: HttpProbe, who: str, own: HttpProbe) -> None:
    """With a good credential of our tenant that does not reach the session, by every route and way to attach. `own`: the owner's probe."""
    before = await _looked_at(own, ledger)
    listed = await asker.insist("GET", "/v1/sessions")
    ledger.evidence.counts["outside"] += 1
    if ledger.session_id.encode() in listed.body:
        ledger.accuse(5, f"listed {who}")
    for attempt in ATTEMPTS:
        answer = await asker.insist(attempt.method, f"/v1/sessions/{ledger.session_id}{attempt.path}", attempt.body, params=attempt.params)
        _judge(ledger, "outside", f"{attempt.method} {attempt.path or 'of the session'} {who}", answer.status, REFUSED_FOREIGN)
    created = await asker.insist("POST", "/v1/sessions", {"session_id": ledger.session_id})
    _judge(ledger, "outside", f"POST /v1/sessions of its name {who}", created.status, REFUSED_FOREIGN)
    _judge(ledger, "outside", f"a stream {who}", await asker.streams(ledger.session_id), REFUSED_FOREIGN)
    code, heard = await asker.greet(ledger.session_id)
    _judge(ledger, "outside", f"a WebSocket {who}", code, REFUSED_FOREIGN_CLOSE)
    if b'"type":"event"' in heard:
        ledger.accuse(5, f"a WebSocket {who} was told events of it")
    if await _looked_at(own, ledger) != before:
        ledger.accuse(5, f"its state, its metadata or whether it is closed has changed while it was tried {who}")


async def _looked_at(own: HttpProbe, ledger: ProofRecord) -> Any:
    """What no client of a proof changes."""
    answer = await own.insist("GET", f"/v1/sessions/{ledger.session_id}")
    told = answer.json if isinstance(answer.json, dict) else {}
    return answer.status, *(told.get(name) for name in ("state", "metadata", "closed"))


def _judge(ledger: ProofRecord, count: str, what: str, status: int, expected: frozenset[int]) -> None:
    ledger.evidence.counts[count] += 1
    if status not in expected:
        due = " or ".join(map(str, sorted(expected)))
        ledger.accuse(5, f"{what} was answered with {status}: {due} was due")
