"""The rows are compared with the contract's own text: every route, frame, field, close code, reset and error that stands there.

What is there and not proven is a row with the reason in `later`, and a row is not called so that some case proves.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from tests.protocol.cases import Step, load_book, load_rows
from tests.protocol.spec import PROTOCOL, read_contract

from anypod.core import frames
from anypod.core.errors import CLOSE_RETRIED, CODES

CONTRACT: Final = read_contract()
ROWS: Final = load_rows()
BOOK: Final = load_book()
LATER: Final = {row.row for row in ROWS if row.later}

# What the code has beside the tables, and where the contract tells of it. `ref` is of every frame.
BESIDE: Final = {
    "client publish": {"attempt"},  # of an event, which its publisher says
    "server event": {"data_base64"},  # "Binary data": in text transports
    "server signal": {"to"},  # what was asked for is told to whom it reaches
}
ROUTES_BESIDE: Final = {"GET /v1/admin/erasures/{erasure}"}  # how far an erasure is, which the contract leaves open
CLOSE_INTERNAL: Final = 1011  # the contract does not name it among those that are retried; a replica that failed once may not again

# What a step says or expects, by what it does: the type of the frame.
SAYS: Final = {
    "attach": "session.init",
    "attach_to_the_end": "session.init",
    "publish": "publish",
    "patch": "state.patch",
    "history": "history",
    "signal": "signal",
    "presents": "presence",
}
HEARS: Final = {"publish": "published", "hears": "signal", "sees": "presence", "beats": "heartbeat", "history": "history"}
ATTACHED: Final = ("session.created", "session.restored")  # one shape, and one row of the table


def steps() -> Iterator[Step]:
    for case in BOOK.cases:
        yield from case.steps


def said(step: Step) -> Iterator[tuple[str, Any]]:
    """Frames that a step has sent and that were not refused."""
    if isinstance(step.gets, dict) and ("error" in step.gets or "refused" in step.gets):
        return
    if step.does in SAYS:
        yield SAYS[step.does], step.with_
    elif step.does == "sends":
        yield step.with_["type"], step.with_
    elif step.does == "sends_binary":
        yield step.with_["header"]["type"], step.with_["header"]


def heard(step: Step) -> Iterator[tuple[str, Any]]:
    """Frames that a step has expected, with what of them it has looked at."""
    for gets in step.gets if isinstance(step.gets, list) else [step.gets]:
        if not isinstance(gets, dict):
            continue
        if step.does in HEARS:
            yield HEARS[step.does], gets
        elif step.does in ("receives", "attach", "applies", "applies_to"):
            kind = gets.get("type", "session.reset" if "reason" in gets else "event")
            yield from ((one, gets) for one in (ATTACHED if kind in ATTACHED else (kind,)))


def fields_of(union: Any) -> dict[str, set[str]]:
    return {
        str(frame.__struct_config__.tag): {field.encode_name for field in msgspec.structs.fields(frame)} - {"ref"}
        for frame in union.__args__
    }


def test_the_contract_is_the_one_that_clients_and_replicas_share() -> None:
    assert PROTOCOL.read_text().startswith("# anypod wire protocol, version 1\n")
    assert len(CONTRACT.routes) > 30
    assert (len(CONTRACT.client), len(CONTRACT.server)) == (10, 15)


def test_every_route_of_the_contract_has_a_row_and_every_row_of_a_path_is_of_the_contract() -> None:
    assert {row.row for row in ROWS if " /" in row.row and row.row.split(" ")[0].isupper()} == CONTRACT.routes | ROUTES_BESIDE


@pytest.mark.parametrize("side", ["client", "server"])
def test_every_frame_and_field_of_the_contract_is_one_of_the_code_and_the_other_way_round(side: str) -> None:
    told, known = (CONTRACT.client, fields_of(frames.ClientFrame)) if side == "client" else (CONTRACT.server, fields_of(frames.ServerFrame))
    assert known.keys() == told.keys()
    assert {kind: fields - {"ref"} for kind, fields in told.items()} == {
        kind: fields - BESIDE.get(f"{side} {kind}", set()) for kind, fields in known.items()
    }


def test_every_field_of_the_contract_is_proven_by_a_step_or_its_row_says_why_not_yet() -> None:
    told = {f"field client {kind}.{name}" for kind, names in CONTRACT.client.items() for name in names}
    told |= {f"field server {kind}.{name}" for kind, names in CONTRACT.server.items() for name in names}
    proven = {f"field client {kind}.{name}" for step in steps() for kind, fields in said(step) for name in fields}
    proven |= {
        f"field server {kind}.{name}"
        for step in steps()
        for kind, fields in heard(step)
        for name, value in fields.items()
        if value not in ("<missing>", [])
    }
    assert {row for row in LATER if row.startswith("field ")} == told - proven


def test_the_close_codes_of_the_contract_have_rows_and_clients_retry_those_that_it_names() -> None:
    rows = {int(row.row.removeprefix("close ")) for row in ROWS if row.row.removeprefix("close ").isdecimal()}
    assert rows == CONTRACT.closes - {CLOSE_INTERNAL}
    assert CONTRACT.retried == CLOSE_RETRIED - {CLOSE_INTERNAL}


def test_the_reasons_of_a_reset_have_rows() -> None:
    assert {row.row.removeprefix("reset ") for row in ROWS if row.row.startswith("reset ")} == CONTRACT.resets


def test_every_error_is_brought_about_by_a_case_or_its_row_says_why_not() -> None:
    assert CONTRACT.errors <= CODES.keys()
    brought = {gets for step in steps() for gets in _texts(step.gets)}
    assert {row.removeprefix("error ") for row in LATER if row.startswith("error ")} == CODES.keys() - brought


def _texts(gets: Any) -> Iterator[str]:
    """All texts that a step expects, wherever they stand."""
    match gets:
        case str():
            yield gets
        case dict():
            for value in gets.values():
                yield from _texts(value)
        case list():
            for value in gets:
                yield from _texts(value)
