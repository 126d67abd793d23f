"""Every row of the contract has a case that names it, and the rows are those that the code knows, both ways."""

from collections import Counter

import pytest
from pydantic import SecretStr
from starlette.routing import WebSocketRoute
from tests.protocol.cases import EVERYWHERE, load_book, load_rows
from tests.support.replica_process import SECRET

from anypod.core import frames
from anypod.core.errors import CLOSE_GONE, CLOSE_LEAVING, CLOSE_OVERLOADED, CODES
from anypod.replica import Replica
from anypod.settings import Settings

BOOK = load_book()
ROWS = load_rows()
CLOSE_INTERNAL = 1011  # of RFC 6455, not of the contract: no case may bring it about

# Rows of their own by what is asked of one path.
ONE_PATH = {"GET /v1/sessions/{id}/events?wait", "GET /v1/sessions/{id}/events as a stream"}


def rows_of(start: str) -> set[str]:
    return {row.row.removeprefix(start) for row in ROWS if row.row.startswith(start)}


def test_every_row_is_proven_by_a_case_or_belongs_to_a_later_issue(capsys: pytest.CaptureFixture[str]) -> None:
    proofs = Counter(row for case in BOOK.cases for row in case.proves)
    later = [row for row in ROWS if row.later]
    with capsys.disabled():
        print(f"\n{len(ROWS) - len(later)} rows of the contract are proven by {len(BOOK.cases)} cases; those of later issues:")
        for row in later:
            print(f"  {row.row} ({row.later}): {row.says}")
    assert not [row.row for row in ROWS if not row.later and not proofs[row.row]]
    assert not [row.row for row in later if proofs[row.row]], "these are proven, and not of a later issue any more"


def test_a_case_names_rows_that_there_are_and_each_name_is_given_once() -> None:
    names = Counter(row.row for row in ROWS)
    assert not [name for name, count in names.items() if count > 1]
    assert not [(case.name, row) for case in BOOK.cases for row in case.proves if row not in names]
    assert not [name for name, count in Counter(case.name for case in BOOK.cases).items() if count > 1]


def test_a_case_that_does_not_run_everywhere_says_why() -> None:
    assert not [case.name for case in BOOK.cases if (set(case.on) == set(EVERYWHERE)) != (case.because == "")]


def test_the_rows_of_frames_are_the_frames_of_the_code() -> None:
    assert rows_of("client ") == {frame.__struct_config__.tag for frame in frames.ClientFrame.__args__}
    assert rows_of("server ") == {frame.__struct_config__.tag for frame in frames.ServerFrame.__args__}


def test_the_rows_of_close_codes_are_those_of_the_code() -> None:
    known = {row.close for row in CODES.values() if row.close is not None} | {CLOSE_GONE, CLOSE_LEAVING, CLOSE_OVERLOADED}
    assert {int(code) for code in rows_of("close ") if code.isdecimal()} == known - {CLOSE_INTERNAL}


def test_the_rows_of_paths_are_the_routes_of_a_replica() -> None:
    replica = Replica(Settings(store="memory", jwt_secret=SecretStr(SECRET)))
    described = [app.openapi()["paths"] for app in (replica.app, replica.admin_app)]
    served = {f"{method.upper()} {path}" for paths in described for path, methods in paths.items() for method in methods}
    served |= {f"GET {route.path}" for route in replica.app.routes if isinstance(route, WebSocketRoute)}
    told = {row.row for row in ROWS if "/" in row.row and not row.later} - ONE_PATH
    assert {path.replace("{session_id}", "{id}") for path in served} == told
