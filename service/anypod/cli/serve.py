"""`anypod serve`: one replica.

Owns nothing but the way from the command line to the server. Settings come from the environment alone, so that a
container, a unit file and a shell start a replica alike.
"""

import sys


def serve() -> None:
    """Run one replica, configured by ANYPOD_… variables (see `anypod config`)."""
    from anypod.server import serve as serve_replica
    from anypod.settings.loading import settings_from

    sys.exit(serve_replica(settings_from()))
