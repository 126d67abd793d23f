"""The command `anypod demo`.

Owns its options, its progress and its table. Must not know how a replica is killed or a client resumes.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anypod.devcluster.tally import Tally

KILLS = 10
KILLS_MAX = 1_000  # about an hour
EXIT_UNCLEAN = 1
EXIT_INTERRUPTED = 130


def demo(
    kills: Annotated[int, typer.Option(min=1, max=KILLS_MAX, help="How many times the client's replica is killed.")] = KILLS,
) -> None:
    """Kill the replica that serves a client, again and again, and count what was lost."""
    import uvloop

    from anypod.devcluster.demo import run
    from anypod.devcluster.environment import given_redis_url, raise_descriptor_limit

    raise_descriptor_limit()
    tally = uvloop.run(run(kills, given_redis_url()))
    if tally is None:
        sys.exit(EXIT_INTERRUPTED)
    _print(tally)
    if not tally.is_clean:
        sys.exit(EXIT_UNCLEAN)


def _print(tally: "Tally") -> None:
    from rich.console import Console
    from rich.table import Table

    from anypod.core.statistics import percentile

    table = Table(show_header=False)
    table.add_row("replicas killed", str(len(tally.recoveries_s)))
    table.add_row("events sent", str(len(tally.acknowledged)))
    table.add_row("events received", str(len(tally.received)))
    table.add_row("lost", str(tally.lost))
    table.add_row("duplicated", str(tally.duplicated))
    table.add_row("out of order", str(tally.reordered))
    table.add_row("recovery p50", f"{percentile(tally.recoveries_s, 50):.2f} s")
    table.add_row("recovery p95", f"{percentile(tally.recoveries_s, 95):.2f} s")
    console = Console()
    console.print(table)
    console.print("Sent: acknowledged to the publisher. Recovery: from the kill until the reader had everything, on another replica.")
    console.print("Nothing was lost." if tally.is_clean else "[bold red]Something was lost, doubled or reordered: please report this.[/]")
