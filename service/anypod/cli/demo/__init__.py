"""`anypod demo`: a proof that ends by itself."""

from anypod.cli.demo.command import demo

__all__ = ["demo"]
