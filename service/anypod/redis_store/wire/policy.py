"""Does a server keep what it is given?

Owns the question for its eviction policy and the judgement of the answer. Must not know when it is asked.
"""

import re
from typing import Final

import hiredis

from anypod.core.errors import AnypodError
from anypod.redis_store.wire.connection import Connection, pack
from anypod.redis_store.wire.errors import checked, is_denied

POLICY: Final = "noeviction"


def judge_policy(policy: str) -> None:
    """Raises AnypodError `unavailable`."""
    if policy != POLICY:
        line = f"the server evicts keys when it is full (maxmemory-policy {policy}); set it to {POLICY}, or sessions are lost"
        raise AnypodError("unavailable", line)


async def check_policy(connection: Connection, *, is_vouched: bool = False) -> None:
    """Of whatever server this turned out to be: it may have joined, or taken over, after the start. Raises AnypodError.

    `is_vouched`: where the server does not tell, its operator has said that it is well.
    """
    reply = await connection.ask(pack("CONFIG", "GET", "maxmemory-policy"))
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):
        judge_policy(reply[1].decode())
        return
    info = await connection.ask(pack("INFO", "memory"))  # managed services forbid CONFIG and still tell it here
    if is_vouched and isinstance(info, hiredis.ReplyError) and is_denied(str(info)):
        return
    told = checked(info)
    assert isinstance(told, bytes)
    found = re.search(rb"maxmemory_policy:([\w-]+)", told)
    judge_policy(found[1].decode() if found else "unknown")
