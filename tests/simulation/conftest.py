"""What the tests of many worlds share."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet() -> Iterator[None]:
    """A replica in distress, or with a planted bug, logs at length. That is no news: an internal error is counted, and fails its world."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
