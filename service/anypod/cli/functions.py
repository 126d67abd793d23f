"""`anypod functions`: the function library that replicas load into Redis.

Owns nothing but the way to the output. For a server whose users may call functions but not load them.
"""

import sys


def functions() -> None:
    """Print the functions of this version, for `redis-cli -x FUNCTION LOAD` as a user who may load them."""
    from anypod.replica import function_library
    from anypod.settings.loading import settings_from

    sys.stdout.write(function_library(settings_from()))
