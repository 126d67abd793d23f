"""The journal tells of an append-only file what really happened, in its order, and nothing twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.chaos.log_reconstruction import LogReconstruction
from tests.chaos.proxied_redis import REDIS_OPTIONS
from tests.simulation.history import DeltasLost, FinalLog, Folded, Gone, Logged, Trimmed
from tests.support.redis_clusters import wait_for
from tests.support.redis_servers import RedisServer, running

STEM = "p:{1.0}/tenant/s/"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running("valkey", tmp_path / "redis", *REDIS_OPTIONS) as made:
        yield made


@pytest.fixture
def journal(server: RedisServer) -> Iterator[LogReconstruction]:
    made = LogReconstruction([server], [server], lambda: 7.0)
    yield made
    made.close()


def frame(seq: int) -> bytes:
    return b'{"type":"event","seq":%d,"cursor":"e-1ffffff-%d-5","id":"i%d","kind":"message","author":"a","ts":1,"data":1}' % (seq, seq, seq)


def write(server: RedisServer, seq: int, letter: str = "l") -> bytes:
    server.command("XADD", f"{STEM}{letter}", f"{seq}-5", "f", frame(seq))
    return frame(seq)


def test_events_of_both_streams_are_told_once_and_in_order(server: RedisServer, journal: LogReconstruction) -> None:
    frames = [write(server, 1), write(server, 2, "d"), write(server, 3)]
    assert [record.frame for record in journal.read() if isinstance(record, Logged)] == frames
    assert journal.heads == {"s": 3}
    assert list(journal.read()) == []
    frames.append(write(server, 4))
    assert [record.frame for record in journal.read() if isinstance(record, Logged)] == frames[-1:]


def test_what_was_trimmed_is_told_by_its_stream(server: RedisServer, journal: LogReconstruction) -> None:
    for seq in (1, 2, 3):
        write(server, seq)
        write(server, seq + 10, "d")
    server.command("XTRIM", f"{STEM}l", "MINID", "=", "3")
    server.command("XTRIM", f"{STEM}d", "MINID", "=", "12")
    assert list(journal.read())[-2:] == [Trimmed(7.0, "s", 3), Folded(7.0, "s", 11)]


@pytest.mark.parametrize("words", [("DEL", f"{STEM}m", f"{STEM}l"), ("FLUSHALL",)])
def test_a_session_without_metadata_is_gone(server: RedisServer, journal: LogReconstruction, words: tuple[str, ...]) -> None:
    server.command("HSET", f"{STEM}m", "p", "e-1ffffff")
    write(server, 1)
    server.command(*words)
    assert list(journal.read())[-1] == Gone(7.0, "s", "deleted")
    assert journal.heads == {}


@pytest.mark.parametrize(("letter", "lost"), [("l", Trimmed(7.0, "s", 4)), ("d", DeltasLost(7.0, "s", 3))])
def test_a_stream_that_somebody_takes_away_is_told_up_to_the_head(
    server: RedisServer, journal: LogReconstruction, letter: str, lost: Trimmed | DeltasLost
) -> None:
    for seq in (1, 2, 3):
        write(server, seq, "d" if seq == 2 else "l")
    server.command("DEL", f"{STEM}{letter}")
    write(server, 4)
    told = list(journal.read())
    assert [type(record) for record in told] == [Logged, Logged, Logged, type(lost), Logged]
    assert told[3] == lost


@pytest.mark.parametrize("spoil", [("DEL", f"{STEM}l"), ("SET", f"{STEM}l", "other")])
def test_a_session_whose_events_were_taken_away_still_has_its_head(
    server: RedisServer, journal: LogReconstruction, spoil: tuple[str, ...]
) -> None:
    write(server, 1, "d")
    write(server, 2)
    server.command("HSET", f"{STEM}m", "s", "2-5")
    list(journal.read())
    server.command(*spoil)
    assert (journal.head("s"), journal.shared_head("s")) == (2, 2)
    server.command("HSET", f"{STEM}m", "s", "3-9")
    assert (journal.head("s"), journal.shared_head("s")) == (3, 1), "that one was told by nobody"


def test_after_a_cut_the_file_is_read_on_from_its_mended_end(server: RedisServer, journal: LogReconstruction) -> None:
    for seq in (1, 2, 3):
        write(server, seq)
    assert len(list(journal.read())) == 3
    server.kill()
    path = server.aof
    path.write_bytes(path.read_bytes()[:-5])
    server.start()
    journal.skip_to_end(server)
    assert journal.head("s") == 2
    again = write(server, 3)
    assert [record.frame for record in journal.read() if isinstance(record, Logged)] == [again]


def test_the_final_log_is_what_the_server_holds(server: RedisServer, journal: LogReconstruction) -> None:
    frames = (write(server, 1), write(server, 2))
    list(journal.read())
    assert journal.final(9.0, "s") == FinalLog(9.0, "s", frames)


def test_a_file_that_is_written_anew_is_read_to_its_end_and_then_on(server: RedisServer, journal: LogReconstruction) -> None:
    frames = [write(server, 1)]
    told = [record.frame for record in journal.read() if isinstance(record, Logged)]
    frames.append(write(server, 2))
    server.command("BGREWRITEAOF")
    wait_for(lambda: b"aof_rewrite_in_progress:0" in bytes(server.command("INFO", "persistence") or b""), "the file is written anew")  # type: ignore[arg-type]
    frames.append(write(server, 3))
    told += [record.frame for record in journal.read() if isinstance(record, Logged)]
    assert told == frames


@contextmanager
def two_servers(server: RedisServer, folder: Path) -> Iterator[tuple[RedisServer, LogReconstruction]]:
    """The one that is written to first, and another."""
    with running("valkey", folder / "other", *REDIS_OPTIONS) as other:
        made = LogReconstruction([server, other], [server], lambda: 7.0)
        try:
            yield other, made
        finally:
            made.close()


def told(journal: LogReconstruction) -> list[bytes]:
    return [record.frame for record in journal.read() if isinstance(record, Logged)]


def test_another_server_is_read_from_where_it_parts_with_the_one_before(server: RedisServer, tmp_path: Path) -> None:
    with two_servers(server, tmp_path) as (other, journal):
        frames = [write(server, 1), write(server, 2), write(server, 3)]
        assert told(journal) == frames
        for seq in (1, 2):
            write(other, seq)
        other.command("XADD", f"{STEM}l", "3-9", "f", frame(3))
        assert told(journal) == [], "its word does not count yet"
        journal.turn_to(other, ["s"])
        assert journal.shared_head("s") == 2
        assert told(journal) == [frame(3)]
        write(server, 4)
        assert told(journal) == [], "the word of the one before does not count any more"


def test_a_session_whose_slot_moves_is_told_once_and_in_order(server: RedisServer, tmp_path: Path) -> None:
    with two_servers(server, tmp_path) as (other, journal):
        journal.leaders = [server, other]
        for source, target, first in ((server, other, 1), (other, server, 4), (server, other, 7)):
            source.command("HSET", f"{STEM}m", "p", "e-1ffffff")
            frames = [write(source, first), write(source, first + 1, "d")]
            source.command("MIGRATE", target.host, target.port, "", 0, 5_000, "KEYS", f"{STEM}m", f"{STEM}l", f"{STEM}d")
            frames.append(write(target, first + 2))
            records = list(journal.read())
            assert [type(record) for record in records] == [Logged] * len(frames), "nothing is gone or trimmed"
            assert [record.frame for record in records if isinstance(record, Logged)] == frames
            assert journal.homes["s"] is target


def test_a_session_that_has_moved_there_and_back_before_anybody_looks_is_told_in_order(server: RedisServer, tmp_path: Path) -> None:
    with two_servers(server, tmp_path) as (other, journal):
        journal.leaders = [server, other]
        server.command("HSET", f"{STEM}m", "p", "e-1ffffff")
        frames = []
        for seq, (source, target) in enumerate(((server, other), (other, server), (server, other), (other, server)), 1):
            frames.append(write(source, seq))
            source.command("MIGRATE", target.host, target.port, "", 0, 5_000, "KEYS", f"{STEM}m", f"{STEM}l", f"{STEM}d")
        bystander = frame(1)
        server.command("XADD", "p:{1.0}/tenant/other/l", "1-5", "f", bystander)
        records = list(journal.read())
        assert [type(record) for record in records] == [Logged] * 5, "nothing is gone or trimmed, and nobody else is forgotten"
        assert [record.frame for record in records if isinstance(record, Logged) and record.session == "s"] == frames


def test_a_session_that_has_moved_on_before_anybody_looks_is_told_in_order(server: RedisServer, tmp_path: Path) -> None:
    with running("valkey", tmp_path / "last", *REDIS_OPTIONS) as last, running("valkey", tmp_path / "between", *REDIS_OPTIONS) as between:
        journal = LogReconstruction([last, between, server], [server], lambda: 7.0)
        server.command("HSET", f"{STEM}m", "p", "e-1ffffff")
        frames = [write(server, 1)]
        assert [type(record) for record in journal.read()] == [Logged]
        journal.leaders = [last, between, server]
        for seq, (source, target) in enumerate(((server, between), (between, last)), 2):
            source.command("MIGRATE", target.host, target.port, "", 0, 5_000, "KEYS", f"{STEM}m", f"{STEM}l")
            frames.append(write(target, seq))
        assert [record.frame for record in journal.read() if isinstance(record, Logged)] == frames[1:]
        assert journal.homes["s"] is last
        journal.close()


def test_a_session_that_is_deleted_where_it_has_moved_is_gone(server: RedisServer, tmp_path: Path) -> None:
    with two_servers(server, tmp_path) as (other, journal):
        journal.leaders = [server, other]
        server.command("HSET", f"{STEM}m", "p", "e-1ffffff")
        write(server, 1)
        server.command("MIGRATE", other.host, other.port, "", 0, 5_000, "KEYS", f"{STEM}m", f"{STEM}l")
        other.command("DEL", f"{STEM}m")
        assert [type(record) for record in journal.read()] == [Logged, Gone]
