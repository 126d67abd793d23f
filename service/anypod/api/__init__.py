"""The HTTP side of the wire contract."""
