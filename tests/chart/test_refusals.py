"""What cannot work is not rendered, and the sentence that says so names the value."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
import yaml
from tests.chart.rendering import SECRET, refusal, rendered, with_secret
from tests.chart.tools import CHART

from anypod.settings import DEV_SECRET

ALB: Final = {"kind": "alb", "idleTimeoutSeconds": 12}
EXTERNAL: Final = {"redis": {"enabled": False}, "externalRedis": {"url": "redis://redis:6379/0"}}
SCALED: Final = {"enabled": True}

# For each wrong value what is given, and words of the sentence.
WRONG: Final[Mapping[str, tuple[Mapping[str, Any], list[str]]]] = {
    "no secret": ({}, ["auth.secret is empty", "openssl rand"]),
    "an empty secret": ({"auth": {"secret": ""}}, ["auth.secret is empty"]),
    "a short secret": ({"auth": {"secret": "x" * 31}}, ["auth.secret", "at least 32 bytes"]),
    "the secret of development": ({"auth": {"secret": DEV_SECRET}}, ["auth.secret", "guessed"]),
    "a secret of few letters": ({"auth": {"secret": "changeme" * 5}}, ["auth.secret", "guessed"]),
    "two secrets": ({"auth": {"secret": SECRET, "existingSecret": "mine"}}, ["auth.secret and auth.existingSecret"]),
    "a previous secret alone": ({"auth": {"existingSecret": "mine", "previousSecret": "x" * 32}}, ["auth.previousSecret signs nothing"]),
    "a short previous secret": (with_secret(auth={"secret": SECRET, "previousSecret": "x" * 31}), ["auth.previousSecret", "32 bytes"]),
    "a heartbeat above the idle timeout": (with_secret(proxies=[ALB], heartbeatMs=3_001), ["heartbeatMs=3001", "3000"]),
    "a grace period below the drain": (
        with_secret(terminationGracePeriodSeconds=36),
        ["terminationGracePeriodSeconds=36", "at least 37", "drain.windowSeconds=20"],
    ),
    "a proxy twice": (with_secret(proxies=[ALB, ALB]), ["proxies names alb twice"]),
    "an unknown proxy": (with_secret(proxies=[{**ALB, "kind": "abl"}]), ["proxies.0.kind", "alb"]),
    "a proxy without its timeout": (with_secret(proxies=[{"kind": "alb"}]), ["proxies.0", "idleTimeoutSeconds"]),
    "two Redis": (with_secret(externalRedis={"url": "redis://redis:6379/0"}), ["redis.enabled=true and externalRedis"]),
    "no Redis": (with_secret(redis={"enabled": False}), ["redis.enabled=false leaves no Redis", "externalRedis.url"]),
    "a password in a URL": (
        with_secret(redis={"enabled": False}, externalRedis={"url": "redis://me:hunter2@redis:6379"}),
        ["externalRedis.url holds a password"],
    ),
    "an address that is no URL": (with_secret(redis={"enabled": False}, externalRedis={"url": "redis:6379"}), ["externalRedis.url"]),
    "a password beside a Secret": (
        with_secret(redis={"enabled": False}, externalRedis={"url": "redis://redis", "password": "x", "existingSecret": "mine"}),
        ["externalRedis.existingSecret and a password"],
    ),
    "authorities without TLS": (
        with_secret(redis={"enabled": False}, externalRedis={"url": "redis://redis", "tls": {"existingSecret": "ca"}}),
        ["externalRedis.tls.existingSecret", "rediss"],
    ),
    "a preset without its proxy": (
        with_secret(ingress={"enabled": True, "preset": "alb"}),
        ["ingress.preset=alb", "{kind: alb, idleTimeoutSeconds: 60} to proxies"],
    ),
    "an ingress of nobody": (with_secret(ingress={"enabled": True}), ["ingress.preset or ingress.className"]),
    "a route to no gateway": (with_secret(gateway={"enabled": True}), ["gateway.parentRefs"]),
    "an AWS gateway without its proxy": (
        with_secret(gateway={"enabled": True, "aws": {"enabled": True, "createGateway": True}}),
        ["proxies"],
    ),
    "a balancer without its proxy": (with_secret(service={"type": "LoadBalancer"}), ["service.type=LoadBalancer", "proxies"]),
    "a policy that lets nobody in": (with_secret(networkPolicy={"enabled": True}), ["networkPolicy.clients"]),
    "a policy that leads to no Redis": (
        with_secret(**EXTERNAL, networkPolicy={"enabled": True, "clients": [{"podSelector": {}}]}),
        ["networkPolicy.redis"],
    ),
    "a policy that leads to no issuer": (
        {"auth": {"jwksUrls": ["https://login.example.com/keys"]}, "networkPolicy": {"enabled": True, "clients": [{"podSelector": {}}]}},
        ["networkPolicy.issuers"],
    ),
    "fewer pods at most than at least": (with_secret(autoscaling={**SCALED, "minReplicas": 20}), ["autoscaling.minReplicas=20"]),
    "autoscaling by nothing": (with_secret(autoscaling={**SCALED, "cpuPercent": 0}), ["autoscaling.cpuPercent or"]),
    "a share of no CPU": (with_secret(autoscaling=SCALED, resources={"requests": {"cpu": None}}), ["resources.requests.cpu"]),
    "KEDA without its Prometheus": (
        with_secret(autoscaling={**SCALED, "engine": "keda", "connectionsPerPod": 9}),
        ["autoscaling.keda.prometheusAddress"],
    ),
    "a collector for nobody": (with_secret(otelCollector={"enabled": True}), ["otelCollector.endpoint"]),
    "a typing error": (with_secret(replicaCont=3), ["replicaCont"]),
    "a typing error within": (with_secret(redis={"persistance": {"enabled": False}}), ["redis", "persistance"]),
    "a typing error in a setting": (with_secret(settings={"publish_pro_s": 1}), ["settings", "publish_pro_s"]),
    "a setting that is derived": (with_secret(settings={"drain_s": 1}), ["settings", "drain_s"]),
    "a number that is text": (with_secret(replicaCount="three"), ["replicaCount", "integer"]),
    "replicas of the evaluation Redis": (with_secret(redis={"replicas": 3}), ["redis", "replicas"]),
    "another strategy": (with_secret(rollout={"type": "Recreate"}), ["rollout", "type"]),
    "a drain of an hour": (with_secret(drain={"windowSeconds": 3_600}), ["drain.windowSeconds"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_chart_refuses_with_a_sentence_that_names_the_value(name: str) -> None:
    values, words = WRONG[name]
    said = refusal(values).replace("/", ".")  # a path as Helm 3 writes it
    assert not [word for word in words if word not in said], said


def test_everything_that_is_wrong_is_told_at_once() -> None:
    said = refusal({"heartbeatMs": 4_000, "proxies": [ALB], "networkPolicy": {"enabled": True}})
    assert said.count("\n- ") == 3


def test_what_is_just_right_is_rendered() -> None:
    assert rendered(with_secret(proxies=[ALB], heartbeatMs=3_000, terminationGracePeriodSeconds=47))


def test_kubernetes_before_1_29_is_refused() -> None:
    assert "1.29" in refusal(with_secret(), kube_version="1.28.9")


def test_every_level_of_the_values_knows_its_names() -> None:
    """A typing error is refused wherever it is made: below maps that Kubernetes owns, the API server does it."""
    for path in mappings(yaml.safe_load((CHART / "values.yaml").read_text())):
        wrong: dict[str, Any] = {"zzz": 1}
        for name in reversed(path):
            wrong = {name: wrong}
        assert "zzz" in refusal(wrong), path


def mappings(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The mappings of ours: those that have fixed names."""
    found = [path] if values and path[-1:] not in (("requests",), ("limits",), ("labels",)) else []
    return found + [inner for name, value in values.items() if isinstance(value, dict) for inner in mappings(value, (*path, name))]
