"""The ways a client is reached: each a thin shell over the hub's session layer."""
