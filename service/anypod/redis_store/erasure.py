"""What is taken away of a subject or of a tenant, page by page.

Owns the walk over the keys of every server (SCAN), and which subject a key belongs to. Must not know when a page is asked for,
nor what becomes of the counts.

The index of a subject's sessions is no ground to stand on: it may have been lost, and knows no deleted session, whose tombstone names
its last owner. A SCAN sees every key that is there from its beginning to its end.
"""

import re
from collections.abc import Sequence

from anypod.core.identity import SessionId, SessionKey, Subject, TenantId
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.log.append_codec import owner_field
from anypod.redis_store.log.requests import RequestRouter
from anypod.redis_store.nodes import Node, Router
from anypod.redis_store.wire.connection import Reply, pack
from anypod.store import Erased

PAGE_END = "|"  # between the server's name and its cursor


class Eraser:
    def __init__(self, keyspace: Keyspace, router: Router, writes: RequestRouter) -> None:
        self._keyspace = keyspace
        self._router = router
        self._writes = writes

    async def page(self, tenant: TenantId, owner: Subject | None, cursor: str, *, limit: int) -> Erased:
        """Look at some `limit` keys. Raises AnypodError."""
        name, _, place = cursor.partition(PAGE_END)
        nodes = sorted((str(endpoint), node) for endpoint, node in self._router.by_endpoint.items())
        left = [item for item in nodes if item[0] >= name]  # one that has gone since: the next pass sees where its keys are now
        if not left:
            return Erased("", 0, 0)
        (at, node), *others = left
        following, found = await self._scan(node, tenant, place if at == name and place else "0", limit)
        sessions, indexes = self._sorted(tenant, owner, found)
        erased = [await self._erase(key, owner) for key in sessions]
        if indexes:
            await self._forget(indexes)
        after = f"{at}{PAGE_END}{following}" if following != "0" else f"{others[0][0]}{PAGE_END}0" if others else ""
        if not after and owner is not None:
            await self._forget_owner(tenant, owner)
        return Erased(after, erased.count(2), len(erased) - erased.count(0) + len(indexes))

    async def _forget_owner(self, tenant: TenantId, owner: Subject) -> None:
        """The index of the subject, and its line in the tenant's."""
        await self._forget(list(self._keyspace.index(tenant, owner)))
        digest = self._keyspace.digest(owner).encode()
        await self._writes.call("tally", self._keyspace.tenant(tenant), digest, 0, 0, b"", is_repeatable=True)

    async def _scan(self, node: Node, tenant: TenantId, place: str, limit: int) -> tuple[str, list[str]]:
        command = pack("SCAN", place, "MATCH", self._keyspace.pattern(tenant), "COUNT", limit)
        reply = await node.reads.ask(command, is_repeatable=True)
        assert isinstance(reply, list)
        following, names = reply
        assert isinstance(following, bytes)
        assert isinstance(names, list)
        return following.decode(), [name.decode(errors="replace") for name in names if isinstance(name, bytes)]

    def _sorted(self, tenant: TenantId, owner: Subject | None, names: Sequence[str]) -> tuple[list[SessionKey], list[bytes]]:
        """The sessions that the keys are of, and the indexes. A tenant may be called like a part of a key: every name is read whole."""
        sessions, indexes = dict[SessionKey, None](), list[bytes]()
        session = re.compile(rf"{{[^}}]*}}/{re.escape(tenant)}/([^/]+)/(.)")
        index = re.compile(rf"{{[^}}]*}}//{re.escape(tenant)}/[^/]+/[axb]")
        for name in names:
            rest = name[name.index("{") :] if "{" in name else ""
            if (match := session.fullmatch(rest)) and (owner is None or match[2] == "m"):
                sessions[SessionKey(tenant, SessionId(match[1]))] = None
            elif owner is None and index.fullmatch(rest):
                indexes.append(name.encode())
        return list(sessions), indexes

    async def _erase(self, key: SessionKey, owner: Subject | None) -> Reply:
        names = self._keyspace.session(key)
        keys = (names.meta, names.log, names.deltas, names.live, names.presence, names.claims)
        return await self._writes.call("erase", keys, names.channel, owner_field(owner))

    async def _forget(self, names: Sequence[bytes]) -> None:
        for name in names:
            await self._writes.ask(name, pack("UNLINK", name), is_repeatable=True)
