"""Change a session's state, live state or metadata by merge patches.

Owns the read, the merge (RFC 7396) and the retry when another patch was quicker: optimistic concurrency. Must not know transports or
rights.
"""

from dataclasses import dataclass
from typing import Final

from anypod.core.errors import AnypodError
from anypod.core.event import Receipt, draft
from anypod.core.identity import SessionKey, Subject
from anypod.core.patch import patched
from anypod.hub.publisher import Publication, Publisher
from anypod.store import Missing, Patch, Snapshot, Store

ATTEMPTS_MAX: Final = 8  # against concurrent patches of the same session
STATE_BYTES_MAX: Final = 65_536  # each of state, live and metadata: they travel in every session.restored


@dataclass(frozen=True, slots=True)
class StatePatch:
    """Merge patches (JSON objects), None: untouched. `event_id`: of the `context_update` that tells of it, None: silent."""

    key: SessionKey
    owner: Subject | None
    author: bytes
    ts_ms: int
    state: bytes | None = None
    live: bytes | None = None
    metadata: bytes | None = None
    event_id: str | None = None
    expect: str | None = None

    def as_data(self) -> bytes:
        parts = (("state", self.state), ("live", self.live), ("metadata", self.metadata))
        return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), text) for name, text in parts if text is not None)


class StatePatcher:
    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher

    async def apply(self, edit: StatePatch) -> Receipt | None:
        """The receipt of the `context_update`, None when silent. Raises AnypodError, `stale` when `expect` is not the head."""
        told = [draft(edit.event_id, "context_update", edit.as_data(), author=edit.author, ts_ms=edit.ts_ms)] if edit.event_id else []
        for _ in range(ATTEMPTS_MAX):
            snapshot = await self.snapshot(edit.key, edit.owner)
            request = Publication(edit.key, told, edit.owner, edit.expect, _patch(edit, snapshot))
            try:
                receipts = await self._publisher.append(request)
            except AnypodError as error:
                if error.code != "stale" or edit.expect not in (None, str(snapshot.facts.head)):
                    raise
                continue  # another patch came between our read and our write
            return receipts[0] if receipts else None
        raise AnypodError("overloaded", "too many change this session at once", retry_after_ms=200)

    async def snapshot(self, key: SessionKey, owner: Subject | None) -> Snapshot:
        """The session as the log has it. Raises AnypodError `no_such_session`, also when it is not `owner`'s."""
        page = await self._store.read(key, None, limit=0)
        if isinstance(page, Missing) or (owner is not None and page.snapshot.owner != owner):
            raise AnypodError("no_such_session")
        return page.snapshot


def _patch(edit: StatePatch, snapshot: Snapshot) -> Patch:
    live = snapshot.live_at(edit.ts_ms)
    return Patch(
        version=snapshot.version,
        state=_merged(snapshot.state, edit.state),
        live=_merged(live, edit.live),
        metadata=_merged(snapshot.metadata, edit.metadata),
    )


def _merged(document: bytes, patch: bytes | None) -> bytes | None:
    return None if patch is None else patched(document, patch, bytes_max=STATE_BYTES_MAX)
