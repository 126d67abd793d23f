"""The 301 Autobahn cases 1 to 7, 9 and 10, run by `kosoku` against the product's WebSocket paths in a real server."""

import subprocess
import sys
from collections.abc import Callable

from tests.fast_transport.autobahn import CASES_COUNT
from tests.fast_transport.conftest import ROOT

RUN_S_MAX = 100.0


def verdict(url: str) -> str:
    command = (sys.executable, "-m", "tests.fast_transport.autobahn", url)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    return done.stdout or done.stderr


def test_every_autobahn_case_passes_on_the_lean_path(echo: Callable[[str], str]) -> None:
    assert verdict(echo("lean")) == f"{CASES_COUNT} passed, 0 failed\n"


def test_the_portable_path_differs_where_a_client_leaves_amid_a_message(echo: Callable[[str], str]) -> None:
    failed = verdict(echo("portable")).splitlines()
    assert [line.split(":")[0] for line in failed] == ["case 7.1.5", f"{CASES_COUNT - 1} passed, 1 failed"], "\n".join(failed)
