"""A peer for each test that wants one, and sessions to it that lose no time."""

import random
from collections.abc import AsyncIterator

import pytest
from tests.unit.client.scripted_server import Peer
from tests.unit.client.serving import running


class Hasty(random.Random):
    """Draws the shortest wait every time."""

    def random(self) -> float:
        return 0.0


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running(Peer()) as started:
        yield started


@pytest.fixture
def hasty() -> random.Random:
    return Hasty(1)
