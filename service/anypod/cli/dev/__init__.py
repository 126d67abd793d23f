"""`anypod dev`: a whole cluster in the foreground."""

from anypod.cli.dev.command import dev

__all__ = ["dev"]
