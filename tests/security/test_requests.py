"""Requests made from the OpenAPI description, right and wrong ones: none fails inside, and each is answered as described."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
import requests
import schemathesis
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from tests.fast_transport.served import served
from tests.support.replica_process import SECRET, credential

from anypod.replica import Replica
from anypod.settings import Settings

START_S_MAX: Final = 30.0
ANSWER_S_MAX: Final = 10.0
WAIT_S_MAX: Final = 0.05  # of a long-poll: nobody else publishes here
EXAMPLES: Final = 50  # of each route right, and as many wrong: all of them take some twenty seconds
CHECKS: Final = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
HEADERS: Final = {"Authorization": f"Bearer {credential('acme', 'ann')}", "Accept": "application/json"}
FRAMING: Final = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"})  # with these it is no HTTP
DESCRIPTION: Final = Replica(Settings(store="memory", jwt_secret=SecretStr(SECRET))).app.openapi()
ROUTES: Final = [(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods]


class Beside:
    """A replica in a thread of its own: requests are made in this one, and wait."""

    def __init__(self) -> None:
        self.url = ""
        self._loop = uvloop.new_event_loop()
        self._is_over = asyncio.Event()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        async with served(publish_per_s=1_000_000, sessions_per_subject_max=100_000) as at:
            self.url = at.url
            self._is_up.set()
            await self._is_over.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._is_up.wait(START_S_MAX)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    beside = Beside()
    beside.start()
    yield beside.url
    beside.stop()


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def made_known(case: Case[Any], url: str, http: requests.Session) -> None:
    """Ask about a session that is there: most made names are of none."""
    named = next((part for part in (case.path_parameters, case.body) if isinstance(part, dict) and "session_id" in part), None)
    if named is not None:
        named["session_id"] = "s1"
        http.post(f"{url}/v1/sessions", json={"session_id": "s1"}, headers=HEADERS, timeout=ANSWER_S_MAX)


def made_brief(case: Case[Any]) -> None:
    with suppress(TypeError, ValueError):
        if "wait" in case.query and float(case.query["wait"]) > WAIT_S_MAX:
            case.query["wait"] = WAIT_S_MAX


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_whatever_is_asked_is_answered_as_described(path: str, method: str, mode: GenerationMode, url: str, http: requests.Session) -> None:
    operation = schemathesis.openapi.from_dict(DESCRIPTION)[path][method]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def ask(case: Any, is_known: bool) -> None:
        if is_known:
            made_known(case, url, http)
        made_brief(case)
        for name in [name for name in case.headers or () if name.lower() in FRAMING]:
            del case.headers[name]
        response = case.call(base_url=url, session=http, headers=HEADERS, timeout=ANSWER_S_MAX)
        case.validate_response(response, checks=CHECKS)

    ask()
