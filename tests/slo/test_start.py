"""How much a replica loads before it can serve: most of the time from a kill to its return is imports."""

import json
import subprocess
import sys

LATE = ("aiohttp", "joserfc")  # for key sets alone


def test_a_replica_without_key_sets_starts_without_what_fetches_and_checks_them() -> None:
    tell = "import anypod.server, json, sys; print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))"
    done = subprocess.run((sys.executable, "-c", tell, json.dumps([*LATE, "uvicorn"])), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["uvicorn"]
