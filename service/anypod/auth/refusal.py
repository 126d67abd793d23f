"""The answer to a credential that is not accepted.

Owns its code. Must not know what was wrong, and no message quotes what was shown.
"""

from anypod.core.errors import AnypodError


def refusal(message: str) -> AnypodError:
    return AnypodError("not_authenticated", message)
