from pathlib import Path

import pytest

from anypod.core.errors import AnypodError
from anypod.devcluster.ports import PORT_MAX, Ports, bind, is_free
from anypod.devcluster.redis_server import find_server, server_command

FIRST_PORT = 22_000


def test_two_clusters_that_start_at_once_get_different_ports() -> None:
    one, other = Ports(), Ports()
    claimed = [ports.claim(FIRST_PORT) for ports in (one, other, one, other)]
    assert len(set(claimed)) == 4
    one.close()
    other.close()


def test_a_port_is_free_again_when_its_cluster_has_ended() -> None:
    first, second = Ports(), Ports()
    port = first.claim(FIRST_PORT + 100)
    first.close()
    assert second.claim(FIRST_PORT + 100) == port
    second.close()


def test_a_port_that_somebody_listens_on_is_not_claimed() -> None:
    ports = Ports()
    with bind(FIRST_PORT + 200) as taken:
        taken.listen()
        assert not is_free(FIRST_PORT + 200)
        assert ports.claim(FIRST_PORT + 200) > FIRST_PORT + 200
    ports.close()


def test_ports_of_outgoing_connections_are_never_claimed() -> None:
    ports = Ports()
    with pytest.raises(AnypodError, match="no free port from 32768 on"):
        ports.claim(PORT_MAX + 1)


def test_the_cluster_runs_a_redis_that_writes_an_append_only_file_and_evicts_nothing(tmp_path: Path) -> None:
    command = server_command(find_server(), FIRST_PORT, tmp_path / "redis").argv
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--bind"] == "127.0.0.1"
