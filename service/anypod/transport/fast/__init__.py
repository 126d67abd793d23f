"""WebSocket and server-sent events as protocols of uvicorn, below ASGI: the fast path."""
