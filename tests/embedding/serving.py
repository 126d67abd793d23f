"""An application of somebody else's, behind a real uvicorn in this process.

Owns start and end. Must not know what the application serves.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from tests.support.redis_servers import free_port
from tests.support.waiting import until

START_S_MAX = 10.0


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """The address of the application, from the start of its lifespan to the end."""
    port = free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, ws="websockets-sansio", lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    try:
        await until(lambda: server.started or running.done(), "the application listens", START_S_MAX)
        assert server.started, "the application's lifespan has failed"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
