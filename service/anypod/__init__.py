"""anypod: sessions that reconnect to any pod and lose nothing."""

__version__ = "0.1.0"
