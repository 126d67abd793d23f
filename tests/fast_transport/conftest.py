"""Fixtures of the wire tests: the event loop of the product, and servers as processes of their own."""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest
import uvloop
from tests.support.redis_servers import free_port
from tests.support.replica_process import Process

ROOT: Final = Path(__file__).parents[2]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A transport of uvloop behaves differently from one of asyncio once it is closed."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _unbroken(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client sends, nothing fails inside: no error is logged, neither by us nor by the event loop."""
    yield
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors, "\n".join(f"{record.name}: {record.getMessage()} {record.exc_info}" for record in errors)


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts an echoing server of a transport; its address."""
    processes: list[Process] = []

    def start(transport: str) -> str:
        port = free_port()
        command = (sys.executable, "-m", "tests.fast_transport.echo", "--port", str(port), "--transport", transport)
        process = Process(command, {"PYTHONPATH": str(ROOT)}, tmp_path / f"{transport}.log")
        processes.append(process)
        process.start()
        process.until(lambda: answers(port), "ready")
        return f"ws://127.0.0.1:{port}/v1/sessions/echo/ws"

    yield start
    for process in processes:
        process.kill()


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 404
    except OSError:
        return False
    finally:
        connection.close()
