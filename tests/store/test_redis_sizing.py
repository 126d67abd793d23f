"""The memory model is compared with real servers, and so is the command that does it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.store.kit import append, create, delta, event
from tests.store.redis_kit import opened
from tests.support.options import redis_options_of
from tests.support.redis_servers import running

from anypod.clock import SystemClock
from anypod.redis_store import survey


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize(("events", "deltas", "text"), [(0, 0, 1), (3, 0, 200), (200, 0, 200), (100, 100, 20), (40, 0, 4_000)])
async def test_the_model_tells_what_sessions_take_within_its_tolerance(
    kind: Any, events: int, deltas: int, text: int, tmp_path: Path
) -> None:
    with running(kind, tmp_path) as server:
        async with opened(server.url) as store:
            for _ in range(3):
                key = await create(store, state=b'{"topic":"tea"}')
                for number in range(events):
                    await append(store, key, event(f"e{number:021}", "x" * text))
                for number in range(deltas):
                    await append(store, key, delta(f"d{number:021}", "part"))
        found = await survey(redis_options_of(server.url), SystemClock())
    print(found, f"{found.off:.0%}")
    assert found.sessions == 3
    assert found.is_within, f"off by {found.off:.0%}: {found}"
    assert found.used_bytes


async def test_the_command_tells_when_the_model_is_off(tmp_path: Path) -> None:
    with running("valkey", tmp_path) as server:
        async with opened(server.url) as store:
            key = await create(store)
            await append(store, key, event("e1"))

        def told() -> tuple[int, Any]:
            environ = {**os.environ, "ANYPOD_DEV": "true", "ANYPOD_HOST": "127.0.0.1", "ANYPOD_REDIS_URL": server.url}
            done = subprocess.run([sys.executable, "-m", "anypod", "sizing", "--json"], env=environ, capture_output=True, check=False)
            return done.returncode, json.loads(done.stdout)

        code, view = told()
        assert (code, view["sessions"], view["is_within"]) == (0, 1, True)
        names = server.command("KEYS", "*/m")
        assert isinstance(names, list)
        assert isinstance(names[0], bytes)
        server.command("HSET", names[0], "a field of somebody else", "x" * 50_000)
        code, view = told()
        assert (code, view["is_within"]) == (3, False)
