"""WebSocket, server-sent events and long-poll over plain ASGI: the portable path, for any server."""
