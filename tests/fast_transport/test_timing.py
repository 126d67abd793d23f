"""A replica does what is derived from the proxies on the path."""

from time import monotonic

import aiohttp
import pytest
from tests.fast_transport.served import served

from anypod.core.timing import Proxy, Timing
from anypod.replica import Replica
from anypod.server import _server
from anypod.settings import Settings

PROXIES = (Proxy("alb", 4_000), Proxy("edge", 90_000))


@pytest.mark.parametrize("wait_s", [20, 0.1])
async def test_a_poll_is_answered_before_a_proxy_takes_its_silence_for_death(wait_s: float) -> None:
    async with served(proxies=PROXIES) as at, aiohttp.ClientSession(headers={"Authorization": f"Bearer {at.credential}"}) as http:
        url, began = f"{at.url}/v1/sessions/s1/events", monotonic()
        async with http.get(url, params={"wait": wait_s}) as response:
            assert (response.status, (await response.json())["events"]) == (200, [])
        took_s = monotonic() - began
        assert min(wait_s, 3.0) <= took_s < 4.0


def test_the_server_keeps_idle_connections_longer_than_any_proxy_and_ends_after_the_store_has_answered() -> None:
    settings = Settings(dev=True, store="memory", host="127.0.0.1", proxies=PROXIES, append_deadline_s=3.5)
    config = _server(Replica(settings).app, settings, "httptools").config
    assert config.timeout_keep_alive == Timing.derive(PROXIES).keep_alive_s == 100
    assert config.timeout_graceful_shutdown == 4
