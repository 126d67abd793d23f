"""The release behind stand-ins for an ALB and its controller, with readiness gates: the same deeds, and what the ALB was told."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.deeds import SUDDEN, VOLUNTARY, kill_node
from tests.kubernetes.disturbance import Disturbance
from tests.kubernetes.kube import Json, Kube
from tests.kubernetes.machine import Kit, find_machine
from tests.kubernetes.namespace import made
from tests.kubernetes.release import Release
from tests.repository.not_run import missing

from anypod.client import Event, Session, open_http
from anypod.core.timing import Departure, Proxy

NAMESPACE = "anypod-edge"
GATES = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}
IDLE_TIMEOUT_S = 12
IDLE_S = float(os.environ.get("ANYPOD_TEST_IDLE_S", "300"))
IDLE_CLIENTS = 30
DRAIN_S, APPEND_DEADLINE_S = 10, 5
PATH = (Proxy("alb", IDLE_TIMEOUT_S * 1_000),)


class Edge:
    """A release, and the balancer in front of it."""

    def __init__(self, kit: Kit, release: Release) -> None:
        self._kit = kit
        self.release = release

    def url(self) -> str:
        return f"http://{self._kit.alb('address', f'{NAMESPACE}/{self.release.name}').strip()}"

    def balancer(self) -> Json:
        """As the AWS API tells it."""
        (balancer,) = json.loads(self._kit.alb("describe"))
        found: Json = balancer
        return found

    def kill_node(self, number: int) -> None:
        self._kit.kill_node(number)

    def healthy(self) -> int:
        (group,) = self.balancer()["TargetGroups"]
        return sum(target["State"] == "healthy" for target in group["Targets"])


@pytest.fixture(scope="module")
def edge(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    machine = find_machine()
    if not isinstance(machine, Kit) or not machine.has_alb():
        pytest.skip(missing("cluster kit", "it has a stand-in for AWS load balancers"))
    with made(NAMESPACE, tmp_path_factory, GATES) as kube:
        yield from _installed(machine, kube)


def _installed(kit: Kit, kube: Kube) -> Iterator[Edge]:
    proxies = [{"kind": "alb", "idleTimeoutSeconds": IDLE_TIMEOUT_S}]
    timing = {"drain": {"windowSeconds": DRAIN_S}, "store": {"appendDeadlineSeconds": APPEND_DEADLINE_S}}
    release = Release(kube, {"ingress": {"enabled": True, "preset": "alb"}, "proxies": proxies, **timing})
    release.install()
    edge = Edge(kit, release)
    kube.until(lambda: edge.healthy() == 3, "three targets are healthy", 120)
    # The first pods came before the balancer, and so without its gates.
    kube.kubectl("rollout", "restart", f"deployment/{release.name}")
    release.until_rolled_out()
    release.until_settled(3)
    yield edge
    release.uninstall()


def test_the_balancer_has_what_the_formulas_derive(edge: Edge) -> None:
    departure = Departure.derive(PATH, drain_s=DRAIN_S, append_deadline_s=APPEND_DEADLINE_S)
    balancer = edge.balancer()
    attributes = balancer["Attributes"]
    assert attributes["idle_timeout.timeout_seconds"] == str(IDLE_TIMEOUT_S)
    assert attributes["client_keep_alive.seconds"] == str(departure.client_keep_alive_s)
    (group,) = balancer["TargetGroups"]
    assert group["Attributes"]["deregistration_delay.timeout_seconds"] == str(departure.deregistration_delay_s)
    assert group["Attributes"]["load_balancing.algorithm.type"] == "round_robin"
    assert group["Attributes"]["stickiness.enabled"] == "false"
    assert (group["HealthCheckPath"], group["HealthCheckPort"], group["TargetType"]) == ("/healthz/ready", "9000", "ip")


def test_every_pod_waits_for_the_balancer_before_it_is_ready(edge: Edge) -> None:
    for pod in edge.release.pods():
        (gate,) = pod["spec"]["readinessGates"]
        assert gate["conditionType"].startswith("target-health.elbv2.k8s.aws/")
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        assert grace == Departure.derive(PATH, drain_s=DRAIN_S, append_deadline_s=APPEND_DEADLINE_S).grace_s


@pytest.mark.parametrize("name", VOLUNTARY)
async def test_nothing_is_lost_and_nobody_is_moved_in_vain_behind_the_balancer_by(name: str, edge: Edge) -> None:
    release = edge.release
    before = release.serving()
    crowd = Disturbance(release, f"alb: {name}", url=edge.url)
    await crowd.run(lambda: VOLUNTARY[name](release))
    crowd.check_politeness(crowd.replicas_met() - release.serving() | before - release.serving())


@pytest.mark.parametrize("name", SUDDEN)
async def test_nothing_is_lost_behind_the_balancer_by(name: str, edge: Edge) -> None:
    await Disturbance(edge.release, f"alb: {name}", url=edge.url).run(lambda: SUDDEN[name](edge.release))


async def test_nothing_is_lost_behind_the_balancer_by_a_node_that_dies(edge: Edge) -> None:
    await Disturbance(edge.release, "alb: node killed", url=edge.url).run(lambda: kill_node(edge.release, edge.kill_node))


async def test_idle_clients_stay_although_the_balancer_ends_silent_connections(edge: Edge) -> None:
    """By every transport, with nothing to say for many times the idle timeout; then one event reaches them all."""
    attached: dict[int, int] = dict.fromkeys(range(IDLE_CLIENTS), 0)
    lost: list[str] = []

    async def idle(index: int, session: Session) -> None:
        async with session:
            await session.reached("live")
            phase = session.phase
            await asyncio.sleep(IDLE_S)
            if session.phase != phase:
                lost.append(f"client {index} by {phase.transport}: {session.phase}")
            await session.publish("message", index)
            async for item in session:
                if isinstance(item, Event) and item.data == index:
                    return

    url = edge.url()
    async with open_http() as http, asyncio.TaskGroup() as tasks:
        for index in range(IDLE_CLIENTS):
            name = f"idle-{index}"

            def count(_: object, index: int = index) -> None:
                attached[index] += 1

            session = Session(
                url,
                name,
                credential=edge.release.credential(name),
                transport=("websocket", "sse", "poll")[index % 3],
                on_attached=count,
                http=http,
            )
            tasks.create_task(idle(index, session))
    assert not lost
    again = {index: times for index, times in attached.items() if times > 1}
    assert not again, f"came again although nothing had happened: {again}"
    print(f"\n{IDLE_CLIENTS} idle clients stayed for {IDLE_S:g} s behind an idle timeout of {IDLE_TIMEOUT_S} s")
