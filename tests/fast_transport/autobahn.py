"""The Autobahn cases against a server that echoes: `python -m tests.fast_transport.autobahn ws://127.0.0.1:21000/v1/sessions/echo/ws`.

Owns which cases are run, and prints one line for each that does not pass. A program of its own, because the cases change the
interpreter they are run in. Compression (cases 12 and 13) is not offered.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from kosoku import FailureError, run_fuzzingclient

CASES: Final = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*")
CASES_COUNT: Final = 301
AT_ONCE: Final = 8  # a few cases wait for seconds, by design


async def run(url: str, cases: Sequence[str]) -> tuple[int, int]:
    """How many passed, and how many did not: these are printed."""
    try:
        results = await run_fuzzingclient(url, cases, concurrency=AT_ONCE)
    except FailureError as failure:
        results = failure.results
    failed = [result for result in results if not result.passed]
    for one in failed:
        print(f"case {one.case_id}: {one.behavior.value}, {one.behavior_close.value}: {one.result} {one.result_close}")
    return len(results) - len(failed), len(failed)


def main() -> int:
    url, *cases = sys.argv[1:]
    passed, failed = asyncio.run(run(url, cases or CASES))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
