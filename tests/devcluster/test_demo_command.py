"""`anypod demo` as a newcomer runs it."""

import re
import subprocess
import sys

DEMO = (sys.executable, "-m", "anypod", "demo")
DEMO_S_MAX = 100.0


def test_the_demonstration_counts_what_arrived_and_ends_by_itself() -> None:
    ended = subprocess.run([*DEMO, "--kills", "2"], capture_output=True, text=True, timeout=DEMO_S_MAX, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = dict(re.findall(r"│ (.*?) +│ (\S+)", ended.stdout))
    assert (table["replicas killed"], table["lost"], table["duplicated"], table["out of order"]) == ("2", "0", "0", "0")
    assert int(table["events sent"]) == int(table["events received"]) > 20
