"""A replica that has too many lets go of connections that were kept: whoever is sent away would come back over them."""

import aiohttp
import pytest
from tests.fast_transport.served import Served, served


@pytest.mark.parametrize("transport", ["lean", "portable"])
@pytest.mark.parametrize("path", ["/v1/sessions/s1/events?wait=0", "/nowhere"])
async def test_while_there_is_a_surplus_each_answer_ends_its_connection(transport: str, path: str) -> None:
    async with served(transport) as at:
        assert not await ends_connection(at, path)
        at.replica.layer.hub.has_surplus = True
        # The wheel looks once a second whether there still is one, and may do so between the two lines.
        at_once = await ends_connection(at, path)
        at.replica.layer.hub.has_surplus = True
        assert at_once or await ends_connection(at, path)


async def ends_connection(at: Served, path: str) -> bool:
    headers = {"Authorization": f"Bearer {at.credential}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{at.url}{path}") as response:
        return response.headers.get("Connection") == "close"
