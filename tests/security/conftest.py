"""The same surroundings as the wire tests: the event loop of the product, and nothing fails inside whatever a client sends."""

from tests.fast_transport.conftest import _unbroken, pytest_asyncio_loop_factories

__all__ = ["_unbroken", "pytest_asyncio_loop_factories"]
