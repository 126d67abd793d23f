"""The comparison at the end: the log as read from outside, what readers applied, and the receipts of publishers.

Owns the reading of a log by pages and everything that is concluded from it. Must not know how readers and publishers went about it.
"""

from typing import Final

from anypod.client.io.decoding import decode_history, decode_page
from anypod.core.errors import AnypodError
from anypod.prove.history_checker import Applied, HistoryChecker
from anypod.prove.http_probe import HttpProbe
from anypod.prove.record import ProofRecord

PAGE: Final = 500
HISTORY: Final = 50  # the page before the end
COLD: Final = "pages"


async def read_log(asker: HttpProbe, ledger: ProofRecord) -> HistoryChecker:
    """All of it, by pages."""
    log = HistoryChecker(ledger.teller(COLD))
    path = f"/v1/sessions/{ledger.session_id}/events"
    while True:
        answer = await asker.insist("GET", path, params={"after": log.cursor, "limit": str(PAGE), "fold": "false"})
        if answer.status != 200:
            ledger.accuse(2, f"the log cannot be read any more: status {answer.status} {answer.code}", log.last_seq, log.cursor)
            return log
        page = decode_page(answer.body)
        log.fold(page.folded)
        for event in page.events:
            log.event(event)
        if not page.more:
            log.disconnected()
            return log
        if not page.events:
            raise AnypodError("internal", "a page of the log is empty, and more is said to follow")


async def compare_history(asker: HttpProbe, ledger: ProofRecord, log: HistoryChecker) -> None:
    """The page before the end, read backwards."""
    answer = await asker.insist("GET", f"/v1/sessions/{ledger.session_id}/history", params={"limit": str(HISTORY)})
    if answer.status != 200:
        ledger.accuse(1, f"the history cannot be read: status {answer.status} {answer.code}")
        return
    told = [(event.seq, event.cursor) for event in decode_history(answer.body).events if event.seq <= log.last_seq]
    kept = [(seq, log.by_seq[seq].cursor) for seq in sorted(log.by_seq) if told and seq >= told[0][0]]
    if told != kept or (log.by_seq and not told):
        ledger.accuse(1, "the history is not the end of the log", kept[-1][0] if kept else None)


def compare(ledger: ProofRecord, log: HistoryChecker) -> None:
    """Whatever of it is not as promised becomes a violation."""
    _compare_receipts(ledger, log)
    _compare_ids(ledger, log)
    for name, track in ledger.tracks.items():
        _compare_reader(ledger, log, name, track)
        _compare_resets(ledger, log, name, track)


def _compare_receipts(ledger: ProofRecord, log: HistoryChecker) -> None:
    """Guarantee 2: what was acknowledged is in the log, where it was said to be."""
    for receipt in ledger.receipts.values():
        found = log.by_seq.get(receipt.seq)
        if found is not None and (found.id, found.cursor) == (receipt.id, receipt.cursor):
            continue
        if ledger.is_announced(receipt.seq):
            ledger.evidence.counts["announced"] += 1
        else:
            instead = f"the log has {found.id} there" if found is not None else "the log has nothing there"
            ledger.accuse(2, f"id {receipt.id} was acknowledged, and {instead}", receipt.seq, receipt.cursor)


def _compare_ids(ledger: ProofRecord, log: HistoryChecker) -> None:
    """Guarantees 3 and 5: each id once, as it was sent, and nothing that was never sent."""
    first: dict[str, Applied] = {}
    for entry in log.by_seq.values():
        earlier = first.setdefault(entry.id, entry)
        body = ledger.body_of(entry.id)
        if earlier is not entry:
            ledger.accuse(3, f"id {entry.id} is in the log twice, first as {earlier.seq}", entry.seq, entry.cursor)
        elif body is None:
            ledger.accuse(5, f"id {entry.id} was published by somebody else ({entry.author})", entry.seq, entry.cursor)
        elif body != entry.body:
            ledger.accuse(3, f"id {entry.id} has another body in the log than was sent first", entry.seq, entry.cursor)


def _compare_reader(ledger: ProofRecord, log: HistoryChecker, name: str, track: HistoryChecker) -> None:
    """Guarantee 1: what a reader applied is the log."""
    for seq, entry in log.by_seq.items():
        applied = track.by_seq.get(seq)
        ledger.evidence.counts["compared"] += 1
        if applied is None:
            ledger.accuse(1, f"{name}: lost: never applied", seq, entry.cursor)
        elif applied != entry:
            ledger.accuse(1, f"{name}: applied {applied.id} ({applied.cursor}), the log has {entry.id}", seq, entry.cursor)
    for seq in sorted(track.by_seq.keys() - log.by_seq.keys()):
        if seq <= log.last_seq:
            ledger.accuse(1, f"{name}: applied what the log does not have", seq, track.by_seq[seq].cursor)


def _compare_resets(ledger: ProofRecord, log: HistoryChecker, name: str, track: HistoryChecker) -> None:
    """Guarantee 4, the other way round: a history that the log still has is no reason for a reset."""
    for reset in track.resets:
        if reset.last is not None and log.by_seq.get(reset.last.seq) == reset.last:
            ledger.accuse(4, f"{name}: was reset ({reset.reason}), and the log has its history", reset.last.seq, reset.last.cursor)
