"""The lean WebSocket and SSE path on its own: its framing against an oracle, and real servers under hostile bytes."""
