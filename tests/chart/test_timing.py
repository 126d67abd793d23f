"""The chart derives the same durations as the service, for any proxies on the path."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import pytest
from tests.chart.rendering import Object, Values, one, rendered, with_secret
from tests.chart.tools import CHART

from anypod.core.timing import Departure, Proxy, Timing
from anypod.settings import load_settings

ALB: Final = "alb.ingress.kubernetes.io"
NLB: Final = "service.beta.kubernetes.io/aws-load-balancer"


class Way(NamedTuple):
    """From clients to pods: kinds of proxies with their idle timeouts in seconds, and the chart's other two inputs of time."""

    proxies: Sequence[tuple[str, int]]
    drain_s: int = 20
    append_deadline_s: int = 5

    @property
    def values(self) -> Values:
        return with_secret(
            proxies=[{"kind": kind, "idleTimeoutSeconds": idle_s} for kind, idle_s in self.proxies],
            drain={"windowSeconds": self.drain_s},
            store={"appendDeadlineSeconds": self.append_deadline_s},
        )

    @property
    def declared(self) -> list[Proxy]:
        return [Proxy(kind, idle_s * 1000) for kind, idle_s in self.proxies]

    @property
    def departure(self) -> Departure:
        return Departure.derive(self.declared, drain_s=self.drain_s, append_deadline_s=self.append_deadline_s)

    def goes_over(self, kind: str) -> bool:
        return kind in dict(self.proxies)


def random_ways(seed: int, count: int) -> list[Way]:
    rng = Random(seed)
    kinds = ["alb", "nlb", "nginx", "haproxy", "traefik", "other"]
    return [
        Way(
            [(kind, rng.choice([1, 4, 12, 30, 60, 75, 350, 3_600, 604_800])) for kind in rng.sample(kinds, rng.randint(1, 4))],
            drain_s=rng.choice([0, 1, 20, 300, 1_800]),
            append_deadline_s=rng.choice([1, 5, 60]),
        )
        for _ in range(count)
    ]


WAYS: Final = [
    Way([]),
    *(Way([(kind, 60)]) for kind in ("alb", "nlb", "nginx", "haproxy", "traefik", "other")),
    Way([("alb", 12)]),
    Way([("alb", 4_000), ("nginx", 75)]),
    Way([("nlb", 350), ("nginx", 75), ("other", 30)]),
    Way([("alb", 60)], drain_s=1_800, append_deadline_s=60),
    *random_ways(seed=6, count=14),
]


def over(kind: str) -> list[Way]:
    return [way for way in WAYS if way.goes_over(kind)]


def environment(objects: list[Object]) -> dict[str, str]:
    data: dict[str, str] = one(objects, "ConfigMap")["data"]
    return data


