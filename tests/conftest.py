"""Fixtures of every suite: real Redis and Valkey servers, one of each for a test process."""

from collections.abc import Callable, Iterator

import hypothesis
import pytest
from tests.repository.not_run import NotRun, record
from tests.support.redis_servers import Kind, RedisServer, running

# How long an example takes is a matter of the machine, and of what else runs there: a property is about values.
hypothesis.settings.register_profile("anypod", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("anypod")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """The process that hears of every test, not each of its workers, writes down what did not run."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Skips())


class Skips:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            record(NotRun(report.nodeid, report.longrepr[2]))


def shared(kind: Kind) -> Callable[..., Iterator[RedisServer]]:
    """A server that tests share: each keeps to names of its own."""

    @pytest.fixture(scope="session")
    def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
        with running(kind, tmp_path_factory.mktemp(kind)) as started:
            yield started

    return server


redis_server = shared("redis")
redis8_server = shared("redis8")
valkey_server = shared("valkey")
