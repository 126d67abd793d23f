"""A Redis that hides INFO, or refuses FUNCTION LOAD: refused in one line that names a way, and the way works."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.store.kit import Ear, append, create, event, log_of, page, verdict
from tests.store.redis_kit import opened
from tests.support.redis_servers import LOOPBACK, RedisServer, running

from anypod.core.cursor import Reset, Resume
from anypod.core.errors import AnypodError
from anypod.redis_store import FunctionLibrary

KINDS = ["valkey", "redis"]


def deny(server: RedisServer, *commands: str) -> str:
    """The URL of a user who may do everything but that."""
    server.command("ACL", "SETUSER", "anypod", "reset", "on", ">secret", "~*", "&*", "+@all", *commands)
    return f"redis://anypod:secret@{LOOPBACK}:{server.port}"


async def refusal(url: str, **options: Any) -> str:
    with pytest.raises(AnypodError) as caught:
        async with opened(url, **options):
            pass
    assert caught.value.retry_after_ms is None, "nothing gets better by waiting"
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("kind", KINDS)
async def test_where_info_is_denied_the_refusal_names_the_setting_with_which_it_works(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path) as server:
        url = deny(server, "-info")
        line = await refusal(url)
        assert "does not let us ask for INFO" in line
        assert "ANYPOD_REDIS_INCARNATION=process" in line
        async with opened(url, incarnation="process") as store:
            key = await create(store)
            assert (await append(store, key, event("e1")))[0].seq == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_where_info_config_and_hello_are_hidden_the_operator_vouches(
    kind: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(kind, tmp_path) as server:
        url = deny(server, "-info", "-config", "-hello")
        async with opened(url, incarnation="process") as store:
            await create(store)
        assert "does not tell its maxmemory-policy" in caplog.text
        url = deny(server, "-info")
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        assert "set it to noeviction" in await refusal(url, incarnation="process"), "what it tells counts"


async def test_a_command_that_was_renamed_is_as_good_as_denied(tmp_path: Path) -> None:
    """As managed services do. The server's own start is looked at with INFO, so that a user stands for what they hide from all."""
    with running("redis", tmp_path, "--rename-command", "FUNCTION", "HIDDEN") as server:
        assert "does not let us load our functions" in await refusal(server.url)
        server.command("HIDDEN", "LOAD", FunctionLibrary().source)
        async with opened(server.url) as store:
            await create(store)


@pytest.mark.parametrize("kind", KINDS)
async def test_where_functions_may_not_be_loaded_they_may_have_been(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path) as server:
        url = deny(server, "-function")
        line = await refusal(url)
        assert "anypod functions | redis-cli -x FUNCTION LOAD" in line
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "anypod", "functions"],
            env={**os.environ, "ANYPOD_DEV": "true", "ANYPOD_HOST": LOOPBACK},
            capture_output=True,
            check=True,
        )
        server.command("FUNCTION", "LOAD", done.stdout)
        async with opened(url) as store:
            key = await create(store)
            await append(store, key, event("e1"))
            assert len(await log_of(store, key)) == 1


@pytest.mark.timeout(120)
async def test_a_lost_tail_is_noticed_without_info_too(tmp_path: Path) -> None:
    """A power loss takes the end of a log, and the same seq is given again."""
    with running("valkey", tmp_path, "--appendfsync", "always") as server:
        url = deny(server, "-info")
        server.command("ACL", "SETUSER", "default", "on", "nopass", "+@all")
        async with opened(url, incarnation="process") as store:
            key = await create(store)
            kept = (await append(store, key, event("kept")))[0].cursor
            size = server.aof.stat().st_size
            lost = (await append(store, key, event("lost")))[0].cursor
        await asyncio.sleep(17)  # lives are told apart by 16 s
        server.kill()
        with server.aof.open("r+b") as file:
            file.truncate(size)
        await asyncio.to_thread(server.start)
        url = deny(server, "-info")
        async with opened(url, incarnation="process") as store:
            assert await verdict(store, key, lost) == Reset("rolled_back", 1)
            assert await verdict(store, key, kept) == Resume(1)
            again = (await append(store, key, event("other")))[0]
            assert again.seq == 2
            assert await verdict(store, key, lost) == Reset("rolled_back", 1)
            assert [term.name[:-6] for term in (await page(store, key)).snapshot.facts.terms] == ["1", "2"]


async def test_two_versions_of_the_functions_do_not_begin_terms_in_turn(tmp_path: Path) -> None:
    """The older library's life of the server began earlier in its own memory: a term that the newer one has begun counts for both."""
    with running("valkey", tmp_path) as server:
        url = deny(server, "-info")
        older = FunctionLibrary("process").source.replace(b"local born = nil", b"local born = '000001'")
        assert older != FunctionLibrary("process").source
        name = older.split(b"name=", 1)[1].split(b"\n", 1)[0]
        suffix = name.removeprefix(b"anypod_")
        older = older.replace(suffix, b"0ld00000")
        server.command("FUNCTION", "LOAD", older)
        async with opened(url, Ear(), incarnation="process") as store:
            key = await create(store)
            await append(store, key, event("e1"))
            names = server.command("KEYS", "*/m")
            assert isinstance(names, list)
            assert isinstance(names[0], bytes)
            meta, stem = names[0], names[0][:-1]
            before = server.command("HGET", meta, "t")
            server.command("FCALL", "read_0ld00000", 4, meta, stem + b"l", stem + b"d", stem + b"v", "", 10, "", 1_000_000)
            await append(store, key, event("e2"))
            assert server.command("HGET", meta, "t") == before
            found = (await page(store, key)).snapshot.facts.terms
            assert len(found) == 1
