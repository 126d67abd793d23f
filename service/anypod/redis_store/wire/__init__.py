"""The hot path's own connection to Redis: RESP, handshake, reconnect, address resolver and the errors of replies."""
