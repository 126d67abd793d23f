import pytest

from anypod.core.timing import CLIENT_KEEP_ALIVE_S, HEARTBEAT_MS_MAX, POLL_WAIT_MS_MAX, Departure, Proxy, Timing, leave_seconds, silence_ms


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
    assert Timing.derive(path(*idle_timeouts_ms)).heartbeat_ms == heartbeat_ms


def path(*idle_timeouts_ms: int) -> list[Proxy]:
    return [Proxy(f"proxy-{i}", ms) for i, ms in enumerate(idle_timeouts_ms)]


def test_a_lower_bound_that_is_configured_holds_without_and_with_proxies() -> None:
    assert Timing.derive([], heartbeat_ms_max=1_000).heartbeat_ms == 1_000
    assert Timing.derive([Proxy("alb", 60_000)], heartbeat_ms_max=1_000).heartbeat_ms == 1_000


def test_silence_outlasts_two_lost_heartbeats() -> None:
    assert Timing.derive([Proxy("alb", 60_000)]).silence_ms == 35_000


def test_a_client_derives_the_same_silence_from_the_interval_that_it_is_told() -> None:
    timing = Timing.derive([Proxy("alb", 60_000)])
    assert silence_ms(timing.heartbeat_ms) == timing.silence_ms


@pytest.mark.parametrize(
    ("idle_timeouts_ms", "poll_wait_ms"),
    [([60_000], 45_000), ([12_000, 60_000], 9_000), ([400], 300), ([3_600_000], POLL_WAIT_MS_MAX), ([], POLL_WAIT_MS_MAX)],
)
def test_a_poll_ends_before_a_proxy_takes_its_silence_for_death(idle_timeouts_ms: list[int], poll_wait_ms: int) -> None:
    assert Timing.derive(path(*idle_timeouts_ms)).poll_wait_ms == poll_wait_ms


@pytest.mark.parametrize(("idle_timeouts_ms", "keep_alive_s"), [([60_000], 70), ([12_000, 350_000], 360), ([400], 11), ([], 75)])
def test_no_proxy_outlives_the_connection_that_it_would_send_into(idle_timeouts_ms: list[int], keep_alive_s: int) -> None:
    assert Timing.derive(path(*idle_timeouts_ms)).keep_alive_s == keep_alive_s


@pytest.mark.parametrize(
    ("kinds", "notice_s"),
    [
        ((), 5),
        (("nginx",), 5),
        (("haproxy", "traefik"), 5),
        (("alb",), 15),
        (("alb", "nginx"), 15),
        (("nlb", "nginx"), 120),
        (("cdn",), 15),
    ],
)
def test_a_replica_stays_until_the_slowest_proxy_has_noticed(kinds: tuple[str, ...], notice_s: int) -> None:
    proxies = [Proxy(kind, 60_000) for kind in kinds]
    assert Departure.derive(proxies, drain_s=20, append_deadline_s=5).notice_s == notice_s


def test_a_leaving_replica_has_time_for_the_drain_the_store_and_its_own_end() -> None:
    departure = Departure.derive([Proxy("alb", 60_000)], drain_s=20, append_deadline_s=5)
    assert departure.leave_s >= leave_seconds(0, 20, 5)
    assert departure == Departure(notice_s=15, leave_s=32, grace_s=47)


def test_a_balancer_cuts_nobody_before_the_replica_is_gone() -> None:
    departure = Departure.derive([Proxy("nlb", 350_000)], drain_s=600, append_deadline_s=5)
    assert departure.deregistration_delay_s >= departure.grace_s
    assert departure.client_keep_alive_s >= 1.2 * departure.connection_age_s


def test_nobody_is_too_old_before_a_rollout_is_over() -> None:
    short, long = (Departure.derive([Proxy("alb", 60_000)], drain_s=drain_s, append_deadline_s=5) for drain_s in (20, 600))
    assert (short.connection_age_s, short.client_keep_alive_s) == (3_000, CLIENT_KEEP_ALIVE_S)
    assert (long.connection_age_s, long.client_keep_alive_s) == (10 * long.grace_s, 12 * long.grace_s)
