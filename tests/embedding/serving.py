"""An application of somebody else's, behind a real uvicorn in this process.

Owns start and end. Must not know what the application serves.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from tests.devcluster.waiting import until_async
from tests.support.redis_servers import free_port

START_S_MAX = 10.0


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """The address of the application, from the start of its lifespan to the end."""
    port = free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, ws="websockets-sansio", lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    try:
        await until_async(lambda: server.started or running.done(), START_S_MAX, "the application listens")
        assert server.started, "the application's lifespan has failed"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
