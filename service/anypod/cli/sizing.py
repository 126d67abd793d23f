"""`anypod sizing`: does the memory model hold on this Redis?

Owns the look of the comparison and the exit code. Must not know the model.
"""

import json
import sys
from typing import Annotated

import typer

EXIT_OFF = 3


def sizing(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON, for a program.")] = False,
) -> None:
    """Compare what some sessions take in the configured Redis with the memory model; exit code 3: it is off by two fifths or more."""
    import asyncio

    from anypod.replica import sizing_of
    from anypod.settings.loading import settings_from

    found = asyncio.run(sizing_of(settings_from()))
    if as_json:
        print(json.dumps({**found._asdict(), "off": round(found.off, 4), "is_within": found.is_within}))
    elif not found.sessions:
        print("there is no session to look at")
    else:
        each = found.measured_bytes // found.sessions
        print(f"{found.sessions} sessions looked at: {found.measured_bytes} bytes ({each} each), by the model {found.predicted_bytes}")
        print(f"the model is off by {found.off:.0%}")
        if found.used_bytes is not None:
            print(f"the server uses {found.used_bytes} bytes in all")
    if not found.is_within:
        sys.exit(EXIT_OFF)
