"""Several Redis servers that belong together, as processes of their own: behind Sentinels, and as a Cluster.

Owns what makes them one: monitoring, slots, replicas. A test waits for conditions; so does this.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from tests.support import waiting
from tests.support.redis_servers import LOOPBACK, Kind, RedisServer, Reply, ServerError, binary_of, free_port

NAME: Final = "anypod-primary"
DOWN_AFTER_MS: Final = 1_000  # so soon a server that is silent counts as dead
STALL_MS: Final = 30_000  # and where none is meant to die: a machine that stalls for a second must not look like a death
READY_S: Final = 30.0
SLOTS: Final = 16_384
Server = TypeVar("Server", bound=RedisServer)
QUICK_SYNC: Final = ("--repl-diskless-sync-delay", "0")


class Sentinel(RedisServer):
    """Its file of settings is its own: it writes down what it learns."""

    def __init__(self, binary: Path, folder: Path) -> None:
        super().__init__(binary, folder, "--sentinel")

    def arguments(self) -> list[str]:
        file = self.folder / "sentinel.conf"
        if not file.exists():
            file.write_text(f"bind {self.host}\ndir {self.folder}\n")
        return [str(file), "--port", str(self.port)]

    def monitor(self, primary: RedisServer, quorum: int, down_after_ms: int) -> None:
        self.command("SENTINEL", "MONITOR", NAME, primary.host, primary.port, quorum)
        self.command("SENTINEL", "SET", NAME, "down-after-milliseconds", down_after_ms, "failover-timeout", 6_000)


class Watched:
    """A primary, a replica and three Sentinels."""

    def __init__(self, servers: Sequence[RedisServer], sentinels: Sequence[Sentinel]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'{one.host}:{one.port}' for one in self.sentinels)}/{NAME}"

    def primary(self) -> RedisServer:
        """Whom the first Sentinel names."""
        place = self.sentinels[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        assert isinstance(place, list)
        return next(server for server in self.servers if b"%d" % server.port == place[1])

    def others(self, server: RedisServer) -> list[RedisServer]:
        return [other for other in self.servers if other is not server]


@contextmanager
def watched(kind: Kind, folder: Path, *, down_after_ms: int = DOWN_AFTER_MS) -> Iterator[Watched]:
    """Ready to fail over for as long as the block runs."""
    with ExitStack() as stack:
        servers = [_started(stack, RedisServer(binary_of(kind), _made(folder / f"server-{n}"), *QUICK_SYNC)) for n in (1, 2)]
        servers[1].command("REPLICAOF", LOOPBACK, servers[0].port)
        sentinels = [_started(stack, Sentinel(binary_of(kind), _made(folder / f"sentinel-{n}"))) for n in (1, 2, 3)]
        for sentinel in sentinels:
            sentinel.monitor(servers[0], 2, down_after_ms)
        wait_for(lambda: all(map(_knows_all, sentinels)), "the Sentinels know each other and the replica")
        wait_for(lambda: role(servers[1]) == b"slave" and servers[0].command("WAIT", 1, 100) == 1, "the replica follows")
        yield Watched(servers, sentinels)


def _knows_all(sentinel: Sentinel) -> bool:
    facts = sentinel.command("SENTINEL", "MASTER", NAME)
    assert isinstance(facts, list)
    known = dict(zip(facts[::2], facts[1::2], strict=True))
    return (known[b"num-slaves"], known[b"num-other-sentinels"], known[b"flags"]) == (b"1", b"2", b"master")


class ClusterNode(RedisServer):
    def __init__(self, binary: Path, folder: Path, *options: str, down_after_ms: int = DOWN_AFTER_MS) -> None:
        self.bus_port = free_port()
        own = ("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port), "--cluster-node-timeout", str(down_after_ms))
        super().__init__(binary, folder, *own, *QUICK_SYNC, *options)

    @property
    def id(self) -> bytes:
        found = self.command("CLUSTER", "MYID")
        assert isinstance(found, bytes)
        return found


class Cluster:
    """So many primaries with a third of the slots each, and as many replicas."""

    def __init__(self, primaries: list[ClusterNode], replicas: Sequence[ClusterNode]) -> None:
        self.primaries = primaries
        self.replicas = replicas

    @property
    def nodes(self) -> list[ClusterNode]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'{node.host}:{node.port}' for node in self.primaries)}"

    def owner(self, slot: int) -> ClusterNode:
        """The node that serves the slot, as the first one that answers believes."""
        for node in self.nodes:
            with suppress(OSError, ServerError):
                ranges = node.command("CLUSTER", "SLOTS")
                assert isinstance(ranges, list)
                port = next(_port(item) for item in ranges if _holds(item, slot))
                return next(other for other in self.nodes if other.port == port)
        raise AssertionError("no node answers")

    def move_slot(self, slot: int, target: ClusterNode, *, is_finished: bool = True) -> ClusterNode:
        """As `redis-cli --cluster reshard` does it; not finished, half of the work is done. The node that it was on."""
        source = self.owner(slot)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        if is_finished:
            self.finish_move(slot, source, target)
        return source

    def finish_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            assert isinstance(keys, list)
            names = [key for key in keys if isinstance(key, bytes)]
            source.command("MIGRATE", target.host, target.port, "", 0, 5_000, "KEYS", *names)
        for node in (target, source, *(other for other in self.primaries if other not in (source, target))):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        wait_for(lambda: len({self._beliefs(node, slot) for node in self.primaries}) == 1, "the primaries agree again")

    def _beliefs(self, node: ClusterNode, slot: int) -> tuple[object, ...]:
        """Who serves the slot, and how new the word of each node is: while these differ, an old word may still be under way."""
        ranges, nodes = node.pipeline([["CLUSTER", "SLOTS"], ["CLUSTER", "NODES"]])
        assert isinstance(ranges, list)
        assert isinstance(nodes, bytes)
        lines = sorted(line.split() for line in nodes.splitlines())
        return next(_port(item) for item in ranges if _holds(item, slot)), *(line[6] for line in lines)


@contextmanager
def cluster(
    kind: Kind,
    folder: Path,
    *,
    primaries: int = 3,
    replicas: int = 0,
    options: Callable[[int], Sequence[str]] = lambda number: (),
    down_after_ms: int = DOWN_AFTER_MS,
) -> Iterator[Cluster]:
    """A cluster that serves all slots, for as long as the block runs. The first `replicas` primaries have one each.

    `options`: what a node is started with beside the usual, by its number.
    """
    with ExitStack() as stack:
        made = [
            ClusterNode(binary_of(kind), _made(folder / f"node-{n}"), *options(n), down_after_ms=down_after_ms)
            for n in range(primaries + replicas)
        ]
        nodes = [_started(stack, node) for node in made]
        for n, node in enumerate(nodes):  # without, they would go on to settle who is the newer one for seconds
            node.command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for node in nodes[1:]:
            nodes[0].command("CLUSTER", "MEET", node.host, node.port, node.bus_port)
        for n, node in enumerate(nodes[:primaries]):
            node.command("CLUSTER", "ADDSLOTSRANGE", SLOTS * n // primaries, SLOTS * (n + 1) // primaries - 1)
        wait_for(lambda: all(_count(node, b"cluster_known_nodes") == len(nodes) for node in nodes), "the nodes know each other")
        for n, node in enumerate(nodes[primaries:]):
            node.command("CLUSTER", "REPLICATE", nodes[n].id)
        wait_for(lambda: all(is_whole(node) for node in nodes), "the cluster serves all slots")
        for n, node in enumerate(nodes[primaries:]):
            wait_for(lambda n=n, node=node: _follows(node, nodes[n]), "a replica follows")  # type: ignore[misc]
        yield Cluster(nodes[:primaries], nodes[primaries:])


def role(server: RedisServer) -> bytes:
    found = server.command("ROLE")
    assert isinstance(found, list)
    assert isinstance(found[0], bytes)
    return found[0]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """A server that changes its role cuts its clients off."""
    waiting.wait_for(condition, what, READY_S, passing=(OSError, ServerError))


def _follows(replica: RedisServer, primary: RedisServer) -> bool:
    return role(replica) == b"slave" and primary.command("WAIT", 1, 100) == 1


def is_whole(node: ClusterNode) -> bool:
    facts = node.command("CLUSTER", "INFO")
    assert isinstance(facts, bytes)
    return b"cluster_state:ok" in facts and b"cluster_slots_ok:16384" in facts


def _count(node: ClusterNode, name: bytes) -> int:
    facts = node.command("CLUSTER", "INFO")
    assert isinstance(facts, bytes)
    return int(facts.partition(name + b":")[2].split()[0])


def _holds(item: Reply, slot: int) -> bool:
    assert isinstance(item, list)
    first, last = item[:2]
    assert isinstance(first, int)
    assert isinstance(last, int)
    return first <= slot <= last


def _port(item: Reply) -> int:
    assert isinstance(item, list)
    primary = item[2]
    assert isinstance(primary, list)
    assert isinstance(primary[1], int)
    return primary[1]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _started(stack: ExitStack, server: Server) -> Server:
    server.start()
    stack.callback(server.kill)
    return server
