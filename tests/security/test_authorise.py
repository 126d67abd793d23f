"""The one verdict, and that it cannot be forgotten: what says nothing of the access that it needs is not served."""

from typing import Any, get_args

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from tests.support.replica_process import SECRET

from anypod.api.guard import check_routes, needs_of
from anypod.auth import ACCESS_OF_FRAME, Access, Principal, Right, authorise, owner_demanded
from anypod.auth.authorise import check_frames
from anypod.core import frames
from anypod.core.errors import AnypodError, Code
from anypod.core.identity import SessionId, Subject, TenantId
from anypod.replica import Replica
from anypod.settings import Settings

ANN, BOB = Subject("ann"), Subject("bob")
ALL: frozenset[Right] = frozenset(get_args(Right))


def principal(*can: Right, sessions: tuple[str, ...] | None = None, only: str | None = None) -> Principal:
    narrowed = None if only is None else SessionId(only)
    return Principal(TenantId("acme"), ANN, 2e9, frozenset(can or ALL), sessions=sessions, only=narrowed)


def verdict(who: Principal, session: str | None, access: Access, owner: Subject | None = None) -> Code | None:
    try:
        authorise(who, session, access, owner=owner)
    except AnypodError as error:
        return error.code
    return None


@pytest.mark.parametrize("access", sorted(ALL))
def test_a_right_is_needed_whatever_the_session(access: Right) -> None:
    lacking = principal(*(ALL - {access}))
    for session in (None, "mine-1", "foreign"):
        assert verdict(lacking, session, access, BOB) == "not_allowed"
        assert verdict(principal(), session, access, ANN) is None


@pytest.mark.parametrize("access", [*sorted(ALL), "own"])
def test_a_session_out_of_reach_is_none_by_its_name_its_owner_or_a_narrowed_ticket(access: Access) -> None:
    assert verdict(principal(sessions=("other-*",)), "mine-1", access, ANN) == "no_such_session", "not even its own"
    assert verdict(principal(sessions=("other-*",)), "mine-1", access) == "no_such_session"
    assert verdict(principal(only="mine-2"), "mine-1", access, ANN) == "no_such_session"
    assert verdict(principal(), "foreign", access, BOB) == "no_such_session"


def test_a_session_is_ended_by_its_owner_or_an_administrator_within_their_reach() -> None:
    clients: tuple[Right, ...] = ("read", "publish", "signal", "cancel", "state")
    assert verdict(principal(*clients), "mine-1", "own", ANN) is None
    assert verdict(principal("read"), "mine-1", "own", ANN) == "not_allowed"
    assert verdict(principal(*clients, sessions=("*",)), "foreign", "own", BOB) == "not_allowed"
    assert verdict(principal("admin", sessions=("*",)), "foreign", "own", BOB) is None
    assert verdict(principal("admin"), "foreign", "own", BOB) == "no_such_session"


def test_the_store_is_told_whose_a_session_must_be_wherever_the_name_decides_nothing() -> None:
    clients: tuple[Right, ...] = ("read", "publish")
    assert owner_demanded(principal(*clients), "publish") == ANN
    assert owner_demanded(principal(*clients, sessions=("*",)), "publish") is None
    assert owner_demanded(principal(*clients, sessions=("*",)), "own") == ANN
    assert owner_demanded(principal("admin", sessions=("*",)), "own") is None
    assert owner_demanded(principal("admin"), "own") == ANN


# It cannot be forgotten.


def application() -> FastAPI:
    return Replica(Settings(store="memory", jwt_secret=SecretStr(SECRET))).app


async def forgotten(request: Any) -> Response:
    return Response()


@pytest.mark.parametrize(
    "route", [Route("/v1/new", forgotten), WebSocketRoute("/v1/new", forgotten), Mount("/v1/new", Route("/", forgotten))]
)
def test_an_application_with_a_route_that_nobody_guards_is_not_built(route: Any) -> None:
    with pytest.raises(TypeError, match="/v1/new"):
        check_routes([*application().routes, route])


def test_a_route_that_goes_around_the_guard_is_found_in_a_router_too() -> None:
    app = application()

    @app.get("/v1/new")
    async def forgotten_too(request: Request) -> Response:
        return Response()

    with pytest.raises(TypeError, match="/v1/new"):
        check_routes(app.routes)


def test_every_route_says_what_it_needs_and_only_the_description_is_open() -> None:
    needs = {route.path: needs_of(route) for route in application().routes if isinstance(route, Route | WebSocketRoute)}
    assert [path for path, access in needs.items() if access is None] == ["/openapi.json"]
    assert set(needs.values()) - {None} <= {*ALL, "own"}


def test_a_frame_of_which_nobody_has_said_what_it_needs_stops_the_process_at_its_start() -> None:
    known = frozenset(get_args(frames.ClientFrame))
    check_frames(ACCESS_OF_FRAME, known)
    for frame in known:
        with pytest.raises(TypeError, match=frame.__name__):
            check_frames({other: access for other, access in ACCESS_OF_FRAME.items() if other is not frame}, known)
