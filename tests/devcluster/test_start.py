"""What a replica loads before it can serve: a rolling upgrade waits for it, once a replica."""

import subprocess
import sys

import pytest

LOADED = "import sys, anypod.cli, anypod.settings.loading, anypod.server; print(*sys.modules)"
IMPORT_S_MAX = 60.0


@pytest.mark.parametrize("library", ["prometheus_client", "rich", "anypod.client", "anypod.devcluster.cluster"])
def test_a_replica_starts_without(library: str) -> None:
    loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=IMPORT_S_MAX, check=True)
    modules = loaded.stdout.split()
    assert "anypod.server" in modules
    assert library not in modules
