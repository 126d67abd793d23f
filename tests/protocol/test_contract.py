"""Every case of the data file, over every transport that it runs on."""

from collections.abc import Iterator

import aiohttp
import pytest
from _pytest.mark.structures import ParameterSet
from tests.protocol.cases import EVERYWHERE, PORTABLE, USUAL, Case, load_book
from tests.protocol.cluster import Clusters
from tests.protocol.environment import Stage
from tests.protocol.runner import Player

BOOK = load_book()


def runs() -> Iterator[tuple[Case, str, str]]:
    """Each case with each transport, and with the settings of its replicas.

    What runs everywhere also runs with the client held to the transports that are not its first choice. What needs no special
    replicas also runs where WebSockets and streams go through ASGI, and where the store is one replica's memory.
    """
    for case in BOOK.cases:
        is_dear = case.breaks or case.is_slow
        more = ("client-sse", "client-poll") if set(case.on) == set(EVERYWHERE) and not is_dear else ()
        for transport in (*case.on, *more):
            yield case, transport, case.replica
            if transport in ("websocket", "sse") and case.replica == USUAL and not is_dear:
                yield case, transport, PORTABLE


def parameter(case: Case, transport: str, replica: str) -> ParameterSet:
    where = "" if replica == case.replica else f" on {replica}"
    return pytest.param(case, transport, replica, id=f"{transport}{where}: {case.name}")


@pytest.mark.parametrize(("case", "transport", "replica"), [parameter(*run) for run in runs()])
async def test_the_contract_holds(case: Case, transport: str, replica: str, clusters: Clusters, http: aiohttp.ClientSession) -> None:
    await Player(Stage(case, transport, clusters.get(replica), http)).play(case)
