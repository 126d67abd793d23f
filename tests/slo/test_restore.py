"""Redis is restored from a backup, or sessions are moved to another Redis: clients resume, and what was lost is told."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.support.redis_servers import RedisServer, binary_of, running
from tests.support.replica_process import Replica, credential
from tests.support.waiting import until

from anypod.client import Event, Session, SessionReset

WAIT_S = 30.0


class Reader:
    """A client that stays, whatever becomes of its replica."""

    def __init__(self, replica: Replica, transport: str) -> None:
        shown = credential("acme", "ann")
        self.session = Session(replica.url, "s", credential=shown, transport=transport)  # type: ignore[arg-type]
        self.events: list[Event] = []
        self.resets: list[str] = []

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    async def run(self) -> None:
        async with self.session:
            async for item in self.session:
                if isinstance(item, Event):
                    self.events.append(item)
                elif isinstance(item, SessionReset):
                    self.resets.append(item.reason)
                    cursors = [event.cursor for event in self.events]
                    del self.events[cursors.index(item.common) + 1 if item.common in cursors else 0 :]


async def publish(replica: Replica, *ids: str) -> None:
    async with Session(replica.url, "s", credential=credential("acme", "ann"), after="tail") as session:
        for name in ids:
            await session.publish("message", name, id=name)


def moved(replica: Replica, to: RedisServer) -> None:
    """The replica is started again with another Redis, at the same ports."""
    replica.kill()
    replica.set("redis_url", to.url)
    replica.start()


@pytest.mark.timeout(180)
async def test_a_backup_is_restored_and_clients_are_told_what_was_lost_since(tmp_path: Path) -> None:
    with running("valkey", tmp_path / "before") as before:
        replica = Replica("one", {"redis_url": before.url}, tmp_path)
        replica.start()
        readers = [Reader(replica, transport) for transport in ("websocket", "sse", "poll")]
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        try:
            await publish(replica, "a", "b", "c")
            before.command("SAVE")  # the backup
            await publish(replica, "lost1", "lost2")
            await until(lambda: all(reader.ids == ["a", "b", "c", "lost1", "lost2"] for reader in readers), "all five")
            (folder := tmp_path / "after").mkdir()
            shutil.copy(tmp_path / "before/dump.rdb", folder / "dump.rdb")
            after = RedisServer(binary_of("valkey"), folder, "--appendonly", "no")  # with one, an RDB file is not looked at
            after.start()
            try:
                after.command("CONFIG", "SET", "appendonly", "yes")
                await asyncio.to_thread(moved, replica, after)
                await until(lambda: all(reader.resets for reader in readers), "a reset for each")
                await publish(replica, "d")
                await until(lambda: all(reader.ids[-1:] == ["d"] for reader in readers), "what comes afterwards")
                assert [reader.ids for reader in readers] == [["a", "b", "c", "d"]] * 3
                assert [reader.resets for reader in readers] == [["rolled_back"]] * 3
            finally:
                after.kill()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            replica.kill()


@pytest.mark.timeout(180)
async def test_sessions_move_to_another_redis_by_replication_and_nobody_is_reset(tmp_path: Path) -> None:
    with running("valkey", tmp_path / "old") as old, running("valkey", tmp_path / "new") as new:
        replica = Replica("one", {"redis_url": old.url}, tmp_path)
        replica.start()
        readers = [Reader(replica, transport) for transport in ("websocket", "sse", "poll")]
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        try:
            await publish(replica, "a", "b", "c")
            new.command("REPLICAOF", old.host, old.port)
            await until(lambda: b"master_link_status:up" in bytes(new.command("INFO", "replication") or b""), "a copy")  # type: ignore[arg-type]
            await publish(replica, "d")
            replica.kill()  # 1. nobody writes any more
            assert old.command("WAIT", 1, 5_000) == 1  # 2. all of it is there
            new.command("REPLICAOF", "NO", "ONE")  # 3. the copy stands for itself
            replica.set("redis_url", new.url)
            await asyncio.to_thread(replica.start)
            await publish(replica, "e")
            await until(lambda: all(reader.ids == ["a", "b", "c", "d", "e"] for reader in readers), "every event, once")
            assert not [reader.resets for reader in readers if reader.resets]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if replica.is_running:
                replica.kill()