def replica_spec(objects: list[Object]) -> dict[str, Any]:
    spec: dict[str, Any] = one(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def of_the_pod(objects: list[Object]) -> Mapping[str, object]:
    spec, said = replica_spec(objects), environment(objects)
    return {
        "preStop": spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"],
        "grace": spec["terminationGracePeriodSeconds"],
        "ready wait": said["ANYPOD_READY_WAIT_S"],
        "leave": said["ANYPOD_GRACE_S"],
        "age": said["ANYPOD_MAX_CONNECTION_AGE_S"],
    }


def derived_of_the_pod(way: Way) -> Mapping[str, object]:
    departure = way.departure
    return {
        "preStop": departure.notice_s,
        "grace": departure.grace_s,
        "ready wait": "0",
        "leave": str(departure.leave_s),
        "age": str(departure.connection_age_s),
    }


def of_the_alb(objects: list[Object]) -> Mapping[str, str]:
    annotations = one(objects, "Ingress")["metadata"]["annotations"]
    return pairs(annotations[f"{ALB}/load-balancer-attributes"]) | pairs(annotations[f"{ALB}/target-group-attributes"])


def derived_of_the_alb(way: Way) -> Mapping[str, str]:
    return {
        "idle_timeout.timeout_seconds": str(dict(way.proxies)["alb"]),
        "client_keep_alive.seconds": str(way.departure.client_keep_alive_s),
        "deregistration_delay.timeout_seconds": str(way.departure.deregistration_delay_s),
        "load_balancing.algorithm.type": "round_robin",
        "stickiness.enabled": "false",
    }


def pairs(line: str) -> dict[str, str]:
    return dict(item.split("=", 1) for item in line.split(","))


def behind_alb(way: Way) -> Values:
    return {**way.values, "ingress": {"enabled": True, "preset": "alb"}}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_pod_leaves_as_the_service_derives_it(way: Way) -> None:
    assert of_the_pod(rendered(way.values)) == derived_of_the_pod(way)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_replica_that_reads_the_charts_settings_derives_the_same_timing(way: Way) -> None:
    said = environment(rendered(way.values))
    settings = load_settings({"ANYPOD_JWT_SECRET": "x" * 32, **{name: text for name, text in said.items() if not name.endswith("_FILE")}})
    assert settings.timing == Timing.derive(way.declared)
    assert (settings.drain_s, settings.append_deadline_s) == (way.drain_s, way.append_deadline_s)


@pytest.mark.parametrize("way", over("alb"), ids=str)
def test_an_alb_is_told_what_the_service_derives(way: Way) -> None:
    assert of_the_alb(rendered(behind_alb(way))) == derived_of_the_alb(way)


@pytest.mark.parametrize("way", over("alb"), ids=str)
def test_the_gateway_api_is_told_the_same(way: Way) -> None:
    objects = rendered({**way.values, "gateway": {"enabled": True, "aws": {"enabled": True, "createGateway": True}}})
    balancer = one(objects, "LoadBalancerConfiguration")["spec"]["loadBalancerAttributes"]
    targets = one(objects, "TargetGroupConfiguration")["spec"]["defaultConfiguration"]["targetGroupAttributes"]
    assert {item["key"]: item["value"] for item in balancer + targets} == derived_of_the_alb(way)


@pytest.mark.parametrize("way", over("nlb"), ids=str)
def test_an_nlb_is_told_what_the_service_derives(way: Way) -> None:
    annotations = one(rendered({**way.values, "service": {"type": "LoadBalancer"}}), "Service")["metadata"]["annotations"]
    assert annotations[f"{NLB}-listener-attributes.TCP-80"] == f"tcp.idle_timeout.seconds={dict(way.proxies)['nlb']}"
    targets = pairs(annotations[f"{NLB}-target-group-attributes"])
    assert targets["deregistration_delay.timeout_seconds"] == str(way.departure.deregistration_delay_s)


@pytest.mark.parametrize(
    ("formula", "drifted"),
    [
        ('"alb" 15', '"alb" 16'),
        ("$graceSlackSeconds := 5", "$graceSlackSeconds := 6"),
        ("$connectionAgeSeconds := 3000", "$connectionAgeSeconds := 3001"),
        ("$connectionAgeJitterPercent := 20", "$connectionAgeJitterPercent := 21"),
    ],
)
def test_a_formula_of_the_chart_that_has_drifted_is_found(tmp_path: Path, formula: str, drifted: str) -> None:
    chart = Path(shutil.copytree(CHART, tmp_path / "anypod"))
    formulas = chart / "templates/_timing.tpl"
    assert formula in formulas.read_text()
    formulas.write_text(formulas.read_text().replace(formula, drifted))
    way = Way([("alb", 60)])
    objects = rendered(behind_alb(way), chart=chart)
    assert {**of_the_pod(objects), **of_the_alb(objects)} != {**derived_of_the_pod(way), **derived_of_the_alb(way)}


def test_where_prestop_cannot_sleep_the_service_waits_by_itself() -> None:
    way = Way([("alb", 60)])
    objects = rendered(way.values, kube_version="1.29.0")
    said, departure = environment(objects), way.departure
    assert "lifecycle" not in replica_spec(objects)["containers"][0]
    assert replica_spec(objects)["terminationGracePeriodSeconds"] == departure.grace_s
    assert (said["ANYPOD_READY_WAIT_S"], said["ANYPOD_GRACE_S"]) == (str(departure.notice_s), str(departure.grace_s))


def test_a_longer_grace_period_is_taken_and_reaches_the_balancer() -> None:
    objects = rendered({**behind_alb(Way([("alb", 60)])), "terminationGracePeriodSeconds": 300})
    assert replica_spec(objects)["terminationGracePeriodSeconds"] == 300
    assert environment(objects)["ANYPOD_GRACE_S"] == "285"
    assert of_the_alb(objects)["deregistration_delay.timeout_seconds"] == "300"


def test_heartbeats_may_come_more_often_than_the_proxies_ask_for() -> None:
    assert environment(rendered({**Way([("alb", 60)]).values, "heartbeatMs": 5_000}))["ANYPOD_HEARTBEAT_MS_MAX"] == "5000"
