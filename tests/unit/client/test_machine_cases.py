"""Every case of the table, on this implementation of the machine."""

from typing import Any

import pytest
from tests.unit.client.cases import Table, shown

from anypod.client.machine.commands import Wake
from anypod.client.machine.machine import Machine
from anypod.client.machine.options import Options

TABLE = Table.load()


@pytest.mark.parametrize("case", TABLE.cases, ids=lambda case: case["name"])
def test_the_machine_does_what_the_table_says(case: dict[str, Any]) -> None:
    machine = Machine(Options(**case.get("options", {})), lambda: case.get("chance", 0.5))
    wake_at: float | None = None
    for given in TABLE.prelude(case):
        wake_at = next((command.at for command in machine.handle(given, 0.0) if isinstance(command, Wake)), wake_at)

    for number, step in enumerate(case["steps"]):
        place = f"step {number}: {step['input']}"
        if step["input"]["type"] == "tick":
            assert wake_at is not None, f"{place}: no tick was asked for"
            assert wake_at <= step["at"], f"{place}: a tick was asked for at {wake_at} only"
            wake_at = None
        said = machine.handle(TABLE.input(step["input"]), step["at"])
        for command in said:
            if isinstance(command, Wake):
                wake_at = command.at
        assert [shown(command) for command in said if not isinstance(command, Wake)] == [
            TABLE.resolved(expected) for expected in step["commands"]
        ], place


def test_no_two_cases_share_a_name() -> None:
    names = [case["name"] for case in TABLE.cases]
    assert len(set(names)) == len(names)
