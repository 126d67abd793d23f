import pytest

from anypod.core.timing import HEARTBEAT_MS_MAX, Proxy, Timing, silence_ms


@pytest.mark.parametrize(
    ("idle_timeouts_ms", "heartbeat_ms"),
    [
        ([60_000], 15_000),  # the load balancer's default
        ([60_000, 30_000], 7_500),  # the shortest on the path decides
        ([3_600_000], HEARTBEAT_MS_MAX),  # a generous proxy does not make us lazy
        ([], HEARTBEAT_MS_MAX),  # no proxy declared: the network itself has limits
    ],
)
def test_heartbeat_is_a_quarter_of_the_shortest_idle_timeout(idle_timeouts_ms: list[int], heartbeat_ms: int) -> None:
    proxies = [Proxy(f"proxy-{i}", ms) for i, ms in enumerate(idle_timeouts_ms)]
    assert Timing.derive(proxies).heartbeat_ms == heartbeat_ms


def test_a_lower_bound_that_is_configured_holds_without_and_with_proxies() -> None:
    assert Timing.derive([], heartbeat_ms_max=1_000).heartbeat_ms == 1_000
    assert Timing.derive([Proxy("alb", 60_000)], heartbeat_ms_max=1_000).heartbeat_ms == 1_000


def test_silence_outlasts_two_lost_heartbeats() -> None:
    assert Timing.derive([Proxy("alb", 60_000)]).silence_ms == 35_000


def test_a_client_derives_the_same_silence_from_the_interval_that_it_is_told() -> None:
    timing = Timing.derive([Proxy("alb", 60_000)])
    assert silence_ms(timing.heartbeat_ms) == timing.silence_ms
