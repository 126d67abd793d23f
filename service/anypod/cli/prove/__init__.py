"""`anypod prove`: the guarantees, checked from outside against any deployment."""

from anypod.cli.prove.command import prove

__all__ = ["prove"]
