"""A large event, as any client might publish one.

Owns the request. Nobody insists when it is refused. Must not know why somebody shouts.
"""

import random
from contextlib import suppress
from typing import Final

import aiohttp
from msgspec import json
from tests.chaos.access import headers_for

BYTES: Final = 40_000  # more than the 16 KiB that Redis keeps for a client beside its output list
BODY: Final = json.encode({"kind": "message", "data": "!" * BYTES})
S_MAX: Final = 2.0


async def publish_large(url: str, session: str, rng: random.Random) -> None:
    headers = {**headers_for(session), "Idempotency-Key": f"shout.{rng.getrandbits(64):x}", "Content-Type": "application/json"}
    with suppress(aiohttp.ClientError, TimeoutError):
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=S_MAX)) as http,
            http.post(f"{url}/v1/sessions/{session}/events", data=BODY, headers=headers) as answer,
        ):
            await answer.read()
